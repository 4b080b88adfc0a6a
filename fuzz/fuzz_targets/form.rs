//! libFuzzer's entry to [`fuzz::form`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::form(bytes);
});
