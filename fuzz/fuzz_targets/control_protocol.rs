//! See [`compcache_fuzz::control_protocol`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::control_protocol(data));
