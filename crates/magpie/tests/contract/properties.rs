//! What MQTT 5 adds to a message and a subscription, in the messenger.

use std::time::{Duration, Instant};

use harness::{Client, QoS, Version};
use mqtt_codec::publish::{PublishHead, encode, write_user_property};
use serde_json::json;

use crate::{device, on, send, start};

#[test]
fn no_local_keeps_what_a_device_says_from_itself_live_and_when_it_comes_back() {
    let server = start();
    // MQTT 5 subscription options: QoS 1, No Local.
    let no_local = |client: &mut Client, filter: &str| {
        let mut body = vec![0, 77, 0];
        body.extend((filter.len() as u16).to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(0b101);
        let mut packet = vec![0x82, body.len() as u8];
        packet.extend(body);
        client.send_raw(&packet).unwrap();
        client.ping().unwrap();
    };
    let dial = server.dial(Version::V5, "alice", "phone").persistent();
    let mut phone = dial.connect().unwrap();
    no_local(&mut phone, "im/in/#");
    let mut laptop = device(&server, Version::V5, "alice", "laptop", &["im/in/+"]);
    send(&mut phone, "im/to/@bob", "from the phone");
    send(&mut laptop, "im/to/@bob", "from the laptop");
    assert_eq!(
        on(&mut laptop, "im/in/@bob").json()["text"],
        "from the phone"
    );
    assert_eq!(
        on(&mut phone, "im/in/@bob").json()["text"],
        "from the laptop"
    );
    // What it had said itself when its connection broke is not brought back either.
    for number in 0..20 {
        phone
            .send("im/to/@bob", format!("{number}"), QoS::AtLeastOnce)
            .unwrap();
    }
    on(&mut laptop, "im/in/@bob");
    phone.drop_connection();
    // Until all of it has come through, or has been lost with the connection.
    let deadline = Instant::now() + Duration::from_millis(500);
    laptop.receive_until(deadline, |_| false).unwrap();
    send(&mut laptop, "im/to/@bob", "the last");
    assert!(phone.reconnect().unwrap());
    let message = phone
        .receive_where(|message| {
            message.topic == "im/in/@bob" && message.json()["text"] == "the last"
        })
        .unwrap();
    assert_eq!(message.json()["from"], "alice");
    let own = phone.take_inbox();
    assert!(
        own.iter().all(|message| message.topic != "im/in/@bob"),
        "{own:?}"
    );
}

#[test]
fn content_type_and_user_properties_go_with_a_message_and_expiry_ends_it() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &["im/answer/+"]);
    let mut bob = device(
        &server,
        Version::V311,
        "bob",
        "phone",
        &["im/in/+", "im/answer/+"],
    );
    let mut forwarded = vec![0x03, 0, 13];
    forwarded.extend(b"text/markdown");
    write_user_property(&mut forwarded, "lang", "ko");
    write_user_property(&mut forwarded, "lang", "en");
    let head = PublishHead {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "im/to/@bob",
        packet_id: None,
        expiry: Some(2),
        alias: None,
        subscription_identifiers: &[],
        forwarded: &forwarded,
    };
    let mut packet = Vec::new();
    encode(Version::V5, head, b"*hi*", &mut packet);
    alice.send_raw(&packet).unwrap();
    let said = on(&mut bob, "im/in/@alice").json();
    assert_eq!(said["content_type"], "text/markdown");
    assert_eq!(
        said["user_properties"],
        json!([["lang", "ko"], ["lang", "en"]])
    );
    assert_eq!((&said["ttl"], &said["text"]), (&json!(2), &json!("*hi*")));
    let question = json!({"conv": "@alice"});
    let before = bob.ask("history", "h", &question).unwrap();
    assert_eq!(before["entries"].as_array().unwrap().last(), Some(&said));
    std::thread::sleep(Duration::from_millis(2_100));
    let after = bob.ask("history", "h", &question).unwrap();
    let left = after["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&left["expired"], &left["seq"]),
        (&json!(true), &said["seq"])
    );
    assert!(
        left.get("text").is_none() && left.get("content_type").is_none(),
        "{left}"
    );
    let listed = alice.ask("conversations", "c", &json!({})).unwrap();
    assert_eq!(listed["conversations"][0]["head"]["expired"], true);
}
