//! libFuzzer drives the target `subscriptions`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("subscriptions", bytes));
