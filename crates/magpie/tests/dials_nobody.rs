//! Magpie answers and never calls: it opens no connection of its own, so that no duty of an MQTT client can be its duty.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::fs;

use harness::{Client, QoS, Server, Version};

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Local ports of the process's TCP sockets: those it listens on, and those of its connections.
fn ports(process: u32) -> (BTreeSet<u16>, BTreeSet<u16>) {
    let inodes: BTreeSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        // A descriptor may close while they are listed.
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(text.to_owned())
        })
        .collect();
    let (mut listening, mut connected) = (BTreeSet::new(), BTreeSet::new());
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (columns[1], columns[3], columns[9]);
            if !inodes.contains(inode) {
                continue;
            }
            let (_, port) = local.split_once(':').unwrap();
            let port = u16::from_str_radix(port, 16).unwrap();
            let side = if state == LISTEN {
                &mut listening
            } else {
                &mut connected
            };
            side.insert(port);
        }
    }
    (listening, connected)
}

// [3.1.1 MQTT-7.0.0-1]: a server that dials others has to conform as a client too. This one dials nobody: every connection
// it holds while it works has one of its own listening ports at its end.
#[test]
fn every_connection_was_made_by_the_other_side() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let open = |name, device| -> Client {
        let mut client = server.dial(Version::V311, name, device).connect().unwrap();
        client.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
        client
    };
    let mut alice = open("alice", "a");
    let mut bob = open("bob", "b");
    for number in 0..20 {
        let text = number.to_string();
        alice
            .publish("im/to/@bob", &text, QoS::AtLeastOnce)
            .unwrap();
        assert_eq!(bob.receive().unwrap().json()["text"], *text);
        let (listening, connected) = ports(server.program().pid());
        assert!(listening.contains(&server.mqtt().port()));
        assert!(listening.contains(&server.http().port()));
        assert!(connected.contains(&server.mqtt().port()), "{connected:?}");
        assert!(
            connected.is_subset(&listening),
            "it listens on {listening:?} and has connections from {connected:?}"
        );
    }
}
