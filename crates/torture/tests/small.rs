//! The program as it is run, at a size at which it says whether it works and nothing about speed.

use std::process::{Command, Output};

fn torture(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(arguments)
        .output()
        .expect("cargo has built it")
}

#[test]
fn nothing_is_lost_by_a_few_kills() {
    let ended = torture(&["kill", "--rounds", "4"]);
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn a_small_queue_is_drained() {
    let ended = torture(&["drain", "--rounds", "1", "--bytes", "1000000"]);
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn every_workload_ends_within_limits_on_files() {
    for workload in [
        &["write", "--seconds", "1"][..],
        &["history", "--bytes", "1000000", "--pages", "20"],
    ] {
        let ended = torture(&[workload, &["--nofile", "256"]].concat());
        let said = String::from_utf8(ended.stdout).unwrap();
        // Its figures are this machine's at this moment; that it came to the last of them is what counts.
        assert!(said.contains("pass  open files"), "{said}");
    }
}

#[test]
fn a_process_without_memory_fails() {
    let ended = torture(&["write", "--seconds", "5", "--memory-mib", "8"]);
    assert!(!ended.status.success(), "{ended:?}");
}
