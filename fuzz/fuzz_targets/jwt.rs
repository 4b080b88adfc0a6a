//! libFuzzer's entry to [`fuzz::jwt`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::jwt(bytes);
});
