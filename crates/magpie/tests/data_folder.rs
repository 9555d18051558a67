//! A data directory is its owner's alone: one that others get into is closed to them at the start, or refused.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use harness::{Launch, magpie};

/// A user that nothing belongs to.
const NOBODY: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_data_directory_that_others_can_read_is_closed_to_them_and_that_is_said_once() {
    let mut server = Launch::new().keeps_addresses().start();
    server.add_account("alice");
    server.terminate();
    let data = server.data();
    let store = data.join("store");
    set_mode(&data, 0o755);
    set_mode(&store, 0o755);
    let files: Vec<_> = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([data.join("identity"), data.join("lock")])
        .filter(|path| path.is_file())
        .collect();
    assert!(files.len() > 2, "{files:?}");
    for file in &files {
        set_mode(file, 0o644);
    }
    server.restart();
    let said = "the data directory was open to other users";
    let (_, line) = server.program().error_line(0, |line| line.contains(said));
    assert!(line.contains("0755"), "{line}");
    for folder in [&data, &store] {
        assert_eq!(mode(folder), 0o700, "{folder:?}");
    }
    for file in files.iter().filter(|file| file.exists()) {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
    assert_eq!(mode(&data.join("control.sock")), 0o600);
    let client = server
        .dial(harness::Version::V5, "alice", "phone")
        .connect();
    client.unwrap().disconnect();

    server.terminate();
    server.restart();
    server
        .program()
        .error_line(0, |line| line.contains("ready took="));
    let log = server.program().errors();
    assert!(!log.contains(said), "{log}");
}

#[test]
fn a_data_directory_of_another_user_that_others_can_read_is_refused() {
    let test = "a_data_directory_of_another_user_that_others_can_read_is_refused";
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return harness::skip(test, "this is not root", "run the tests as root");
    }
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    set_mode(&data, 0o755);
    let mut command = Command::new(magpie());
    command
        .args(["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
        .arg(&data)
        .current_dir(&folder)
        .uid(NOBODY);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let how = "build where other users can read";
            return harness::skip(test, "another user cannot run the binary", how);
        }
        Err(error) => panic!("{error}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in [
        "can be read by other users (mode 0755)",
        "belongs to user 0, while this runs as user 65534",
        "chmod 700",
        "--data",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(mode(&data), 0o755, "it is as it was");
}
