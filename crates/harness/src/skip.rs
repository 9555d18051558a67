//! Tests that need a program this machine does not have say so in one line, which `cargo xtask test` counts.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

/// Says that `name` was not tested, why, and what would install what is missing. Not through `eprintln!`, because
/// the test runner keeps that to itself when a test passes.
pub fn skip(name: &str, reason: &str, install: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "SKIP {name}: {reason}; install: {install}"
    );
}

/// Something a test needs from its machine.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The test that asks.
    pub test: &'a str,
}

impl Needs<'_> {
    /// A program on the path, or a line that says that it is missing.
    pub fn program(self, name: &str, install: &str) -> Option<PathBuf> {
        let found = std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|candidate| candidate.is_file())
        });
        if found.is_none() {
            skip(self.test, &format!("{name} is not on the path"), install);
        }
        found
    }

    /// The value of an environment variable that `cargo xtask test` sets, or a line that says that it is missing.
    pub fn variable(self, name: &str) -> Option<OsString> {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        if value.is_none() {
            skip(self.test, &format!("{name} is not set"), "cargo xtask test");
        }
        value
    }
}
