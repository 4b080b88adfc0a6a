//! libFuzzer's entry to [`fuzz::basic`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::basic(bytes);
});
