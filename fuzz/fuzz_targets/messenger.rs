//! libFuzzer drives the target `messenger`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("messenger", bytes));
