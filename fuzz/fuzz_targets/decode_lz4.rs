//! See [`compcache_fuzz::decode_lz4`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::decode_lz4(data));
