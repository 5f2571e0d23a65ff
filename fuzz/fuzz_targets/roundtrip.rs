//! See [`compcache_fuzz::roundtrip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::roundtrip(data));
