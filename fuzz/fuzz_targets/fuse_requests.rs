//! See [`compcache_fuzz::fuse_requests`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| compcache_fuzz::fuse_requests(data));
