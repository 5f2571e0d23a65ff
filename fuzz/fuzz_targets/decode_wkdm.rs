//! See [`compcache_fuzz::decode_wkdm`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::decode_wkdm(data));
