//! libFuzzer's entry to [`fuzz::redirect_uri`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::redirect_uri(bytes);
});
