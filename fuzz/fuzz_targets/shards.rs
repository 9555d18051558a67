//! libFuzzer drives the target `shards`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("shards", bytes));
