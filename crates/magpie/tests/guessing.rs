//! Guessing names and passwords against the real server: what is checked of a burst, and what the answers tell.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::thread;

use harness::{ClientError, Dial, Launch, QoS, Server, Version, Wire, password};

const WRONG: u8 = 0x86;
const THROTTLED: u8 = 0x9F;

/// What a login is answered with; 0 lets it in.
fn log_in(server: &Server, name: &str, password: &str) -> u8 {
    let dial = Dial::new(server.mqtt(), Version::V5, "check").login(name, password);
    match dial.connect() {
        Ok(client) => {
            client.disconnect();
            0
        }
        Err(ClientError::Refused(code)) => code,
        Err(other) => panic!("{name}: {other}"),
    }
}

/// The answers to all of these names and passwords at once.
fn log_in_at_once(server: &Server, logins: &[(String, String)]) -> Vec<u8> {
    thread::scope(|scope| {
        let logins = logins.iter();
        let asking: Vec<_> = logins
            .map(|(name, password)| scope.spawn(|| log_in(server, name, password)))
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn checks(server: &Server) -> u64 {
    server.metric("magpie_password_checks_total", "")
}

#[test]
fn of_a_burst_of_guesses_no_more_are_checked_than_an_address_may_fail() {
    let server = Launch::new()
        .config("[auth]\nfailures_per_minute_per_address = 10\n")
        .start();
    let guesses: Vec<_> = (0..100)
        .map(|number| (format!("name{number}"), "a wrong password".to_owned()))
        .collect();
    let answers = log_in_at_once(&server, &guesses);
    let wrong = answers.iter().filter(|code| **code == WRONG).count();
    let throttled = answers.iter().filter(|code| **code == THROTTLED).count();
    assert_eq!((wrong, throttled), (10, 90), "{answers:02x?}");
    assert_eq!(checks(&server), 10);
}

#[test]
fn which_names_exist_is_told_neither_by_checks_nor_by_throttles() {
    let server = Launch::new()
        .config(
            "[auth]\nfailures_per_minute_per_address = 10000\nchecks_per_second_per_address = 0\n",
        )
        .start();
    for name in ["alice", "bob", "carol", "dave"] {
        server.add_account(name);
    }
    let guesses: Vec<_> = (0..36)
        .map(|number| format!("nobody{number}"))
        .chain(["alice", "bob", "carol", "dave"].map(str::to_owned))
        .map(|name| (name, "a wrong password".to_owned()))
        .collect();
    let answers = log_in_at_once(&server, &guesses);
    assert_eq!(answers, [WRONG; 40]);
    assert_eq!(checks(&server), 40, "each of them takes its time");

    let until_throttled = |name: &str| {
        let mut answers = (0..40).map(|number| log_in(&server, name, &format!("guess {number}")));
        answers.position(|code| code != WRONG)
    };
    let known = until_throttled("alice");
    assert!(known.is_some());
    assert_eq!(until_throttled("nobody0"), known);
}

/// A right password is no failure, however many are checked at once.
#[test]
fn right_passwords_that_come_at_once_are_all_let_in() {
    let server = Launch::new()
        .config("[auth]\nfailures_per_minute_per_address = 3\n")
        .start();
    let names: Vec<String> = (0..8).map(|number| format!("person{number}")).collect();
    for name in &names {
        server.add_account(name);
    }
    let logins: Vec<_> = names
        .iter()
        .map(|name| (name.clone(), password(name)))
        .collect();
    assert_eq!(log_in_at_once(&server, &logins), [0; 8]);
}

#[test]
fn the_log_tells_of_refused_logins_once_a_minute_for_each_address() {
    let server = Server::start();
    let mark = server.program().error_mark();
    for number in 0..3 {
        let name = format!("eve{number}\n\u{1b}[31m{}", "e".repeat(100));
        assert_eq!(log_in(&server, &name, "a wrong password"), WRONG);
    }
    let (_, line) = server
        .program()
        .error_line(mark, |line| line.contains("login refused"));
    for part in ["eve0", "127.0.0.1", "wrong name or password"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(
        !line.contains('\u{1b}') && !line.contains(&"e".repeat(65)),
        "{line}"
    );
    let log = server.program().errors();
    assert_eq!(log.matches("login refused").count(), 1, "{log}");
}

/// A device that says everything at once and goes is served, though nobody waits for its CONNACK.
#[test]
fn what_follows_a_connect_at_once_is_published_though_its_sender_has_gone() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let mut bob = server.dial(Version::V311, "bob", "ear").connect().unwrap();
    bob.subscribe(&[("im/in/@alice", QoS::AtLeastOnce)])
        .unwrap();
    let secret = password("alice");
    let mut connect = b"\x00\x04MQTT\x04\xC2\x00\x3c".to_vec();
    for text in ["sensor", "alice", &secret] {
        connect.extend((text.len() as u16).to_be_bytes());
        connect.extend(text.as_bytes());
    }
    let mut packets = vec![0x10, connect.len() as u8];
    packets.append(&mut connect);
    packets.extend(b"\x30\x10\x00\x0Aim/to/@bob21.5");
    packets.extend(b"\xe0\x00");
    let mut sensor = Wire::open(server.mqtt());
    sensor.send(&packets);
    drop(sensor);
    assert_eq!(bob.receive().unwrap().json()["text"], "21.5");
}
