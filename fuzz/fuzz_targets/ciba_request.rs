//! libFuzzer's entry to [`fuzz::ciba_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::ciba_request(bytes);
});
