//! libFuzzer drives the target `websocket`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("websocket", bytes));
