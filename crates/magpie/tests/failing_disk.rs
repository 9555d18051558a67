//! A disk that takes no more: nothing is acknowledged after the write that failed, and the server ends and says why.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use harness::{ClientError, Launch, QoS, Version};
use serde_json::json;

#[test]
fn a_failed_commit_ends_the_server_and_acknowledges_nothing() {
    // With SIGXFSZ ignored a write beyond the limit is an error, as on a full disk, and not the end of the process.
    let ignoring = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let mut server = Launch::new().keeps_addresses().under(&ignoring).start();
    server.add_account("alice");
    let mut writers: Vec<_> = [
        (Version::V311, QoS::AtLeastOnce),
        (Version::V5, QoS::ExactlyOnce),
    ]
    .into_iter()
    .map(|(version, qos)| {
        let dial = server
            .dial(version, "alice", &format!("{version:?}"))
            .persistent();
        let mut client = dial.connect().unwrap();
        client
            .publish("im/to/@alice", format!("before, {version:?}"), qos)
            .unwrap();
        (client, qos)
    })
    .collect();

    server.program().limit_file_size(1);
    for (client, qos) in &mut writers {
        // Taken in, perhaps; the connection may also have gone with the other client's message.
        let end = client.publish("im/to/@alice", "too much", *qos);
        assert!(
            matches!(
                end,
                Err(ClientError::Lost(_) | ClientError::Disconnected(_))
            ),
            "{end:?}"
        );
    }
    let status = server.program().end();
    let log = server.program().errors();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("magpie: the server has failed"), "{log}");
    assert!(
        log.contains("large") || log.contains("os error"),
        "it does not say why: {log}"
    );

    server.restart();
    let mut count = server
        .dial(Version::V5, "alice", "count")
        .connect()
        .unwrap();
    count
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    let answer = count
        .ask("history", "1", &json!({"conv": "@alice", "limit": 50}))
        .unwrap();
    let texts: Vec<_> = answer["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["text"])
        .collect();
    assert_eq!(texts, ["before, V311", "before, V5"], "{answer}");
    for (client, qos) in &mut writers {
        assert_eq!(client.reconnect(), Ok(true));
        // What nobody acknowledged is resent by the client and stored now.
        assert_eq!(client.publish("im/to/@alice", "after", *qos), Ok(0));
    }
    let answer = count
        .ask("history", "2", &json!({"conv": "@alice", "limit": 50}))
        .unwrap();
    let resent = answer["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["text"] == "too much");
    assert_eq!(resent.count(), 2, "{answer}");
}
