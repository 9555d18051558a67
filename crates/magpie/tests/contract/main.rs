//! The topic contract as clients see it, over sockets: who gets what, on which topic, stamped by whom.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod properties;
mod refusals;

use harness::{Client, ClientError, Launch, Message, QoS, Server, Version};
use serde_json::{Value, json};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// A server with an administrator, alice, bob and carol.
fn start() -> Server {
    let server = Server::start();
    for name in ["admin", "alice", "bob", "carol"] {
        server.add_account(name);
    }
    server
}

/// A device of `name` that has subscribed to `filters` at QoS 1.
fn device(
    server: &Server,
    version: Version,
    name: &str,
    client_id: &str,
    filters: &[&str],
) -> Client {
    let mut client = server.dial(version, name, client_id).connect().unwrap();
    if !filters.is_empty() {
        let filters: Vec<_> = filters
            .iter()
            .map(|&filter| (filter, QoS::AtLeastOnce))
            .collect();
        let granted = client.subscribe(&filters).unwrap();
        assert!(
            granted.iter().all(|code| *code == 1),
            "{filters:?}: {granted:?}"
        );
    }
    client
}

/// Sends and has it acknowledged.
fn send(client: &mut Client, topic: &str, body: &str) {
    assert_eq!(
        client.publish(topic, body, QoS::AtLeastOnce),
        Ok(0),
        "{topic}"
    );
}

fn on(client: &mut Client, topic: &str) -> Message {
    client
        .receive_where(|message| message.topic == topic)
        .unwrap()
}

/// Makes a group with alice as its owner.
fn group(server: &Server, slug: &str, members: &[&str]) -> Client {
    let mut alice = device(server, Version::V5, "alice", "owner", &["im/answer/+"]);
    let question = json!({"slug": slug, "title": slug, "accounts": members});
    let answer = alice.ask("group.create", "new", &question).unwrap();
    assert_eq!(answer["conv"], slug, "{answer}");
    alice
}

#[test]
fn a_message_reaches_every_device_of_both_sides_and_each_sees_its_peer() {
    let server = start();
    for version in VERSIONS {
        let mut phone = device(
            &server,
            version,
            "alice",
            "phone",
            &["im/in/#", "im/text/#", "im/ack/+"],
        );
        let mut laptop = device(&server, Version::V5, "alice", "laptop", &["im/in/+"]);
        let mut bob = device(
            &server,
            Version::V311,
            "bob",
            "terminal",
            &["im/in/+", "im/text/+"],
        );
        let mid = format!("m {version:?}");
        let body = json!({"mid": mid, "text": "안녕, bob", "x": {"kept": [1, 2]}, "from": "mallory", "seq": 99, "unknown": 1});
        send(&mut phone, "im/to/@bob", &body.to_string());

        let ack = on(&mut phone, &format!("im/ack/{mid}")).json();
        assert_eq!((&ack["ok"], &ack["conv"]), (&json!(true), &json!("@bob")));
        let at_bobs = on(&mut bob, "im/in/@alice");
        let message = at_bobs.json();
        assert_eq!(
            message["from"], "alice",
            "what a client claims is overwritten"
        );
        let device = message["device"].as_str().unwrap();
        assert!(device.len() == 16 && device != "phone", "{device}");
        assert_eq!(
            (&message["seq"], &message["pos"]),
            (&ack["seq"], &ack["pos"])
        );
        assert_eq!(
            (&message["mid"], &message["text"], &message["x"]),
            (&json!(mid), &json!("안녕, bob"), &json!({"kept": [1, 2]}))
        );
        assert!(
            message["at"].as_u64().is_some()
                && message.get("v").is_none()
                && message.get("unknown").is_none(),
            "{message}"
        );
        for own in [&mut phone, &mut laptop] {
            assert_eq!(
                on(own, "im/in/@bob").payload,
                at_bobs.payload,
                "one payload for all"
            );
        }
        assert_eq!(on(&mut bob, "im/text/@alice").text(), "alice: 안녕, bob");
        assert_eq!(on(&mut phone, "im/text/@bob").text(), "alice: 안녕, bob");
    }
}

#[test]
fn plain_text_at_qos_0_is_stored_all_the_same_and_retain_is_ignored() {
    let server = start();
    let mut alice = device(
        &server,
        Version::V311,
        "alice",
        "phone",
        &["im/in/+", "im/ack/+"],
    );
    alice
        .publish(
            "im/to/@alice",
            r#"{"mid":"zero","text":"at QoS 0"}"#,
            QoS::AtMostOnce,
        )
        .unwrap();
    assert_eq!(on(&mut alice, "im/ack/zero").json()["seq"], 1);
    assert_eq!(
        alice.retain("im/to/@alice", "not kept on the topic", QoS::AtLeastOnce),
        Ok(0)
    );
    assert_eq!(on(&mut alice, "im/in/@alice").json()["text"], "at QoS 0");
    assert_eq!(
        on(&mut alice, "im/in/@alice").json()["text"],
        "not kept on the topic"
    );
    let mut later = device(&server, Version::V5, "alice", "later", &["im/in/+"]);
    send(&mut later, "im/to/@alice", "now");
    let first = later.receive().unwrap();
    assert_eq!(
        (&first.json()["text"], first.retain),
        (&json!("now"), false)
    );
}

#[test]
fn delivered_is_the_recipients_own_acknowledgement_and_read_is_what_it_says() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &["im/in/+/event"]);
    let mut bob = device(&server, Version::V311, "bob", "phone", &["im/in/+"]);
    bob.hold_acknowledgements();
    send(&mut alice, "im/to/@bob", "one");
    let message = on(&mut bob, "im/in/@alice");
    // Until bob's device has acknowledged, nothing is told of it; of carol's, which answers later, it is.
    let mut carol = device(&server, Version::V5, "carol", "phone", &["im/in/+"]);
    send(&mut alice, "im/to/@carol", "one");
    on(&mut carol, "im/in/@alice");
    on(&mut alice, "im/in/@carol/event");
    assert_eq!(alice.take_inbox(), [], "bob has acknowledged nothing");
    bob.acknowledge(&message).unwrap();
    let event = on(&mut alice, "im/in/@bob/event").json();
    assert_eq!(
        (&event["kind"], &event["from"], &event["seq"]),
        (&json!("received"), &json!(["bob"]), &json!(1)),
        "{event}"
    );

    send(&mut bob, "im/to/@alice/read", r#"{"seq":1}"#);
    let event = on(&mut alice, "im/in/@bob/event").json();
    assert_eq!(
        (&event["kind"], &event["from"], &event["seq"]),
        (&json!("read"), &json!(["bob"]), &json!(1)),
        "{event}"
    );
}

#[test]
fn what_a_conversation_is_about_is_told_on_subscribing_and_on_change() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &[]);
    send(&mut alice, "im/to/@bob", "one");
    let mut bob = device(&server, Version::V311, "bob", "phone", &["im/about/#"]);
    let about = on(&mut bob, "im/about/@alice").json();
    assert_eq!(
        (&about["kind"], &about["unread_count"], &about["read"]),
        (&json!("direct"), &json!(1), &json!(0)),
        "{about}"
    );
    assert_eq!(about["head"]["text"], "one", "{about}");
    send(&mut bob, "im/to/@alice/read", r#"{"seq":1}"#);
    let about = on(&mut bob, "im/about/@alice").json();
    assert_eq!(
        (&about["unread_count"], &about["read"]),
        (&json!(0), &json!(1)),
        "{about}"
    );
}

#[test]
fn typing_is_told_to_the_others_and_presence_to_who_asks() {
    let server = start();
    let mut alice = device(
        &server,
        Version::V5,
        "alice",
        "phone",
        &["im/in/#", "im/presence/#"],
    );
    send(&mut alice, "im/to/@bob", "a conversation begins");
    let mut bob = device(&server, Version::V311, "bob", "phone", &["im/in/#"]);
    let presence = alice
        .receive_where(|message| {
            message.topic == "im/presence/bob" && message.json()["state"] == "online"
        })
        .unwrap();
    assert!(presence.json()["since"].as_u64().is_some());
    bob.publish("im/to/@alice/typing", "", QoS::AtMostOnce)
        .unwrap();
    let typing = on(&mut alice, "im/in/@bob/typing");
    assert_eq!(
        (&typing.json()["from"], typing.qos),
        (&json!("bob"), QoS::AtMostOnce)
    );
    send(&mut bob, "im/to/@alice", "done");
    on(&mut bob, "im/in/@alice");
    let own = bob
        .take_inbox()
        .into_iter()
        .find(|message| message.topic.ends_with("/typing"));
    assert_eq!(own, None, "nobody is told of his own typing");
}

#[test]
fn membership_is_applied_on_delivery_without_a_new_subscription() {
    let server = start();
    let mut alice = group(&server, "eng", &["bob"]);
    let mut bob = device(
        &server,
        Version::V311,
        "bob",
        "phone",
        &["im/in/+", "im/ack/+", "im/answer/+"],
    );
    let mut carol = device(
        &server,
        Version::V5,
        "carol",
        "phone",
        &["im/in/+", "im/me/event", "im/answer/+"],
    );
    send(&mut alice, "im/to/eng", "before carol");
    on(&mut bob, "im/in/eng");
    assert_eq!(
        carol.publish("im/to/eng", "let me in", QoS::AtLeastOnce),
        Ok(0x87)
    );
    let answer = carol.ask("history", "h", &json!({"conv": "eng"})).unwrap();
    assert_eq!(answer["error"], "not_a_member", "{answer}");

    let answer = alice
        .ask(
            "group.invite",
            "i",
            &json!({"conv": "eng", "accounts": ["carol"]}),
        )
        .unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    let told = carol
        .receive_where(|message| {
            message.topic == "im/me/event" && message.json()["kind"] == "conversation"
        })
        .unwrap()
        .json();
    assert_eq!(
        (&told["kind"], &told["conv"]),
        (&json!("conversation"), &json!("eng")),
        "{told}"
    );
    send(&mut alice, "im/to/eng", "welcome carol");
    let message = carol
        .receive_where(|message| message.topic == "im/in/eng")
        .unwrap();
    assert_eq!(
        message.json()["text"],
        "welcome carol",
        "nothing from before is delivered"
    );
    let answer = carol
        .ask("history", "h", &json!({"conv": "eng", "limit": 10}))
        .unwrap();
    assert!(
        answer.to_string().contains("before carol"),
        "but all of it may be read: {answer}"
    );
    let members = carol.ask("members", "m", &json!({"conv": "eng"})).unwrap();
    let names: Vec<_> = members["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["account"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{members}");

    let answer = bob
        .ask("group.leave", "l", &json!({"conv": "eng"}))
        .unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    send(&mut alice, "im/to/eng", "without bob");
    carol
        .receive_where(|message| message.topic == "im/in/eng")
        .unwrap();
    // MQTT 3.1.1 has no reason code: the refusal is told on im/ack.
    send(
        &mut bob,
        "im/to/eng",
        r#"{"mid":"late","text":"still here?"}"#,
    );
    let refusal = on(&mut bob, "im/ack/late").json();
    assert_eq!(
        (&refusal["ok"], &refusal["error"]),
        (&json!(false), &json!("not_a_member")),
        "{refusal}"
    );
    let seen: Vec<Value> = bob
        .take_inbox()
        .iter()
        .filter(|message| message.topic == "im/in/eng")
        .map(Message::json)
        .collect();
    assert!(
        seen.iter().all(|message| message["text"] != "without bob"),
        "{seen:?}"
    );
}

#[test]
fn a_subscription_out_of_reach_is_granted_and_stays_silent() {
    let server = start();
    let mut alice = group(&server, "secret", &[]);
    let mut admin = device(
        &server,
        Version::V5,
        "admin",
        "phone",
        &["#", "im/in/secret", "im/in/@alice"],
    );
    let mut bob = device(
        &server,
        Version::V5,
        "bob",
        "phone",
        &["im/in/secret", "im/ack/+"],
    );
    send(&mut alice, "im/to/secret", "nobody else's");
    for outsider in [&mut admin, &mut bob] {
        send(outsider, "im/to/@carol", "a word to somebody else");
        outsider.ping().unwrap();
        assert_eq!(
            outsider.take_inbox(),
            [],
            "something came that is not theirs"
        );
    }
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_device() {
    const MESSAGES: usize = 20;
    let server = start();
    let filter = "$share/workers/im/in/+";
    let mut workers = [1, 2].map(|number| {
        let mut worker = server
            .dial(Version::V5, "bob", &format!("worker {number}"))
            .connect()
            .unwrap();
        assert_eq!(
            worker.subscribe(&[
                (filter, QoS::AtLeastOnce),
                ("im/in/@carol", QoS::AtLeastOnce)
            ]),
            Ok(vec![1, 1])
        );
        worker
    });
    let mut alice = device(&server, Version::V5, "alice", "phone", &[]);
    for number in 1..=MESSAGES {
        send(&mut alice, "im/to/@bob", &format!("job {number}"));
    }
    // What comes after everything else, to both.
    let mut carol = device(&server, Version::V5, "carol", "phone", &[]);
    send(&mut carol, "im/to/@bob", "end");
    let mut jobs = Vec::new();
    for worker in &mut workers {
        on(worker, "im/in/@carol");
        let inbox = worker
            .take_inbox()
            .into_iter()
            .filter(|message| message.topic == "im/in/@alice");
        jobs.extend(inbox.map(|message| message.json()["seq"].as_u64().unwrap()));
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (1..=MESSAGES as u64).collect::<Vec<_>>());
}

#[test]
fn a_client_id_is_taken_over_within_its_account_only() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &[]);
    let mut bob = device(&server, Version::V5, "bob", "phone", &[]);
    alice.ping().unwrap();
    let mut again = device(&server, Version::V311, "alice", "phone", &[]);
    assert_eq!(alice.end(), ClientError::Disconnected(0x8E));
    again.ping().unwrap();
    bob.ping().unwrap();
}

#[test]
fn a_will_may_be_a_message() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &["im/in/+"]);
    for version in VERSIONS {
        let dial = server.dial(version, "bob", "sensor").will(
            "im/to/@alice",
            "the sensor has gone",
            QoS::AtLeastOnce,
        );
        let mut sensor = dial.connect().unwrap();
        sensor.drop_connection();
        let message = on(&mut alice, "im/in/@bob").json();
        assert_eq!(
            (&message["text"], &message["from"]),
            (&json!("the sensor has gone"), &json!("bob"))
        );
    }
    let foreign =
        server
            .dial(Version::V5, "bob", "sensor")
            .will("im/in/@alice", "x", QoS::AtLeastOnce);
    assert_eq!(foreign.connect().unwrap_err(), ClientError::Refused(0x87));
}

#[test]
fn a_session_that_was_away_gets_what_it_missed_in_order_and_sync_pages_it() {
    const MISSED: u64 = 150;
    let server = start();
    for version in VERSIONS {
        let mut bob = server
            .dial(version, "bob", &format!("{version:?}"))
            .persistent()
            .connect()
            .unwrap();
        bob.subscribe(&[
            ("im/in/+", QoS::AtLeastOnce),
            ("im/answer/+", QoS::AtLeastOnce),
        ])
        .unwrap();
        let mut carol = device(&server, Version::V5, "carol", "phone", &[]);
        send(&mut carol, "im/to/@bob", "the last that bob sees");
        on(&mut bob, "im/in/@carol");
        let listed = bob.ask("conversations", "c", &json!({})).unwrap();
        bob.drop_connection();
        let mut writers = [
            device(&server, Version::V311, "carol", "first", &[]),
            device(&server, Version::V311, "alice", "second", &[]),
        ];
        // Both rounds together stay below what an account may send in a burst.
        for number in 0..MISSED {
            let writer = &mut writers[number as usize % 2];
            send(writer, "im/to/@bob", &format!("missed {number}"));
        }
        assert_eq!(bob.reconnect(), Ok(true));
        let mut seen = Vec::new();
        while (seen.len() as u64) < MISSED {
            let message = bob.receive().unwrap().json();
            let text = message["text"].as_str().unwrap().to_owned();
            if text != "the last that bob sees" && !seen.contains(&text) {
                seen.push(text);
            }
        }
        let expected: Vec<_> = (0..MISSED)
            .map(|number| format!("missed {number}"))
            .collect();
        let of = |parity: usize, texts: &[String]| -> Vec<String> {
            let number = |text: &str| text.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
            texts
                .iter()
                .filter(|text| number(text) % 2 == parity)
                .cloned()
                .collect()
        };
        for parity in [0, 1] {
            assert_eq!(
                of(parity, &seen),
                of(parity, &expected),
                "each conversation in its order"
            );
        }

        let mut since = listed["cursor"].clone();
        let mut paged = Vec::new();
        loop {
            let answer = bob
                .ask("sync", "s", &json!({"since": since, "limit": 70}))
                .unwrap();
            let entries = answer["entries"]
                .as_array()
                .unwrap_or_else(|| panic!("{answer}"));
            paged.extend(
                entries
                    .iter()
                    .filter_map(|entry| Some(entry["text"].as_str()?.to_owned())),
            );
            if answer["more"] != true {
                break;
            }
            since = answer["cursor"].clone();
        }
        assert_eq!(paged, expected);
        bob.disconnect();
    }
}

#[test]
fn ordinary_topics_are_for_administrators_and_for_whom_the_list_names() {
    let rules = "[[acl]]\nallow = \"all\"\nfilter = \"devices/%u/#\"\n\n[[acl]]\nallow = \"subscribe\"\nfilter = \"news/#\"\n";
    let server = Launch::new().config(rules).start();
    for name in ["admin", "alice", "bob"] {
        server.add_account(name);
    }
    let mut admin = device(&server, Version::V5, "admin", "desk", &["#"]);
    let mut alice = server
        .dial(Version::V5, "alice", "phone")
        .connect()
        .unwrap();
    let granted = alice.subscribe(&[
        ("news/#", QoS::AtLeastOnce),
        ("devices/alice/#", QoS::AtLeastOnce),
        ("devices/bob/#", QoS::AtLeastOnce),
    ]);
    assert_eq!(granted, Ok(vec![1, 1, 0x87]));
    assert_eq!(alice.publish("news/today", "x", QoS::AtLeastOnce), Ok(0x87));
    assert_eq!(
        alice.publish("devices/bob/door", "x", QoS::AtLeastOnce),
        Ok(0x87)
    );
    assert_eq!(
        alice
            .publish("devices/alice/door", "open", QoS::AtLeastOnce)
            .unwrap()
            & 0x80,
        0
    );
    assert_eq!(on(&mut admin, "devices/alice/door").text(), "open");
    assert_eq!(on(&mut alice, "devices/alice/door").text(), "open");
    admin
        .publish("news/today", "rain", QoS::AtLeastOnce)
        .unwrap();
    assert_eq!(on(&mut alice, "news/today").text(), "rain");
}
