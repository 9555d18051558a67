//! The end of the newest journal, cut off and spoiled as a torn write would: the server starts with everything it has
//! acknowledged, or refuses and says what to do. It never starts silently with less.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Launch, QoS, Server, Version};
use serde_json::json;

/// Acknowledged before the kill.
const MESSAGES: u64 = 40;

/// A server that was killed behind its acknowledgements, and a copy of its data directory as it was then.
struct Killed {
    server: Server,
    copy: tempfile::TempDir,
    /// Where the journal's bytes end; behind them there are only zeros.
    end: u64,
}

/// Does something to the file.
type Spoil = Box<dyn Fn(&Path)>;

/// What came of starting on a spoiled journal.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Complete,
    Refused,
}

impl Killed {
    fn new() -> Self {
        let server = Launch::new().keeps_addresses().start();
        server.add_account("alice");
        let mut alice = server
            .dial(Version::V311, "alice", "phone")
            .connect()
            .unwrap();
        for number in 1..=MESSAGES {
            let body = json!({"mid": format!("m{number}"), "text": format!("number {number}")})
                .to_string();
            alice
                .publish("im/to/@alice", body, QoS::AtLeastOnce)
                .unwrap();
        }
        server.kill();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&server.data(), &copy.path().join("data"));
        let bytes = fs::read(journal(&server)).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        Self { server, copy, end }
    }

    /// Starts on a fresh copy that `spoil` has spoiled, and looks at what is there.
    fn check(&mut self, what: &str, spoil: impl Fn(&Path)) -> Outcome {
        let data = self.server.data();
        fs::remove_dir_all(&data).unwrap();
        copy_folder(&self.copy.path().join("data"), &data);
        let journal = journal(&self.server);
        spoil(&journal);
        match self.server.try_restart() {
            Ok(()) => {
                assert_eq!(self.messages(), MESSAGES, "{what}: started with less");
                self.server.kill();
                Outcome::Complete
            }
            Err(told) => {
                assert!(
                    told.contains("--accept-data-loss"),
                    "{what}: no advice in {told}"
                );
                assert!(told.contains("backup"), "{what}: no advice in {told}");
                assert!(
                    told.contains(&data.display().to_string()),
                    "{what}: no place in {told}"
                );
                assert!(
                    self.server.try_restart().is_err(),
                    "{what}: refused once, started the second time"
                );
                // Less is there only for who has asked for it, and then for good.
                self.server
                    .try_restart_with(&["--accept-data-loss"])
                    .unwrap_or_else(|told| panic!("{what}: {told}"));
                let left = self.messages();
                assert!(left <= MESSAGES, "{what}");
                self.server.kill();
                self.server
                    .try_restart()
                    .unwrap_or_else(|told| panic!("{what}: {told}"));
                assert_eq!(self.messages(), left, "{what}");
                self.server.kill();
                Outcome::Refused
            }
        }
    }

    /// How many messages there are; numbered without gaps, and each as it was sent.
    fn messages(&self) -> u64 {
        let connected = self.server.dial(Version::V5, "alice", "count").connect();
        let Ok(mut alice) = connected else {
            // The account itself was behind the damage.
            return 0;
        };
        alice
            .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
            .unwrap();
        let answer = alice
            .ask("history", "1", &json!({"conv": "@alice", "limit": 200}))
            .unwrap();
        let Some(entries) = answer["entries"].as_array() else {
            return 0;
        };
        let messages: Vec<_> = entries
            .iter()
            .filter(|entry| entry["kind"] == "message")
            .collect();
        for (index, message) in messages.iter().enumerate() {
            assert_eq!(message["seq"], index as u64 + 1, "{answer}");
            assert_eq!(message["text"], format!("number {}", index + 1), "{answer}");
        }
        messages.len() as u64
    }
}

#[test]
fn a_write_that_was_cut_off_is_dropped() {
    let mut killed = Killed::new();
    let end = killed.end;
    let cases: [(&str, Spoil); 5] = [
        ("untouched", Box::new(|_| {})),
        (
            "without the zeros",
            Box::new(move |file| truncate(file, end)),
        ),
        (
            "zeros cut short",
            Box::new(move |file| truncate(file, end + 1000)),
        ),
        (
            "the beginning of a commit",
            Box::new(move |file| repeat_beginning(file, end, 25)),
        ),
        (
            "noise",
            Box::new(move |file| write_at(file, end, &[0x5A; 60])),
        ),
    ];
    for (what, spoil) in cases {
        assert_eq!(killed.check(what, spoil), Outcome::Complete, "{what}");
    }
}

#[test]
fn an_acknowledged_commit_that_is_missing_is_refused() {
    let mut killed = Killed::new();
    let end = killed.end;
    for cut in [1, 7, 40, end / 2, end - 1, end] {
        let what = format!("{cut} of {end} bytes cut off");
        let outcome = killed.check(&what, |file| truncate(file, end - cut));
        assert_eq!(outcome, Outcome::Refused, "{what}");
    }
    for cut in [3, 20, 90] {
        let what = format!("the last {cut} of {end} bytes never written");
        let outcome = killed.check(&what, |file| {
            write_at(file, end - cut, &vec![0; cut as usize])
        });
        assert_eq!(outcome, Outcome::Refused, "{what}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_harmless() {
    let mut killed = Killed::new();
    let end = killed.end;
    const PLACES: u64 = 12;
    let mut refused = 0;
    for place in 0..PLACES {
        let at = end * place / PLACES + place;
        let what = format!("a bit of byte {at} of {end} flipped");
        let outcome = killed.check(&what, |file| {
            let byte = fs::read(file).unwrap()[at as usize];
            write_at(file, at, &[byte ^ (1 << (place % 8))]);
        });
        refused += u64::from(outcome == Outcome::Refused);
    }
    assert!(
        refused >= PLACES / 2,
        "only {refused} of {PLACES} flipped bits were noticed"
    );
}

/// The newest journal: the one with the highest number.
fn journal(server: &Server) -> PathBuf {
    let store = server.data().join("store");
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
    fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .max_by_key(|path| number(path))
        .unwrap_or_else(|| panic!("no journal in {}", store.display()))
}

/// With cp, because the zeros at the end of a journal take no place on disk.
fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
    // A killed server's socket.
    let _ = fs::remove_file(to.join("control.sock"));
}

fn truncate(file: &Path, length: u64) {
    OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(length)
        .unwrap();
}

fn write_at(file: &Path, at: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .write_all_at(bytes, at)
        .unwrap();
}

/// A commit begins with the same bytes as the first one; only so many of them arrive.
fn repeat_beginning(file: &Path, at: u64, length: usize) {
    let beginning = fs::read(file).unwrap()[..length].to_vec();
    write_at(file, at, &beginning);
}
