#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ionroller_fuzz::daemon_file::run(data));
