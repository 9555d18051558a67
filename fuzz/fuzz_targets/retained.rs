//! libFuzzer drives the target `retained`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("retained", bytes));
