//! libFuzzer's entry to [`fuzz::detail_type`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::detail_type(bytes);
});
