//! libFuzzer drives the target `stored`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("stored", bytes));
