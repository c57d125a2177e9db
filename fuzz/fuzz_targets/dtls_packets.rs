#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rtcast_fuzz::dtls_packets(data));
