#![no_main]

#[path = "../src/containers.rs"]
mod containers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| containers::container(data));
