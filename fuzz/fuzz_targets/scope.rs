//! libFuzzer's entry to [`fuzz::scope`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::scope(bytes);
});
