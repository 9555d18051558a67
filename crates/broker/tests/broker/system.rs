//! The server's figures under `$SYS/`: like retained messages to new subscriptions, for administrators and whom the
//! access list lets, and never by a wildcard at the beginning.

use std::sync::Arc;

use broker::{AccessList, Action, Input, Message, Rule, Settings, Verdict, Who};
use bytes::Bytes;
use mqtt_codec::Version::{V5, V311};
use mqtt_codec::{DecodeLimits, Packet, QoS, decode};
use records::{Millis, Moment};

use crate::got::Got;
use crate::packets::{MAXIMUM_PACKET_SIZE, four, hello, message, options, subscribe, unsubscribe};
use crate::world::{ALL, Client, World, open_settings};

const UPTIME: &str = "$SYS/broker/uptime";

fn figure(topic: &str, value: &str) -> Arc<Message> {
    Arc::new(Message {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(value.as_bytes()),
        properties: Bytes::new(),
        qos: QoS::AtMostOnce,
        retain: true,
        expires_at: None,
        at: Millis::ZERO,
        read_at: Moment::UNKNOWN,
    })
}

fn tell(world: &mut World, topic: &str, value: &str) {
    for shard in 0..world.shards.len() {
        world.input(shard, Input::System([figure(topic, value)].into()));
    }
}

// [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]
#[test]
fn an_administrator_reads_them_and_no_leading_wildcard_does() {
    for version in ALL {
        let mut world = World::with(2, Settings::default());
        tell(&mut world, UPTIME, "1 seconds");
        let root = world.join(&hello(version, "console").login("root"));
        for filter in ["#", "+/broker/uptime", "+/#"] {
            world.subscribe(root, filter, 1);
            assert_eq!(world.take(root), []);
        }
        world.subscribe(root, "$SYS/#", 2);
        let first = world.messages(root);
        assert_eq!(first.len(), 1);
        assert_eq!(
            (&*first[0].topic, &*first[0].payload),
            (UPTIME, "1 seconds")
        );
        assert_eq!((first[0].qos, first[0].retain), (0, true));
        tell(&mut world, UPTIME, "11 seconds");
        let next = world.messages(root);
        assert_eq!(
            (next.len(), &*next[0].payload, next[0].retain),
            (1, "11 seconds", false)
        );
        // What is gone is not sent any more.
        tell(&mut world, UPTIME, "");
        world.subscribe(root, UPTIME, 0);
        assert_eq!(world.take(root), []);
    }
}

#[test]
fn others_read_what_the_access_list_opens() {
    let mut settings = open_settings();
    settings.access = AccessList::new(vec![Rule {
        verdict: Verdict::Allow,
        actions: vec![Action::Subscribe],
        who: Who::Account("alice".into()),
        filter: "$SYS/broker/clients/#".into(),
    }]);
    let mut world = World::with(1, settings);
    tell(&mut world, "$SYS/broker/clients/total", "3");
    for (login, filter, code) in [
        (Some("alice"), "$SYS/broker/clients/+", 0),
        (Some("alice"), "$SYS/#", 0x87),
        (Some("bob"), "$SYS/broker/clients/total", 0x87),
        (None, "$SYS/#", 0x87),
        (Some("root"), "$share/g/$SYS/#", 0x8F),
    ] {
        let mut greeting = hello(V5, "c");
        if let Some(name) = login {
            greeting = greeting.login(name);
        }
        let client = world.join(&greeting);
        world.send(client, &subscribe(V5, 1, &[(filter, options(0))]));
        let got = world.take(client);
        assert_eq!(got[0], Got::Suback(1, vec![code]), "{login:?} {filter}");
        assert_eq!(got.len(), 1 + usize::from(code == 0));
        world.cut(client);
    }
}

#[test]
fn nobody_publishes_them() {
    for version in [V311, V5] {
        let mut world = World::new();
        let root = world.join(&hello(version, "console").login("root"));
        world.subscribe(root, "$SYS/#", 0);
        world.publish(root, UPTIME, "for ever", 1);
        assert!(
            !world
                .take(root)
                .iter()
                .any(|got| matches!(got, Got::Publish(_)))
        );
    }
}

/// Sends a packet to MQTT 5's words and reads the codes and the sentence of the answer.
fn told(world: &mut World, client: Client, packet: &[u8]) -> (Vec<u8>, Option<String>) {
    world.send(client, packet);
    let answer = world.take_bytes(client);
    match decode(V5, &answer, &DecodeLimits::default()).expect("one packet") {
        Packet::Suback(suback) => (suback.codes.to_vec(), suback.reason_string.map(Into::into)),
        Packet::Puback(ack) => (vec![ack.reason.0], ack.reason_string.map(Into::into)),
        other => panic!("not an answer: {other:?}"),
    }
}

/// What nobody may publish to and the server itself does not serve is refused to subscribers as it is to publishers.
#[test]
fn reserved_topics_are_refused_both_ways() {
    for version in ALL {
        for login in [None, Some("alice"), Some("root")] {
            let mut world = World::new();
            let mut greeting = hello(version, "c");
            if let Some(name) = login {
                greeting = greeting.login(name);
            }
            let client = world.join(&greeting);
            let filters = [
                "$x",
                "$x/#",
                "$/a",
                "$share",
                "$SYSTEM/#",
                "$share/g/$x/a",
                "a/$x",
                "$share/g/a",
            ];
            let asked: Vec<_> = filters.iter().map(|filter| (*filter, options(0))).collect();
            world.send(client, &subscribe(version, 1, &asked));
            let no = if version == V5 { 0x87 } else { 0x80 };
            let codes = vec![no, no, no, no, no, no, 0, 0];
            assert_eq!(world.take(client), [Got::Suback(1, codes)], "{login:?}");
            assert_eq!(world.shards[0].counters().subscriptions_refused, 6);
            assert_eq!(world.shards[0].population().subscriptions, 2);
            // Nothing stands that could be given up.
            world.send(client, &unsubscribe(version, 2, &["$x", "a/$x"]));
            let codes = if version == V5 { vec![0x11, 0] } else { vec![] };
            assert_eq!(world.take(client), [Got::Unsuback(2, codes)]);
            let code = if version == V5 { 0x87 } else { 0 };
            world.send(client, &message(version, "$x", "mine", 1, 3, false));
            assert_eq!(world.take(client), [Got::Puback(3, code)]);
            assert!(!world.is_closed(client));
        }
    }
}

// [5 MQTT-3.1.2-29] [5 MQTT-3.9.2-1]
#[test]
fn subscribers_and_publishers_of_reserved_topics_hear_the_same_sentence() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    let reserved = Some("reserved topic".to_owned());
    for filter in ["$x/#", "$share/g/$x"] {
        let asked = subscribe(V5, 1, &[("a", options(1)), (filter, options(0))]);
        let answer = told(&mut world, client, &asked);
        assert_eq!(answer, (vec![1, 0x87], reserved.clone()));
    }
    for topic in ["$x/y", "$SYS/x", "$share/g/t"] {
        let packet = message(V5, topic, "x", 1, 2, false);
        let answer = told(&mut world, client, &packet);
        assert_eq!(answer, (vec![0x87], reserved.clone()), "{topic}");
    }
    // An answer without a reserved topic has none, and nor has one to who wants none or takes none.
    let asked = subscribe(V5, 1, &[("a", options(1)), ("$SYS/#", options(0))]);
    assert_eq!(told(&mut world, client, &asked), (vec![1, 0x87], None));
    for property in [vec![0x17, 0], four(MAXIMUM_PACKET_SIZE, 22)] {
        let client = world.join(&hello(V5, "d").property(&property));
        let asked = subscribe(V5, 1, &[("$x", options(0))]);
        assert_eq!(told(&mut world, client, &asked), (vec![0x87], None));
    }
}
