//! libFuzzer's entry to [`fuzz::user_code`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::user_code(bytes);
});
