//! libFuzzer's entry to [`fuzz::key_set`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::key_set(bytes);
});
