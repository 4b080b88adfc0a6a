//! libFuzzer's entry to [`fuzz::authorization_details`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::authorization_details(bytes);
});
