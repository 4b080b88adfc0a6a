//! libFuzzer's entry to [`fuzz::token_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::token_request(bytes);
});
