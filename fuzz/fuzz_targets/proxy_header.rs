//! libFuzzer's entry to [`fuzz::proxy_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::proxy_header(bytes);
});
