//! SUBSCRIBE and UNSUBSCRIBE: what is granted and refused, what replaces what, and what goes on meanwhile.

use mqtt_codec::Version::{V5, V31, V311};

use crate::got::Got;
use crate::packets::{
    hello, message, options, puback, pubcomp, pubrec, subscribe, subscribe_as, unsubscribe,
};
use crate::world::{ALL, World, open_settings, resident};
use broker::{AccessList, Action, Rule, Verdict, Who};

// [3.1.1 MQTT-3.8.4-1] [3.1.1 MQTT-3.8.4-2] [3.1.1 MQTT-2.3.1-7] [3.1.1 MQTT-3.8.4-4] [3.1.1 MQTT-3.8.4-5]
// [3.1.1 MQTT-3.9.3-1] [3.1.1 MQTT-3.9.3-2] [5 MQTT-3.8.4-1] [5 MQTT-3.8.4-2] [5 MQTT-2.2.1-6] [5 MQTT-3.8.4-5]
// [5 MQTT-3.8.4-6] [5 MQTT-3.8.4-7] [5 MQTT-3.9.3-1] [5 MQTT-3.9.3-2]
#[test]
fn one_suback_answers_all_filters_of_a_subscribe_in_their_order() {
    for version in ALL {
        let mut world = World::limited(|limits| limits.topic_bytes_max = 10);
        let client = world.guest(version, "c");
        let filters = [
            ("a", options(2)),
            ("b", options(0)),
            ("far/too/long", options(0)),
            ("c", options(1)),
        ];
        world.send(client, &subscribe(version, 1234, &filters));
        let refusal = if version == V5 { 0x8F } else { 0x80 };
        assert_eq!(
            world.take(client),
            [Got::Suback(1234, vec![2, 0, refusal, 1])]
        );
        for topic in ["a", "b", "c"] {
            world.publish(client, topic, "x", 0);
        }
        assert_eq!(world.texts(client), ["a x", "b x", "c x"]);
    }
}

// [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3] [5 MQTT-3.8.4-4]
#[test]
fn the_same_filter_again_replaces_and_brings_retained_messages_anew() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let client = world.guest(version, "c");
        world.publish_retain(publisher, "t", "kept", 1, true);
        world.take(publisher);
        world.subscribe(client, "t", 0);
        world.subscribe(client, "t", 1);
        let got = world.messages(client);
        let seen: Vec<(u8, bool)> = got
            .iter()
            .map(|message| (message.qos, message.retain))
            .collect();
        assert_eq!(seen, [(0, true), (1, true)]);
        assert_eq!(world.shards[0].population().subscriptions, 1);
        world.publish(publisher, "t", "live", 1);
        let live = world.messages(client);
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].qos, 1);
    }
}

// [3.1.1 MQTT-3.10.4-1] [3.1.1 MQTT-3.10.4-2] [3.1.1 MQTT-3.10.4-4] [3.1.1 MQTT-3.10.4-5] [3.1.1 MQTT-3.10.4-6]
// [3.1.1 MQTT-2.3.1-7] [5 MQTT-3.10.4-1] [5 MQTT-3.10.4-2] [5 MQTT-3.10.4-4] [5 MQTT-3.10.4-5] [5 MQTT-3.10.4-6]
// [5 MQTT-3.11.3-1] [5 MQTT-3.11.3-2]
#[test]
fn one_unsuback_answers_all_filters_and_only_exact_ones_are_removed() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        for filter in ["a/#", "b", "c"] {
            world.subscribe(client, filter, 0);
        }
        let filters = ["a/+", "b", "A/#", "c/", "c"];
        world.send(client, &unsubscribe(version, 4321, &filters));
        let codes = if version == V5 {
            vec![0x11, 0, 0x11, 0x11, 0]
        } else {
            Vec::new()
        };
        assert_eq!(world.take(client), [Got::Unsuback(4321, codes)]);
        for topic in ["a/1", "b", "c"] {
            world.publish(client, topic, "x", 0);
        }
        assert_eq!(world.texts(client), ["a/1 x"]);
        world.send(client, &unsubscribe(version, 7, &["none"]));
        assert!(matches!(world.take(client)[..], [Got::Unsuback(7, _)]));
    }
}

// [3.1.1 MQTT-3.10.4-3] [5 MQTT-3.10.4-3]
#[test]
fn what_is_under_way_is_finished_after_unsubscribing() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 2);
        world.publish(publisher, "t", "1", 1);
        world.publish(publisher, "t", "2", 2);
        let got = world.messages(client);
        world.send(client, &unsubscribe(version, 9, &["t"]));
        world.publish(publisher, "t", "3", 2);
        assert!(matches!(world.take(client)[..], [Got::Unsuback(9, _)]));
        world.cut(client);
        let client = world.connect(&resident(version, "c"));
        let again: Vec<_> = world
            .take(client)
            .into_iter()
            .filter_map(|got| match got {
                Got::Publish(message) => Some((message.payload, message.packet_id)),
                _ => None,
            })
            .collect();
        assert_eq!(
            again,
            [
                ("1".to_string(), got[0].packet_id),
                ("2".to_string(), got[1].packet_id)
            ]
        );
        world.send(client, &puback(again[0].1.expect("an id")));
        let second = again[1].1.expect("an id");
        world.send(client, &pubrec(second));
        assert_eq!(world.take(client), [Got::Pubrel(second, 0)]);
        world.send(client, &pubcomp(second));
    }
}

#[test]
fn subscriptions_end_with_a_session_that_ends() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let client = world.guest(version, "c");
        world.subscribe(client, "t/#", 1);
        world.cut(client);
        assert_eq!(world.shards[0].population().subscriptions, 0);
        let client = world.guest(version, "c");
        world.publish(publisher, "t/1", "x", 1);
        assert_eq!(world.take(client), []);
    }
}

#[test]
fn the_number_of_subscriptions_of_a_session_is_bounded() {
    let mut world = World::limited(|limits| limits.subscriptions_max = 2);
    let client = world.guest(V5, "c");
    world.subscribe(client, "a", 0);
    world.subscribe(client, "b", 0);
    world.send(
        client,
        &subscribe(V5, 9, &[("c", options(0)), ("a", options(1))]),
    );
    // One too many is refused; one that is there already is not one more.
    assert_eq!(world.take(client), [Got::Suback(9, vec![0x97, 1])]);
    assert_eq!(world.shards[0].counters().subscriptions_refused, 1);
}

#[test]
fn deep_filters_are_refused() {
    let mut world = World::limited(|limits| limits.topic_levels_max = 4);
    let client = world.guest(V5, "c");
    let filters = [("a/b/c/d", options(0)), ("a/b/c/d/e", options(0))];
    world.send(client, &subscribe(V5, 9, &filters));
    assert_eq!(world.take(client), [Got::Suback(9, vec![0, 0x8F])]);
    world.send(client, &message(V5, "a/b/c/d/e", "x", 1, 5, false));
    assert_eq!(world.take(client), [Got::Puback(5, 0x90)]);
}

fn rule(verdict: Verdict, action: Action, filter: &str) -> Rule {
    Rule {
        verdict,
        actions: vec![action],
        who: Who::Everyone,
        filter: filter.into(),
    }
}

#[test]
fn the_access_list_decides_on_ordinary_topics() {
    let mut settings = open_settings();
    settings.allow_anonymous = false;
    settings.access = AccessList::new(vec![
        rule(Verdict::Allow, Action::Subscribe, "public/#"),
        rule(Verdict::Allow, Action::Publish, "public/%u"),
    ]);
    for (version, denied) in [(V31, 0x80), (V311, 0x80), (V5, 0x87)] {
        let mut world = World::with(1, settings.clone());
        let alice = world.join(&hello(version, "a").login("alice"));
        let filters = [("public/+", options(0)), ("#", options(0))];
        world.send(alice, &subscribe(version, 1, &filters));
        assert_eq!(world.take(alice), [Got::Suback(1, vec![0, denied])]);
        world.publish(alice, "public/alice", "mine", 0);
        world.publish(alice, "public/bob", "his", 0);
        assert_eq!(world.texts(alice), ["public/alice mine"]);
        let root = world.join(&hello(version, "r").login("root"));
        world.subscribe(root, "#", 0);
    }
}

#[test]
fn a_subscription_identifier_follows_its_subscription() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.send(client, &subscribe_as(9, &[("t", options(1))]));
    assert_eq!(world.take(client), [Got::Suback(1, vec![1])]);
    let publisher = world.guest(V5, "p");
    world.publish_retain(publisher, "t", "kept", 1, true);
    assert_eq!(world.messages(client)[0].identifiers, [9]);
    // With a retained message too, and after a restart.
    world.send(client, &subscribe_as(10, &[("t", options(1))]));
    let got = world.take(client);
    assert!(
        matches!(&got[..], [Got::Suback(..), Got::Publish(message)] if message.identifiers == [10])
    );
    world.restart();
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "live", 1);
    let client = world.connect(&resident(V5, "c"));
    let live: Vec<_> = world
        .take(client)
        .into_iter()
        .filter_map(|got| match got {
            Got::Publish(message) if message.payload == "live" => Some(message.identifiers),
            _ => None,
        })
        .collect();
    assert_eq!(live, [[10]]);
}
