//! Wills: published when a connection ends without a word, after their delay, once, and only then.

use mqtt_codec::Version::{V5, V31, V311};

use records::key;

use crate::got::Got;
use crate::packets::{
    MESSAGE_EXPIRY, SESSION_EXPIRY, WILL_DELAY, four, goodbye, hello, message, ping, raw, string,
    user,
};
use crate::world::{ALL, Client, World, open_settings, resident};

fn watcher(world: &mut World) -> Client {
    let watcher = world.guest(V5, "watcher");
    world.subscribe(watcher, "#", 2);
    watcher
}

// [3.1.1 MQTT-3.1.2-8] [3.1.1 MQTT-3.1.2-10] [3.1.1 MQTT-3.1.2-16] [5 MQTT-3.1.2-7] [5 MQTT-3.1.2-8]
// [5 MQTT-3.1.2-10] [5 MQTT-3.1.2-14]
#[test]
fn a_connection_that_breaks_leaves_its_will_once() {
    for version in ALL {
        for qos in 0..3 {
            let mut world = World::new();
            let watcher = watcher(&mut world);
            let hello = resident(version, "c").will("w", "gone", qos, false);
            let client = world.join(&hello);
            world.cut(client);
            let got = world.messages(watcher);
            assert_eq!(got.len(), 1);
            assert_eq!(
                (&*got[0].topic, &*got[0].payload, got[0].qos),
                ("w", "gone", qos)
            );
            let late = world.guest(version, "late");
            world.subscribe(late, "w", 0);
            assert_eq!(world.take(late), []);
            // Taken up again without a will, the session has none.
            let client = world.join(&resident(version, "c"));
            world.cut(client);
            world.advance(10_000_000);
            assert_eq!(world.take(watcher), []);
        }
    }
}

// [3.1.1 MQTT-4.3.1-1] [5 MQTT-4.3.1-1]
#[test]
fn a_crash_does_not_publish_a_will_again() {
    for qos in 0..3 {
        for committed in [false, true] {
            let mut world = World::new();
            let stays = resident(V5, "stays");
            let watcher = world.join(&stays);
            world.subscribe(watcher, "w", 0);
            let hello = resident(V5, "c").will("w", "gone", qos, false);
            let client = world.join(&hello.will_property(&four(WILL_DELAY, 5)));
            world.slow_disk = true;
            world.cut(client);
            world.advance(6000);
            if committed {
                world.commit();
            }
            let mut got = world.texts(watcher);
            world.slow_disk = false;
            world.restart();
            let watcher = world.join_and_keep(&stays);
            // The delay of a will that is still there begins anew.
            world.advance(6000);
            got.extend(world.texts(watcher));
            assert_eq!(got, ["w gone"], "QoS {qos}, on disk: {committed}");
        }
    }
}

// [3.1.1 MQTT-3.1.2-17] [5 MQTT-3.1.2-15]
#[test]
fn a_will_may_be_retained() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&hello(version, "c").will("w", "gone", 1, true));
        world.cut(client);
        let late = world.guest(version, "late");
        world.subscribe(late, "w", 1);
        let got = world.messages(late);
        assert_eq!((got.len(), got[0].retain), (1, true));
        world.restart();
        let late = world.guest(version, "later");
        world.subscribe(late, "w", 1);
        assert_eq!(world.texts(late), ["w gone"]);
    }
}

// [3.1.1 MQTT-3.14.4-3] [3.1.1 MQTT-3.1.2-10] [5 MQTT-3.14.4-3] [5 MQTT-3.1.2-10]
#[test]
fn disconnect_takes_the_will_back() {
    for version in ALL {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        let client = world.join(&hello(version, "c").will("w", "gone", 1, true));
        world.send(client, &goodbye(version));
        assert!(world.is_closed(client));
        world.advance(10_000_000);
        assert_eq!(world.take(watcher), []);
        assert_eq!(world.shards[0].counters().wills_published, 0);
    }
}

// [5 MQTT-3.1.2-8] [5 MQTT-3.14.4-3] [5 MQTT-3.14.2-1]
#[test]
fn disconnect_for_any_other_reason_publishes_the_will() {
    for reason in 1..=u8::MAX {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        let client = world.join(&hello(V5, "c").will("w", "gone", 0, false));
        world.send(client, &raw(0xE0, &[&[reason]]));
        assert_eq!(world.texts(watcher), ["w gone"], "{reason:02x}");
        let told = world.take(client);
        let from_clients = [
            0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
        ];
        if from_clients.contains(&reason) {
            assert_eq!(told, [], "{reason:02x}");
        } else {
            assert_eq!(told, [Got::Disconnect(0x82)], "{reason:02x}");
        }
        assert!(world.is_closed(client));
    }
}

// [3.1.1 MQTT-3.1.2-12]
#[test]
fn without_a_will_nothing_is_published() {
    for version in ALL {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        let client = world.guest(version, "c");
        world.cut(client);
        assert_eq!(world.take(watcher), []);
    }
}

// [3.1.1 MQTT-3.1.2-8] [3.1.1 MQTT-3.1.2-24] [5 MQTT-3.1.2-22] [3.1.1 MQTT-4.8.0-2] [5 MQTT-4.13.2-1]
#[test]
fn silence_and_errors_count_as_a_broken_connection() {
    for version in ALL {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        let silent = hello(version, "silent").will("w", "silent", 0, false);
        let silent = world.join(&silent.keep_alive(5));
        world.advance(9000);
        assert!(world.is_closed(silent));
        assert_eq!(world.texts(watcher), ["w silent"]);
        let wrong = world.join(&hello(version, "wrong").will("w", "wrong", 0, false));
        world.send(wrong, &[0x00, 0x00]);
        assert!(world.is_closed(wrong));
        assert_eq!(world.texts(watcher), ["w wrong"]);
        let taken = world.join(&hello(version, "same").will("w", "taken over", 0, false));
        world.guest(version, "same");
        assert!(world.is_closed(taken));
        assert_eq!(world.texts(watcher), ["w taken over"]);
    }
}

// [5 MQTT-3.1.2-8]
#[test]
fn a_delayed_will_waits_for_its_time() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let hello = resident(V5, "c")
        .will("w", "gone", 0, false)
        .will_property(&four(WILL_DELAY, 30));
    let client = world.join(&hello);
    world.cut(client);
    world.advance(29_000);
    assert_eq!(world.take(watcher), []);
    world.advance(2000);
    assert_eq!(world.texts(watcher), ["w gone"]);
    world.advance(10_000_000);
    assert_eq!(world.take(watcher), []);
}

// [5 MQTT-3.1.3-9]
#[test]
fn coming_back_in_time_takes_a_delayed_will_back() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let hello = resident(V5, "c")
        .will("w", "gone", 0, false)
        .will_property(&four(WILL_DELAY, 30));
    let client = world.join(&hello);
    world.cut(client);
    world.advance(20_000);
    let client = world.join(&resident(V5, "c"));
    world.advance(60_000);
    assert_eq!(world.take(watcher), []);
    world.send(client, &goodbye(V5));
    assert_eq!(world.take(watcher), []);
}

// [5 MQTT-3.1.2-8]
#[test]
fn a_delayed_will_is_due_when_its_session_ends() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let hello = hello(V5, "c")
        .property(&four(SESSION_EXPIRY, 10))
        .will("w", "gone", 0, false)
        .will_property(&four(WILL_DELAY, 1000));
    let client = world.join(&hello.clone().clean(false));
    world.cut(client);
    world.advance(12_000);
    assert_eq!(world.texts(watcher), ["w gone"]);
    // A clean start ends it as well.
    let client = world.join(&hello.clone().clean(false));
    world.cut(client);
    assert_eq!(world.take(watcher), []);
    let client = world.guest(V5, "c");
    assert_eq!(world.texts(watcher), ["w gone"]);
    world.send(client, &ping());
}

// [5 MQTT-3.1.3-10] [5 MQTT-3.3.2-4] [5 MQTT-3.3.2-15] [5 MQTT-3.3.2-16] [5 MQTT-3.3.2-17] [5 MQTT-3.3.2-20]
#[test]
fn a_will_keeps_its_properties() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let hello = hello(V5, "c")
        .will("w", "gone", 1, false)
        .will_property(&[0x01, 1])
        .will_property(&user("b", "1"))
        .will_property(&string(0x03, "text/plain"))
        .will_property(&user("a", "2"))
        .will_property(&string(0x08, "answer/here"))
        .will_property(&user("b", "3"))
        .will_property(&string(0x09, [0, 255]))
        .will_property(&four(MESSAGE_EXPIRY, 60));
    let client = world.join(&hello);
    world.advance(3_600_000);
    world.cut(client);
    let got = world.messages(watcher).remove(0);
    let user: Vec<(&str, &str)> = got
        .user
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(user, [("b", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(got.format, Some(1));
    assert_eq!(got.content_type.as_deref(), Some("text/plain"));
    assert_eq!(got.response_topic.as_deref(), Some("answer/here"));
    assert_eq!(got.correlation, Some(vec![0, 255]));
    // Its life begins when it is published.
    assert_eq!(got.expiry, Some(60));
}

#[test]
fn a_will_nobody_may_publish_is_refused_with_its_connect() {
    let mut settings = open_settings();
    settings.allow_anonymous = false;
    for (version, code) in [(V31, 5), (V311, 5), (V5, 0x87)] {
        for topic in ["forbidden", "$SYS/x", "im/in/@bob", "im/me/status", "im"] {
            let mut world = World::with(1, settings.clone());
            let hello = hello(version, "c")
                .login("alice")
                .will(topic, "x", 0, false);
            let client = world.connect(&hello);
            assert!(
                matches!(&world.take(client)[..], [Got::Connack { code: told, .. }] if *told == code)
            );
            assert!(world.is_closed(client));
        }
    }
}

#[test]
fn a_will_that_nobody_took_up_again_survives_other_traffic() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let hello = resident(V5, "c")
        .will("w", "gone", 1, true)
        .will_property(&four(WILL_DELAY, 5));
    let client = world.join(&hello);
    world.send(client, &message(V5, "t", "x", 0, 0, false));
    world.cut(client);
    world.advance(6000);
    assert_eq!(world.texts(watcher), ["t x", "w gone"]);
}

#[test]
fn a_retained_will_beyond_the_limit_is_delivered_and_not_kept() {
    let mut world = World::limited(|limits| limits.retained_messages_max = 0);
    let watcher = watcher(&mut world);
    let client = world.join(&hello(V5, "c").will("w", "gone", 1, true));
    world.cut(client);
    assert_eq!(world.texts(watcher), ["w gone"]);
    assert_eq!(world.shards[0].population().retained, 0);
    assert!(world.store.is_empty());
}

/// The wills that stand in the store.
fn stored(world: &World) -> usize {
    let wills = world.store.keys().filter(|at| key::parse_will(at).is_ok());
    wills.count()
}

#[test]
fn a_will_is_on_disk_before_its_connack_and_one_without_costs_no_write() {
    for version in ALL {
        let mut world = World::new();
        world.slow_disk = true;
        let plain = world.connect(&hello(version, "plain"));
        assert_eq!(world.appends.len(), 0);
        assert_eq!(world.take(plain).len(), 1);
        let client = world.connect(&hello(version, "c").will("w", "gone", 1, false));
        assert_eq!((world.appends.len(), world.take(client)), (1, vec![]));
        world.commit();
        assert_eq!((world.take(client).len(), stored(&world)), (1, 1));
        // Taken back, it is gone.
        world.send(client, &goodbye(version));
        world.commit();
        assert_eq!(stored(&world), 0);
    }
}

// [3.1.1 MQTT-3.1.2-8] [5 MQTT-3.1.2-8]
#[test]
fn the_death_of_the_server_is_the_end_of_every_connection() {
    for version in ALL {
        for lasting in [false, true] {
            let mut world = World::with(3, open_settings());
            let reader = world.join(&resident(version, "reader"));
            world.subscribe(reader, "w/#", 1);
            for number in 0..6 {
                let name = format!("c{number}");
                let hello = if lasting {
                    resident(version, &name)
                } else {
                    hello(version, &name)
                };
                world.join(&hello.will(&format!("w/{number}"), "gone", 1, true));
            }
            world.restart();
            assert_eq!(stored(&world), 0);
            // Published once and on disk, it survives the next death too, and comes only once.
            world.restart();
            let reader = world.join_and_keep(&resident(version, "reader"));
            let mut texts = world.texts(reader);
            texts.sort();
            let expected: Vec<String> = (0..6).map(|number| format!("w/{number} gone")).collect();
            assert_eq!(texts, expected);
            let late = world.guest(version, "late");
            world.subscribe(late, "w/+", 0);
            assert_eq!(world.texts(late).len(), 6, "they are retained");
            let sessions: usize = world
                .shards
                .iter()
                .map(|shard| shard.population().sessions)
                .sum();
            assert_eq!(sessions, if lasting { 8 } else { 2 });
        }
    }
}

// [5 MQTT-3.1.3-9]
#[test]
fn a_delayed_will_waits_across_a_restart_for_a_client_that_may_come_back() {
    for comes_back in [true, false] {
        let mut world = World::new();
        let reader = world.join(&resident(V5, "reader"));
        world.subscribe(reader, "w", 1);
        let hello = resident(V5, "c")
            .will("w", "gone", 1, false)
            .will_property(&four(WILL_DELAY, 30));
        world.join(&hello);
        world.restart();
        world.advance(29_000);
        assert_eq!(
            (stored(&world), world.shards[0].counters().wills_published),
            (1, 0)
        );
        if comes_back {
            world.join(&resident(V5, "c"));
            assert_eq!(stored(&world), 0);
        }
        world.advance(60_000);
        assert_eq!(stored(&world), 0);
        let reader = world.join_and_keep(&resident(V5, "reader"));
        let expected: &[&str] = if comes_back { &[] } else { &["w gone"] };
        assert_eq!(world.texts(reader), expected);
    }
}

#[test]
fn a_connect_that_was_never_accepted_leaves_no_will() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    world.slow_disk = true;
    let client = world.connect(&hello(V5, "c").will("w", "gone", 0, false));
    world.cut(client);
    world.commit();
    world.slow_disk = false;
    assert_eq!(world.take(watcher), []);
    assert_eq!(stored(&world), 0);
}

#[test]
fn another_connection_s_will_replaces_the_one_before() {
    let mut world = World::new();
    let reader = world.join(&resident(V5, "reader"));
    world.subscribe(reader, "w", 1);
    let hello = |text: &str| {
        resident(V5, "c")
            .will("w", text, 1, false)
            .will_property(&four(WILL_DELAY, 30))
    };
    let first = world.join(&hello("first"));
    world.cut(first);
    world.join(&hello("second"));
    assert_eq!(stored(&world), 1);
    world.restart();
    world.advance(60_000);
    let reader = world.join_and_keep(&resident(V5, "reader"));
    assert_eq!(world.texts(reader), ["w second"]);
}

#[test]
fn a_will_for_a_conversation_goes_from_the_disk_once_its_message_is_there() {
    for accepted in [true, false] {
        let mut world = World::new();
        let hello = hello(V5, "phone")
            .login("alice")
            .will("im/to/@bob", "bye", 1, false);
        world.join(&hello);
        world.restart();
        let mut told = world
            .services
            .drain(..)
            .filter_map(|service| match service {
                broker::Service::Publish(publish) => Some(publish),
                _ => None,
            });
        let publish = told.next().expect("a message");
        assert!(told.next().is_none());
        drop(told);
        assert_eq!(
            (&*publish.topic, &publish.payload[..]),
            ("im/to/@bob", &b"bye"[..])
        );
        assert_eq!((&*publish.device, stored(&world)), ("phone", 1));
        // What the messenger knows it by, should it come again.
        let known = records::SessionMid::Will {
            account: publish.account,
            client_id: "phone".into(),
        };
        assert_eq!(publish.session_mid.as_ref(), Some(&known));
        if accepted {
            world.store.insert(known.key(), Vec::new());
        }
        let outcome = if accepted {
            Ok(())
        } else {
            Err((
                mqtt_codec::ReasonCode::NOT_AUTHORIZED,
                "not a member".into(),
            ))
        };
        let input = broker::Input::Acknowledged {
            session: publish.session,
            ack: publish.ack.expect("an answer is wanted"),
            outcome,
        };
        world.input(0, input);
        assert_eq!(stored(&world), 0);
        assert!(!world.store.contains_key(&known.key()));
        world.restart();
        assert!(world.services.is_empty());
    }
}
