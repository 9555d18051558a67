//! The client against somebody else's server: a test client that is only ever held against ours proves nothing.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::process::Command;

use harness::{Client, Dial, Needs, Program, QoS, Version, own_address};

/// A mosquitto, and its address.
fn mosquitto(test: &str) -> Option<(Program, SocketAddr)> {
    let binary = Needs { test }.program("mosquitto", "apt-get install mosquitto")?;
    let address = own_address();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mosquitto.conf");
    let text = format!(
        "listener {} {}\nallow_anonymous true\n",
        address.port(),
        address.ip()
    );
    std::fs::write(&config, text).unwrap();
    let program = Program::start(
        "mosquitto",
        Command::new(binary).arg("-v").arg("-c").arg(&config),
    );
    program.error_line(0, |line| line.contains("running"));
    Some((program, address))
}

fn connect(dial: Dial) -> Client {
    dial.connect().unwrap()
}

#[test]
fn messages_of_every_qos_arrive_in_every_version() {
    let Some((_mosquitto, address)) = mosquitto("messages_of_every_qos_arrive_in_every_version")
    else {
        return;
    };
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut reader = connect(Dial::new(address, version, "reader"));
        let mut writer = connect(Dial::new(address, version, "writer"));
        assert_eq!(reader.subscribe(&[("a/#", QoS::ExactlyOnce)]), Ok(vec![2]));
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            writer.publish("a/b", format!("{qos:?}"), qos).unwrap();
            let message = reader.receive().unwrap();
            assert_eq!(
                (message.text(), message.qos),
                (format!("{qos:?}").as_str(), qos)
            );
        }
        reader.ping().unwrap();
        assert_eq!(reader.take_inbox(), []);
        reader.disconnect();
    }
}

#[test]
fn a_persistent_session_is_resumed_and_resends_what_was_not_acknowledged() {
    let name = "a_persistent_session_is_resumed_and_resends_what_was_not_acknowledged";
    let Some((_mosquitto, address)) = mosquitto(name) else {
        return;
    };
    for version in [Version::V311, Version::V5] {
        let mut reader =
            connect(Dial::new(address, version, &format!("reader {version:?}")).persistent());
        let mut writer = connect(Dial::new(address, version, "writer"));
        reader.subscribe(&[("a/#", QoS::ExactlyOnce)]).unwrap();
        reader.hold_acknowledgements();
        writer.publish("a/b", "one", QoS::ExactlyOnce).unwrap();
        writer.publish("a/b", "two", QoS::AtLeastOnce).unwrap();
        reader
            .receive_where(|message| message.text() == "two")
            .unwrap();
        reader.drop_connection();
        writer.publish("a/b", "three", QoS::ExactlyOnce).unwrap();
        assert_eq!(reader.reconnect(), Ok(true));
        // QoS 1 comes again; the QoS 2 message is here already and must not be handed over twice.
        let two = reader
            .receive_where(|message| message.text() == "two")
            .unwrap();
        assert!(two.dup);
        reader
            .receive_where(|message| message.text() == "three")
            .unwrap();
        let left: Vec<_> = reader
            .take_inbox()
            .iter()
            .map(|message| message.text().to_owned())
            .collect();
        assert_eq!(left, ["one"]);
    }
}
