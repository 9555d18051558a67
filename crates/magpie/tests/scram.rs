//! SCRAM-SHA-256 through the real binary, with a client in another language that knows only the RFCs
//! (`tests/clients/python/scram.py`).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;
use std::time::Instant;

use harness::{Launch, Needs, PATIENCE, Program, Server, Signal, Version, password, repository};

/// What the client prints, a line each; nothing if this machine has no Python.
fn scram(test: &str, server: &Server, arguments: &[&str]) -> Option<Vec<String>> {
    let python = Needs { test }.program("python3", "apt-get install python3")?;
    let mut command = Command::new(python);
    command
        .arg(repository().join("tests/clients/python/scram.py"))
        .arg(server.mqtt().to_string())
        .args(arguments);
    let (status, output, errors) = Program::run("scram.py", &mut command, "");
    assert!(status.success(), "{status}\n{output}\n{errors}");
    Some(output.lines().map(str::to_owned).collect())
}

// [5 MQTT-4.12.0-2] [5 MQTT-4.12.0-5] [5 MQTT-4.12.1-2]
#[test]
fn a_client_that_knows_the_rfcs_logs_in_and_renews_its_login() {
    let test = "a_client_that_knows_the_rfcs_logs_in_and_renews_its_login";
    let mut server = Launch::new().keeps_addresses().start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let (secret, other) = (password("alice"), password("bob"));
    let Some(printed) = scram(test, &server, &["alice", &secret, "alice", &secret]) else {
        return;
    };
    assert_eq!(
        printed[1..],
        ["connected to the server", "renewed with the server"]
    );
    assert!(printed[0].ends_with("iterations 10000"), "{printed:?}");
    let run = |server: &Server, arguments: &[&str]| scram(test, server, arguments).unwrap();

    // Another account, or a wrong password, ends a connection that is open.
    for anew in [["bob", &*other], ["alice", "a guess"]] {
        let printed = run(&server, &["alice", &secret, anew[0], anew[1]]);
        assert_eq!(printed[2], "disconnected 87", "{anew:?}");
    }

    // Who there is cannot be told from the answers, not even over a restart.
    let wrong = run(&server, &["alice", "a guess"]);
    let nobody = run(&server, &["nobody", "a guess"]);
    assert_eq!((&*wrong[1], &*nobody[1]), ("refused 86", "refused 86"));
    assert_eq!(wrong[0], printed[0]);
    assert_ne!(nobody[0], wrong[0]);
    assert_eq!(run(&server, &["nobody", "another guess"])[0], nobody[0]);
    server.kill();
    server.restart();
    assert_eq!(run(&server, &["nobody", "a guess"])[0], nobody[0]);
    assert_eq!(run(&server, &["alice", &secret])[0], printed[0]);

    // Who guesses waits, right or wrong, as with passwords.
    for _ in 0..12 {
        run(&server, &["alice", "a guess"]);
    }
    assert_eq!(run(&server, &["alice", &secret]), ["refused 9f"]);
}

#[test]
fn an_account_without_a_verifier_gets_it_with_its_next_password() {
    let test = "an_account_without_a_verifier_gets_it_with_its_next_password";
    let server = Launch::new().config("[auth]\nscram = false\n").start();
    server.add_account("alice");
    let secret = password("alice");
    let Some(printed) = scram(test, &server, &["alice", &secret]) else {
        return;
    };
    assert_eq!(printed, ["refused 8c"], "the method is off");

    let mark = server.program().error_mark();
    let config = "[auth]\nscram_iterations = 5000\nfailures_per_minute_per_account = 1000\nfailures_per_minute_per_address = 1000\nfailures_per_minute_per_address_and_account = 1000\n";
    std::fs::write(server.folder().join("magpie.toml"), config).unwrap();
    server.program().signal(Signal::HangUp);
    server
        .program()
        .error_line(mark, |line| line.contains("configuration reloaded"));
    let run = || scram(test, &server, &["alice", &secret]).unwrap();
    // There is nothing to prove against, and no telling that from a wrong password.
    assert_eq!(run()[1], "refused 86");
    server
        .dial(Version::V311, "alice", "old")
        .connect()
        .unwrap();
    // The verifier is made behind the login that brought the password.
    let began = Instant::now();
    let printed = loop {
        let printed = run();
        if printed[1] != "refused 86" {
            break printed;
        }
        assert!(began.elapsed() < PATIENCE, "{printed:?}");
    };
    assert_eq!(printed[1], "connected to the server");
    assert!(printed[0].ends_with("iterations 5000"), "{printed:?}");
}
