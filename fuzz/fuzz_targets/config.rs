#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ionroller_fuzz::config::run(data));
