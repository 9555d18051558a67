//! Where the program under test is.

use std::path::PathBuf;

/// Names the binary to test, for instance a release build.
const BINARY_VARIABLE: &str = "MAGPIE_BIN";

/// The binary: what `MAGPIE_BIN` names, or the `magpie` that cargo built beside this test.
pub fn magpie() -> PathBuf {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE).filter(|named| !named.is_empty()) {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test
        .ancestors()
        .find(|folder| folder.join("deps").is_dir())
        .expect("cargo puts tests into target/<profile>/deps");
    let binary = profile.join("magpie");
    assert!(
        binary.is_file(),
        "{} is not there; run `cargo test -p magpie`, or name a binary with {BINARY_VARIABLE}",
        binary.display()
    );
    binary
}
