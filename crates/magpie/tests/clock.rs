//! A machine's clock that is set while the server runs, and before it starts. Needs libfaketime, which lies to one program.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use harness::{Client, Launch, PATIENCE, QoS, Server, Signal, Version, http_get};

/// Longer than any session lasts.
const YEARS: i64 = 3 * 365 * 24 * 3600;
/// To a time before this program was written.
const DECADES: i64 = 20 * 365 * 24 * 3600;
const HOURS: i64 = 5 * 3600;

/// What the server is told the time to be.
struct Machine {
    folder: Arc<tempfile::TempDir>,
    library: PathBuf,
}

impl Machine {
    fn new(test: &str) -> Option<Self> {
        let libraries = std::fs::read_dir("/usr/lib").unwrap().flatten();
        let library = libraries
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.is_file());
        if library.is_none() {
            harness::skip(test, "there is no libfaketime", "apt-get install faketime");
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let machine = Self {
            folder,
            library: library?,
        };
        machine.set(0);
        Some(machine)
    }

    /// Its clock is so many seconds from the right time.
    fn set(&self, seconds: i64) {
        // Never read half written.
        let new = self.folder.path().join("offset.new");
        std::fs::write(&new, format!("{seconds:+}")).unwrap();
        std::fs::rename(new, self.offset()).unwrap();
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    fn start(&self) -> Server {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        Launch::new()
            .folder(&self.folder)
            .config("[log]\nlevel = \"info\"\n")
            .variable("LD_PRELOAD", &text(&self.library))
            .variable("FAKETIME_TIMESTAMP_FILE", &text(&self.offset()))
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("NO_FAKE_STAT", "1")
            .start()
    }
}

/// Awaits that the machine's clock is so many seconds ahead of the server's, about.
fn await_offset(server: &Server, expected: i64) {
    let begin = Instant::now();
    loop {
        let metrics = http_get(server.http(), "/metrics");
        let metrics =
            metrics.unwrap_or_else(|error| panic!("{error}: {}", server.program().errors()));
        let metrics = metrics.body;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix("magpie_clock_offset_seconds "))
            .and_then(|value| value.parse::<f64>().ok());
        if value.is_some_and(|value| (value - expected as f64).abs() < 60.0) {
            return;
        }
        let waited = begin.elapsed();
        assert!(waited < PATIENCE, "{value:?} and not {expected}");
        std::thread::yield_now();
    }
}

/// A lasting session with a message that waits for it.
fn leave_a_message(server: &Server) {
    let away = server.dial(Version::V5, "alice", "away").persistent();
    let mut away = away.connect().unwrap();
    away.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
    away.disconnect();
    let mut writer = alice(server);
    assert_eq!(
        writer.publish("im/to/@alice", "still here", QoS::AtLeastOnce),
        Ok(0)
    );
}

fn alice(server: &Server) -> Client {
    server
        .dial(Version::V5, "alice", "writer")
        .connect()
        .unwrap()
}

fn is_there(server: &Server) -> bool {
    let away = server.dial(Version::V5, "alice", "away").persistent();
    let client = away.connect().unwrap();
    let present = client.session_present();
    client.disconnect();
    present
}

#[test]
fn a_jump_ahead_ends_nothing_until_it_is_believed() {
    let test = "a_jump_ahead_ends_nothing_until_it_is_believed";
    let Some(machine) = Machine::new(test) else {
        return;
    };
    let server = machine.start();
    server.add_account("alice");
    leave_a_message(&server);
    await_offset(&server, 0);
    let mark = server.program().error_mark();
    machine.set(YEARS);
    await_offset(&server, YEARS);
    let jumped = |line: &str| line.contains("clock has jumped ahead");
    server.program().error_line(mark, jumped);
    assert!(is_there(&server), "ended by a jump");
    // It came back.
    machine.set(0);
    await_offset(&server, 0);
    assert!(is_there(&server));
    // And stays this time, for as long as the operator wants to wait.
    machine.set(YEARS);
    await_offset(&server, YEARS);
    let config = "[log]\nlevel = \"info\"\n[server]\nclock_believed_secs = 1\n";
    std::fs::write(server.folder().join("magpie.toml"), config).unwrap();
    server.program().signal(Signal::HangUp);
    await_offset(&server, 0);
    assert!(!is_there(&server), "what is over has ended");
    let mut writer = alice(&server);
    writer.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
    writer
        .publish("im/to/@alice", "later", QoS::AtLeastOnce)
        .unwrap();
    let later = writer.receive_where(|message| message.json()["text"] == "later");
    let at = later.unwrap().json()["at"].as_i64().unwrap();
    assert!(at / 1000 > now() + YEARS - 60, "stamps have come back");
}

#[test]
fn a_clock_that_is_set_back_stops_no_time_limit() {
    let test = "a_clock_that_is_set_back_stops_no_time_limit";
    let Some(machine) = Machine::new(test) else {
        return;
    };
    let server = machine.start();
    server.add_account("alice");
    await_offset(&server, 0);
    machine.set(-YEARS);
    await_offset(&server, -YEARS);
    let silent = server.dial(Version::V5, "alice", "silent").keep_alive(1);
    let mut silent = silent.connect().unwrap();
    // Nobody hears of it for longer than its keep-alive; before, it would have stayed for three years.
    silent.end();
    let mut writer = alice(&server);
    assert_eq!(
        writer.publish("im/to/@alice", "hi", QoS::AtLeastOnce),
        Ok(0)
    );
}

#[test]
fn a_start_with_an_earlier_clock_goes_on_from_what_was_written() {
    let test = "a_start_with_an_earlier_clock_goes_on_from_what_was_written";
    let Some(machine) = Machine::new(test) else {
        return;
    };
    let mut server = machine.start();
    server.add_account("alice");
    leave_a_message(&server);
    for behind in [HOURS, DECADES] {
        server.terminate();
        machine.set(-behind);
        server = machine.start();
        await_offset(&server, -behind);
        assert!(is_there(&server));
    }
    // The machine has asked what time it is.
    machine.set(0);
    await_offset(&server, 0);
    assert!(is_there(&server));
}

/// Seconds since 1970, of the machine that tests.
fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs() as i64
}
