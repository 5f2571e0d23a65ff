//! See [`compcache_fuzz::kernel_tables`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::kernel_tables(data));
