//! libFuzzer's entry to [`fuzz::authorize_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::authorize_request(bytes);
});
