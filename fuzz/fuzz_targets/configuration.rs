//! libFuzzer drives the target `configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("configuration", bytes));
