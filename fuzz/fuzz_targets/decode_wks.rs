//! See [`compcache_fuzz::decode_wks`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::decode_wks(data));
