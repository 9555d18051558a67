//! `magpie backup`, `restore`, `verify` and `store` through the real binary, with a server that runs under load and without one;
//! and that docs/backup.md does what it says.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use harness::{
    Client, Launch, Message, PATIENCE, Program, QoS, Server, Version, magpie, repository,
};

const ANYBODY: &str = "[mqtt]\nallow_anonymous = true\n";
const TOPIC: &str = "log/load";

fn launch() -> Server {
    Launch::new().config(ANYBODY).keeps_addresses().start()
}

/// Runs the program with these arguments: exit code, standard output, standard error.
fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(magpie());
    command.args(arguments).current_dir(folder);
    let (status, output, errors) = Program::run("magpie", &mut command, "");
    (status.code(), output, errors)
}

/// Runs it on a server's data directory; it has to succeed. What it printed.
fn done(server: &Server, arguments: &[&str]) -> String {
    let data = server.data();
    let mut all = arguments.to_vec();
    all.extend(["--data", data.to_str().unwrap()]);
    let (code, output, errors) = run(&all, server.folder());
    assert_eq!(code, Some(0), "{arguments:?}: {output}\n{errors}");
    output
}

/// Runs it; it has to be refused. The sentence.
fn refused(server: &Server, arguments: &[&str]) -> String {
    let data = server.data();
    let mut all = arguments.to_vec();
    all.extend(["--data", data.to_str().unwrap()]);
    let (code, output, errors) = run(&all, server.folder());
    assert_eq!(code, Some(1), "{arguments:?}: {output}\n{errors}");
    errors
}

/// A session that stays away and for which messages wait.
fn subscriber(server: &Server) -> Client {
    let dial = server.dial(Version::V5, "alice", "archive").persistent();
    let mut client = dial.connect().unwrap();
    client
        .subscribe(&[("log/#", QoS::AtLeastOnce), ("im/in/#", QoS::AtLeastOnce)])
        .unwrap();
    client.drop_connection();
    client
}

/// Takes what waits up to the message with this number, and says which numbers came.
fn take(client: &mut Client, last: usize) -> Vec<usize> {
    assert_eq!(client.reconnect(), Ok(true), "the session is restored");
    let mut numbers = Vec::new();
    while numbers.last().is_none_or(|number| *number < last) {
        let message: Message = client.receive().unwrap();
        if message.topic == TOPIC {
            numbers.push(message.text()[..8].parse().unwrap());
        }
    }
    numbers
}

/// Publishes until it is stopped, and counts what was acknowledged.
fn publish(server: &Server, stop: &AtomicBool, acknowledged: &AtomicUsize) {
    let dial = server.dial(Version::V5, "alice", "load");
    let mut client = dial.connect().unwrap();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{number:08}").repeat(100);
        let answer = client.publish(TOPIC, text, QoS::AtLeastOnce);
        assert_eq!(answer, Ok(0));
        number += 1;
        acknowledged.store(number, Ordering::Release);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_was_acknowledged_before_a_backup_began_is_there_after_a_lost_disk() {
    let mut server = launch();
    server.add_account("alice");
    let mut archive = subscriber(&server);
    let target = server.folder().join("backup");
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut before = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&server, &stop, &acknowledged));
        for round in 1..=3 {
            while acknowledged.load(Ordering::Acquire) < round * 100 {
                std::thread::yield_now();
            }
            before = acknowledged.load(Ordering::Acquire);
            let said = done(&server, &["backup", text(&target), "--json"]);
            let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(summary["generation"], round);
        }
        let report: serde_json::Value =
            serde_json::from_str(&done(&server, &["store", "--json"])).unwrap();
        assert!(report["commit"].as_u64().unwrap() > 300, "{report}");
        assert!(report["oldest_queued"].as_u64().is_some(), "{report}");
        let said = done(&server, &["verify"]);
        assert!(said.contains(" is whole: commit "), "{said}");
        stop.store(true, Ordering::Relaxed);
    });
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    done(&server, &["verify", text(&target)]);
    done(&server, &["restore", text(&target)]);
    done(&server, &["verify"]);
    server.restart();
    let numbers = take(&mut archive, before - 1);
    assert_eq!(numbers[..before], (0..before).collect::<Vec<_>>());
    // It goes on, and so do its backups.
    server.add_account("bob");
    let said = done(&server, &["backup", text(&target), "--keep", "2"]);
    assert!(
        said.contains("generation 4") && said.contains("removed: generation 1, 2"),
        "{said}"
    );
}

#[test]
fn a_stream_is_restored_without_a_folder_and_without_a_server() {
    let mut server = launch();
    server.add_account("alice");
    let archive = server.folder().join("magpie.tar");
    let stream = |server: &Server| {
        let mut command = Command::new(magpie());
        command
            .args(["backup", "-", "--data"])
            .arg(server.data())
            .current_dir(server.folder())
            .stdout(fs::File::create(&archive).unwrap())
            .stderr(Stdio::piped());
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains("backup at commit"), "{errors}");
    };
    stream(&server);
    server.terminate();
    for running in [true, false] {
        if !running {
            stream(&server);
        }
        let data = server.folder().join(format!("restored-{running}"));
        let mut command = Command::new(magpie());
        command
            .args(["restore", "-", "--data"])
            .arg(&data)
            .current_dir(server.folder())
            .stdin(fs::File::open(&archive).unwrap());
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (code, names, _) = run(&["account", "list", "--data", text(&data)], server.folder());
        assert_eq!(
            (code, names.split_whitespace().next()),
            (Some(0), Some("alice"))
        );
    }
    let restored = server.folder().join("restored-from-file");
    let (code, _, errors) = run(
        &["restore", text(&archive), "--data", text(&restored)],
        server.folder(),
    );
    assert_eq!(code, Some(0), "{errors}");
    fs::remove_dir_all(server.data()).unwrap();
    fs::rename(restored, server.data()).unwrap();
    server.restart();
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let server = launch();
    server.add_account("alice");
    let folder = server.folder();
    let inside = server.data().join("backup");
    let told = refused(&server, &["backup", text(&inside)]);
    assert!(told.contains("lies in the data directory"), "{told}");
    let told = refused(&server, &["backup", text(folder)]);
    assert!(told.contains("is not empty and holds no backup"), "{told}");
    let target = folder.join("backup");
    let told = refused(&server, &["restore", text(&target)]);
    assert!(told.contains("holds no complete backup"), "{told}");
    done(&server, &["backup", text(&target)]);
    let told = refused(&server, &["restore", text(&target)]);
    assert!(told.contains("is in use by process"), "{told}");
    let told = refused(&server, &["restore", text(&target), "--at", "9"]);
    assert!(told.contains("holds no generation 9; it has 1"), "{told}");
    let listed = done(&server, &["restore", text(&target), "--list"]);
    assert!(
        listed.starts_with("     1  20") && listed.contains("UTC  commit "),
        "{listed}"
    );
    server.terminate();
    let told = refused(&server, &["restore", text(&target)]);
    assert!(
        told.contains("is not empty; restore into a new directory"),
        "{told}"
    );
    let other = folder.join("other");
    let other_data = other.join("data");
    fs::create_dir(&other).unwrap();
    let arguments = [
        "account",
        "add",
        "carol",
        "--create",
        "--password-stdin",
        "--data",
        text(&other_data),
    ];
    let mut command = Command::new(magpie());
    command.args(arguments).current_dir(&other);
    Program::run("magpie account", &mut command, "long enough, surely\n");
    let arguments = ["backup", text(&target), "--data", text(&other_data)];
    let (code, _, told) = run(&arguments, &other);
    assert_eq!(code, Some(1));
    assert!(told.contains("holds backups of another server"), "{told}");
    let (code, _, told) = run(&["store", "--data", "nowhere"], folder);
    assert_eq!(code, Some(1));
    assert!(
        told.contains("there is no data of a server in nowhere"),
        "{told}"
    );
    // A stopped server's store is looked at as well.
    assert!(done(&server, &["store"]).contains("last commit"));
    done(&server, &["verify"]);
    let manifest = target.join("generation-000001/manifest");
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[20] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    let told = refused(&server, &["verify", text(&target)]);
    assert!(told.contains("manifest is damaged"), "{told}");
}

/// A backup that copies so slowly that it does not end by itself in a test; it has begun when this returns.
fn slow_backup(server: &Server, target: &Path) -> std::process::Child {
    let mut command = Command::new(magpie());
    command
        .args(["backup", text(target), "--rate", "1", "--data"])
        .arg(server.data())
        .current_dir(server.folder())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // It is made when the server has said what there is.
    while !target.join("generation-000001").exists() {
        assert!(Instant::now() < deadline, "the backup does not begin");
        std::thread::yield_now();
    }
    child
}

#[test]
fn one_backup_is_made_at_a_time_and_one_that_is_killed_is_out_of_the_way() {
    let server = launch();
    server.add_account("alice");
    let slow = server.folder().join("slow");
    let target = server.folder().join("backup");
    let mut child = slow_backup(&server, &slow);
    let told = refused(&server, &["backup", text(&target)]);
    assert!(
        told.contains("another backup of this server is being made"),
        "{told}"
    );
    let told = refused(&server, &["backup", text(&slow)]);
    assert!(
        told.contains("another backup is being written to"),
        "{told}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let arguments = ["backup", text(&slow), "--data", text(&server.data())].map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, output, errors) = run(&arguments, server.folder());
        if code == Some(0) {
            assert!(output.starts_with("generation 2 in "), "{output}");
            break;
        }
        // The server has not noticed yet.
        assert!(errors.contains("another backup of this server"), "{errors}");
        assert!(
            Instant::now() < deadline,
            "the server waits for the killed one"
        );
    }
    done(&server, &["verify", text(&slow)]);
}

/// The fenced blocks of a kind in docs/backup.md.
fn blocks(kind: &str) -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs/backup.md")).unwrap();
    let opening = format!("```{kind}\n");
    let blocks = page.split(&opening).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A line of the page with this test's places in it.
fn here(line: &str, server: &Server) -> String {
    let data = server.data();
    line.replace("/mnt/backup/magpie", text(&server.folder().join("backup")))
        .replace("/var/lib/magpie", text(&data))
        .replace("/usr/local/bin/magpie", text(&magpie()))
}

fn shell(line: &str, server: &Server) -> String {
    let program: PathBuf = magpie();
    let path = std::env::join_paths(
        std::iter::once(program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &here(line, server)])
        .current_dir(server.folder())
        .env("PATH", path.unwrap());
    let (status, output, errors) = Program::run("sh", &mut command, "");
    assert!(status.success(), "{line}: {output}\n{errors}");
    output
}

/// What changes from run to run is taken out: numbers and units.
fn shape(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let is_unit = ["B", "KiB", "MiB", "GiB"].contains(&word);
        match word {
            _ if is_unit => "u".to_owned(),
            _ => word
                .split(|c: char| c.is_ascii_digit())
                .filter(|part| !part.is_empty() && ![".", ":", "-"].contains(part))
                .collect::<Vec<_>>()
                .join("#"),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_story_of_the_lost_disk_is_true() {
    let mut server = launch();
    server.add_account("alice");
    for block in blocks("console") {
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line
                .strip_prefix("$ ")
                .unwrap_or_else(|| panic!("{line:?}"));
            let mut expected = String::new();
            while let Some(next) = lines.next_if(|next| !next.starts_with("$ ")) {
                expected.push_str(next);
                expected.push('\n');
            }
            if command.starts_with("rm ") {
                server.kill();
            }
            let output = shell(command, &server);
            assert_eq!(
                shape(&output),
                shape(&here(&expected, &server)),
                "{command}"
            );
        }
    }
    server.restart();
    let login = server.dial(Version::V311, "alice", "check");
    login.connect().unwrap().disconnect();
}

#[test]
fn the_cron_line_and_the_timer_make_backups() {
    let server = launch();
    let lines: Vec<String> = blocks("cron").concat().lines().map(str::to_owned).collect();
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    let fields: Vec<&str> = line.splitn(7, ' ').collect();
    let [times @ .., user, command] = &fields[..] else {
        panic!("{fields:?}")
    };
    let is_time = |field: &&str| {
        field
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"*/,-".contains(&byte))
    };
    assert!(times.len() == 5 && times.iter().all(is_time), "{times:?}");
    assert_eq!(*user, "magpie");
    assert!(!command.contains('%'), "cron would end the line there");
    shell(command, &server);
    let units = blocks("ini").concat();
    let value = |name: &str| {
        let mut lines = units.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {units}"))
    };
    shell(value("ExecStart"), &server);
    let calendar = format!("systemd-analyze calendar '{}'", value("OnCalendar"));
    let has_systemd = Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_ok();
    if has_systemd {
        shell(&calendar, &server);
    }
    let listed = done(
        &server,
        &["restore", text(&server.folder().join("backup")), "--list"],
    );
    assert_eq!(listed.lines().count(), 2, "{listed}");
}
