//! libFuzzer's entry to [`fuzz::keyd_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::keyd_frame(bytes);
});
