//! libFuzzer drives the target `door`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("door", bytes));
