//! See [`compcache_fuzz::swap_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::swap_header(data));
