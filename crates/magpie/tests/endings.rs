//! How connections end, seen from outside: nobody waits for a keep-alive where the end can be known.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Barrier;

use harness::{ClientError, Dial, Launch, QoS, Server, Version, password};

/// So often that the last words and the end lie in the socket together at least once.
const ROUNDS: u32 = 50;

#[test]
fn last_words_and_the_end_may_come_together() {
    let server = Launch::new().argument("--allow-anonymous").start();
    let mut watcher = Dial::new(server.mqtt(), Version::V5, "watcher")
        .connect()
        .unwrap();
    watcher.subscribe(&[("last/#", QoS::AtMostOnce)]).unwrap();
    for round in 0..ROUNDS {
        let mut dying = Dial::new(server.mqtt(), Version::V311, "dying")
            .will("last/will", &round.to_string(), QoS::AtMostOnce)
            .connect()
            .unwrap();
        dying
            .send("last/word", round.to_string(), QoS::AtMostOnce)
            .unwrap();
        dying.drop_connection();
        // Its keep-alive is a minute: an end that was overlooked would come far too late.
        for topic in ["last/word", "last/will"] {
            let message = watcher.receive().unwrap();
            assert_eq!(
                (&*message.topic, message.text()),
                (topic, &*round.to_string())
            );
        }
    }
}

/// Whoever logs in with a password while it is changed is either refused or disconnected: with the old password nobody stays.
#[test]
fn a_login_under_way_does_not_survive_another_password() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    for round in 0..6 {
        let old = if round == 0 {
            password("bob")
        } else {
            format!("password number {round}")
        };
        let new = format!("password number {}", round + 1);
        let together = Barrier::new(2);
        let client = std::thread::scope(|scope| {
            let login = scope.spawn(|| {
                together.wait();
                let dial = Dial::new(server.mqtt(), Version::V5, "bob-phone");
                dial.login("bob", &old).connect()
            });
            together.wait();
            let arguments = ["passwd", "bob", "--password-stdin"];
            let (status, _, errors) = server.account(&arguments, &format!("{new}\n"));
            assert!(status.success(), "{errors}");
            login.join().unwrap()
        });
        match client {
            // 0x86: the password was no longer right; 0x87: the account was closed while it logged in.
            Err(ClientError::Refused(code)) => assert!(matches!(code, 0x86 | 0x87), "{code:#x}"),
            Err(ClientError::Lost(_)) => {}
            Err(other) => panic!("{other}"),
            Ok(mut client) => assert!(
                matches!(
                    client.end(),
                    ClientError::Disconnected(0x98) | ClientError::Lost(_)
                ),
                "closed by an administrative action"
            ),
        }
    }
}
