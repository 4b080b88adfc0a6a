//! libFuzzer's entry to [`fuzz::device_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::device_request(bytes);
});
