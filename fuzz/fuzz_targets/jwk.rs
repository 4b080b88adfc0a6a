//! libFuzzer's entry to [`fuzz::jwk`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::jwk(bytes);
});
