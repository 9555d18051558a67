//! Each workload for about a minute, in the memory and with the descriptors of a small container. Every bound must hold but for
//! those on milliseconds, which say something only where nobody else works; `cargo xtask torture` holds all of them.

use std::process::Command;

/// Figures that whoever else works on the machine decides.
const MILLISECONDS: [&str; 2] = ["commit p99", "cold page"];

fn check(arguments: &[&str], last: &str) {
    let ended = Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(arguments)
        .args(["--memory-mib", "512", "--nofile", "256"])
        .output()
        .expect("cargo has built it");
    let said = String::from_utf8_lossy(&ended.stdout);
    let told = String::from_utf8_lossy(&ended.stderr);
    let failed = said.lines().find(|line| {
        let failed = line.strip_prefix("FAIL  ");
        failed.is_some_and(|what| !MILLISECONDS.iter().any(|name| what.starts_with(name)))
    });
    assert_eq!(failed, None, "{said}{told}");
    assert!(said.contains(last), "it came to its end: {said}{told}");
}

// One test, as each of them is to have the disk for itself.
#[test]
fn the_store_bears_a_minute_of_everything_in_a_small_container() {
    check(
        &["write", "--seconds", "60"],
        "pass  memory beyond the cache",
    );
    check(
        &["drain", "--rounds", "2", "--bytes", "300000000"],
        "pass  what lives is there after a restart",
    );
    check(
        &["history", "--bytes", "600000000", "--pages", "400"],
        "pass  opened when emptied in",
    );
    check(&["kill", "--rounds", "20"], "pass  all of ");
}
