#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::cache_folder::run(data));
