//! A disk that is almost full, and one that is: what must be stored is refused and what need not be goes on, it takes again by
//! itself, and where nothing can be written any more the folder is named with what to do.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{ClientError, Launch, PATIENCE, QoS, Server, Signal, Version, http_get};

use crate::crowd::turn;

/// More than any disk of a test has.
const NEVER_ENOUGH: &str = "[server]\ndisk_free_min = 1099511627776\n";
const ENOUGH: &str = "[server]\ndisk_free_min = 0\n";

/// Whether clients may be sent there; the process works all the while.
fn await_ready(server: &Server, status: u16, word: &str) {
    let begun = Instant::now();
    loop {
        assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
        let health = http_get(server.http(), "/readyz").unwrap();
        if health.status == status && health.body.contains(word) {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{} {}",
            health.status,
            health.body
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_almost_full_disk_takes_nothing_and_serves_everybody() {
    let _turn = turn();
    let server = Launch::new()
        .config(NEVER_ENOUGH)
        .argument("--allow-anonymous")
        .start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    await_ready(&server, 503, "disk_full");
    assert_eq!(server.metric("magpie_disk_alarm", ""), 1);
    let mut alice = server.dial(Version::V5, "alice", "a").connect().unwrap();
    let mut bob = server.dial(Version::V5, "bob", "b").connect().unwrap();
    bob.subscribe(&[("im/in/+", QoS::AtLeastOnce), ("live/#", QoS::AtLeastOnce)])
        .unwrap();
    assert_eq!(
        alice.publish("im/to/@bob", "no room", QoS::AtLeastOnce),
        Ok(0x97)
    );
    assert_eq!(alice.publish("live/t", "live", QoS::AtLeastOnce), Ok(0));
    assert_eq!(bob.receive().unwrap().text(), "live");
    let lasting = server.dial(Version::V5, "bob", "lasting").persistent();
    assert_eq!(lasting.connect().unwrap_err(), ClientError::Refused(0x97));

    std::fs::write(server.folder().join("magpie.toml"), ENOUGH).unwrap();
    server.program().signal(Signal::HangUp);
    await_ready(&server, 200, "ready");
    assert_eq!(alice.publish("im/to/@bob", "room", QoS::AtLeastOnce), Ok(0));
    assert_eq!(bob.receive().unwrap().json()["text"], "room");
    let log = server.program().errors();
    assert_eq!(log.matches("the disk is almost full").count(), 1, "{log}");
    assert_eq!(log.matches("the disk has room again").count(), 1, "{log}");
}

/// A file system of its own, gone with this.
struct SmallDisk(Arc<tempfile::TempDir>);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(size: &str) -> Option<Self> {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_the_server_with_its_folder_and_what_to_do() {
    let _turn = turn();
    let Some(disk) = SmallDisk::mount("24m") else {
        let name = "a_full_disk_ends_the_server_with_its_folder_and_what_to_do";
        harness::skip(
            name,
            "this user may not mount a file system",
            "run it as root",
        );
        return;
    };
    let mut server = Launch::new()
        .config(&format!(
            "{ENOUGH}[chat]\nmessages_per_second_max = 100000\nmessages_burst_max = 100000\nstored_bytes_per_account_max = 1073741824\n"
        ))
        .folder(&disk.0)
        .keeps_addresses()
        .start();
    server.add_account("alice");
    let mut alice = server.dial(Version::V5, "alice", "a").connect().unwrap();
    let data = server.data();
    let data = data.to_str().unwrap();
    let text = "x".repeat(60_000);
    let mut taken = 0;
    while alice.publish("im/to/@alice", &text, QoS::AtLeastOnce) == Ok(0) {
        taken += 1;
        assert!(taken < 10_000, "the disk is larger than it should be");
    }
    let status = server.program().end();
    let log = server.program().errors();
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.contains("the server has failed") && last.contains(data),
        "{log}"
    );
    assert!(last.contains("free some room"), "{log}");
    let again = server.try_restart().unwrap_err();
    assert!(
        again.contains(data) && again.contains("free some room"),
        "{again}"
    );
    assert_eq!(
        again.matches("os error 28").count(),
        1,
        "told once: {again}"
    );
}
