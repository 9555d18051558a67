//! The server's figures under `$SYS/`: like retained messages to new subscriptions, for administrators and whom the
//! access list lets, and never by a wildcard at the beginning.

use std::sync::Arc;

use broker::{AccessList, Action, Input, Message, Rule, Settings, Verdict, Who};
use bytes::Bytes;
use mqtt_codec::QoS;
use mqtt_codec::Version::{V5, V311};
use records::Millis;

use crate::got::Got;
use crate::packets::{hello, options, subscribe};
use crate::world::{ALL, World, open_settings};

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
