//! libFuzzer's entry to [`fuzz::client_assertion`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::client_assertion(bytes);
});
