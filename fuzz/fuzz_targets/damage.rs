//! libFuzzer drives the target `damage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("damage", bytes));
