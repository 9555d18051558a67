//! The shard's part in the messenger: publishes under `im/` go to it and are acknowledged by it, and it hears
//! of sessions and subscriptions.

use std::sync::Arc;

use broker::{Input, Message, Recipients, Service};
use mqtt_codec::Version::{V5, V31, V311};
use mqtt_codec::{QoS, ReasonCode};
use records::SessionRef;

use crate::chat::{answer, deliver, device, live, packet, take_publishes, world};
use crate::got::{Got, UNHEARD};
use crate::packets::{
    again, goodbye, message, message_with, options, pubrel, string, subscribe, unsubscribe,
};
use crate::world::{ALL, World, account};

#[test]
fn a_publish_under_im_goes_to_the_messenger_with_all_it_needs() {
    for version in ALL {
        let mut world = world();
        let root = world.join(&device(version, "r", "root"));
        world.subscribe(root, "#", 0);
        let bob = world.join(&device(version, "phone", "bob"));
        world.send(bob, &message(version, "im/to/@alice", "hi", 1, 7, true));
        let publish = take_publishes(&mut world).remove(0);
        assert_eq!(publish.account, account("bob").expect("an account"));
        assert_eq!(&*publish.device, "phone");
        assert_eq!(&*publish.topic, "im/to/@alice");
        assert_eq!(publish.payload, "hi");
        assert_eq!(world.take(bob), [], "not before it is stored");
        answer(&mut world, &publish, Ok(()));
        assert_eq!(world.take(bob), [Got::Puback(7, 0)]);
        assert_eq!(world.take(root), [], "im/ is not an ordinary topic");
        assert_eq!(world.shards[0].population().retained, 0);
    }
}

#[test]
fn a_qos_0_publish_asks_for_no_answer() {
    let mut world = world();
    let bob = world.join(&device(V311, "phone", "bob"));
    world.send(bob, &message(V311, "im/to/@alice", "hi", 0, 0, false));
    let publish = take_publishes(&mut world).remove(0);
    assert_eq!(publish.ack, None);
}

#[test]
fn an_ask_carries_its_response_topic_and_correlation() {
    let mut world = world();
    let bob = world.join(&device(V5, "phone", "bob"));
    let list = [string(0x08, "im/answer/7"), string(0x09, [9, 9])].concat();
    world.send(
        bob,
        &message_with(V5, "im/ask/history", "{}", 1, 1, false, &list),
    );
    let publish = take_publishes(&mut world).remove(0);
    assert_eq!(publish.response_topic.as_deref(), Some("im/answer/7"));
    assert_eq!(publish.correlation.as_deref(), Some(&[9u8, 9][..]));
    // The answer brings back whatever properties the messenger gives it.
    world.subscribe(bob, "im/answer/#", 1);
    let mut properties = Vec::new();
    mqtt_codec::publish::write_correlation(&mut properties, &[9, 9]);
    let answer = Arc::new(Message {
        properties: properties.into(),
        ..(*packet("im/answer/7", "{}", QoS::AtLeastOnce)).clone()
    });
    let to = Recipients::Session(publish.session);
    deliver(&mut world, &live(to, vec![answer]));
    let got = world.messages(bob).remove(0);
    assert_eq!(got.correlation, Some(vec![9, 9]));
    assert_eq!((&*got.topic, got.qos), ("im/answer/7", 1));
}

#[test]
fn a_refusal_of_the_messenger_is_told_in_words_of_the_version() {
    for (version, reason) in [(V31, 0), (V311, 0), (V5, 0x99)] {
        for qos in [1, 2] {
            let mut world = world();
            let bob = world.join(&device(version, "phone", "bob"));
            world.send(bob, &message(version, "im/to/@alice", "{", qos, 7, false));
            let publish = take_publishes(&mut world).remove(0);
            let refusal = (ReasonCode::PAYLOAD_FORMAT_INVALID, "not JSON".into());
            answer(&mut world, &publish, Err(refusal));
            let expected = if qos == 1 {
                Got::Puback(7, reason)
            } else {
                Got::Pubrec(7, reason)
            };
            assert_eq!(world.take(bob), [expected]);
            assert!(!world.is_closed(bob));
        }
    }
}

#[test]
fn acknowledgements_keep_their_order_between_messenger_and_ordinary_topics() {
    let mut world = World::new();
    let bob = world.join(&device(V5, "phone", "bob"));
    world.send(bob, &message(V5, "im/to/@alice", "1", 1, 1, false));
    world.send(bob, &message(V5, "ordinary", "2", 1, 2, false));
    world.send(bob, &message(V5, "im/to/@alice", "3", 2, 3, false));
    let publishes = take_publishes(&mut world);
    answer(&mut world, &publishes[1], Ok(()));
    assert_eq!(world.take(bob), []);
    answer(&mut world, &publishes[0], Ok(()));
    assert_eq!(
        world.take(bob),
        [
            Got::Puback(1, 0),
            Got::Puback(2, UNHEARD),
            Got::Pubrec(3, 0)
        ]
    );
}

// [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]
#[test]
fn an_exactly_once_publish_repeated_on_a_new_connection_waits_for_the_same_answer() {
    for version in ALL {
        let mut world = world();
        let hello = device(version, "phone", "bob").persistent();
        let bob = world.join(&hello);
        let publish = message(version, "im/to/@alice", "hi", 2, 7, false);
        world.send(bob, &publish);
        let asked = take_publishes(&mut world).remove(0);
        let Some(known) = asked.session_mid.clone() else {
            panic!("nothing stands for its mid");
        };
        world.cut(bob);
        let bob = world.join(&hello);
        world.send(bob, &again(publish.clone()));
        assert_eq!(take_publishes(&mut world).len(), 0);
        assert_eq!(world.take(bob), [], "not before it is stored");
        answer(&mut world, &asked, Ok(()));
        assert_eq!(world.take(bob), [Got::Pubrec(7, 0)]);
        world.send(bob, &again(publish.clone()));
        assert_eq!(world.take(bob), [Got::Pubrec(7, 0)]);
        // What the messenger knows it by is of no use once the identifier is free.
        world.store.insert(known.key(), Vec::new());
        world.send(bob, &pubrel(7));
        assert_eq!(world.take(bob), [Got::Pubcomp(7, 0)]);
        assert!(!world.store.contains_key(&known.key()));
        world.send(bob, &publish);
        assert_eq!(take_publishes(&mut world).len(), 1, "released, it is new");
    }
}

#[test]
fn a_refusal_that_finds_the_connection_gone_frees_the_identifier() {
    let mut world = world();
    let hello = device(V5, "phone", "bob").persistent();
    let bob = world.join(&hello);
    let publish = message(V5, "im/to/@alice", "hi", 2, 7, false);
    world.send(bob, &publish);
    let asked = take_publishes(&mut world).remove(0);
    world.cut(bob);
    let refusal = (ReasonCode::QUOTA_EXCEEDED, "too fast".into());
    answer(&mut world, &asked, Err(refusal));
    let bob = world.join(&hello);
    world.send(bob, &again(publish));
    assert_eq!(take_publishes(&mut world).len(), 1, "it is judged again");
    assert_eq!(world.take(bob), []);
}

#[test]
fn sessions_come_and_go_in_pairs_and_subscriptions_are_told_behind_their_suback() {
    for version in ALL {
        let mut world = world();
        let alice = account("alice").expect("an account");
        let hello = device(version, "phone", "alice").persistent();
        world.slow_disk = true;
        let client = world.connect(&hello);
        assert!(world.services.is_empty(), "nobody is up before CONNACK");
        world.commit();
        let Service::SessionUp {
            session,
            account,
            device,
            since: None,
        } = &world.services[0]
        else {
            panic!("{:?}", world.services);
        };
        assert_eq!((*account, &**device), (alice, "phone"));
        let session = *session;
        world.services.clear();
        world.take(client);
        let filters = [("im/in/#", options(1)), ("im/about/+", options(0))];
        world.send(client, &subscribe(version, 1, &filters));
        assert!(world.services.is_empty());
        world.commit();
        check_subscribed(&world, session, &["im/in/#", "im/about/+"], false);
        world.services.clear();
        world.send(client, &unsubscribe(version, 2, &["im/about/+", "im/none"]));
        assert!(world.services.is_empty());
        world.commit();
        assert!(matches!(
            &world.services[..],
            [Service::Unsubscribed { account, filter, .. }] if *account == alice && &**filter == "im/about/+"
        ));
        world.services.clear();
        world.cut(client);
        assert!(matches!(
            world.services[..],
            [Service::SessionDown { account, .. }] if account == alice
        ));
        world.services.clear();
        // Taken up again, the messenger hears what it holds.
        let client = world.connect(&hello);
        world.commit();
        assert!(matches!(
            world.services.remove(0),
            Service::SessionUp { .. }
        ));
        check_subscribed(&world, session, &["im/in/#"], true);
        world.services.clear();
        world.send(client, &goodbye(version));
        assert!(matches!(world.services[..], [Service::SessionDown { .. }]));
    }
}

#[track_caller]
fn check_subscribed(world: &World, expected: SessionRef, filters: &[&str], again: bool) {
    let told: Vec<&str> = world
        .services
        .iter()
        .filter_map(|service| match service {
            Service::Subscribed {
                session,
                filter,
                existed,
                resumed,
                ..
            } => {
                assert_eq!((*session, *existed, *resumed), (expected, again, again));
                Some(&**filter)
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, filters);
}

#[test]
fn a_connection_that_ends_before_its_connack_was_never_up() {
    let mut world = world();
    world.slow_disk = true;
    let will = device(V5, "phone", "alice")
        .persistent()
        .will("im/to/@bob", "gone", 0, false);
    let client = world.connect(&will);
    world.cut(client);
    world.commit();
    assert!(world.services.is_empty(), "{:?}", world.services);
}

#[test]
fn anonymous_clients_have_no_part_in_the_messenger() {
    for (version, denied) in [(V31, 0x80), (V311, 0x80), (V5, 0x87)] {
        let mut world = World::new();
        let guest = world.guest(version, "guest");
        world.send(guest, &subscribe(version, 1, &[("im/in/#", options(0))]));
        assert_eq!(world.take(guest), [Got::Suback(1, vec![denied])]);
        world.send(guest, &message(version, "im/to/@bob", "x", 1, 2, false));
        assert!(matches!(world.take(guest)[..], [Got::Puback(2, _)]));
        assert!(world.services.is_empty());
    }
}

#[test]
fn a_will_may_be_a_message_to_a_conversation() {
    for version in ALL {
        let mut world = world();
        let hello = device(version, "sensor", "bob").will("im/to/eng", "gone", 1, false);
        let client = world.join(&hello);
        world.cut(client);
        let publish = take_publishes(&mut world).remove(0);
        assert_eq!((&*publish.topic, &*publish.device), ("im/to/eng", "sensor"));
        assert_eq!(Some(publish.account), account("bob"));
        assert_eq!(publish.payload, "gone");
        assert!(publish.ack.is_some(), "a refusal must be heard of");
    }
}

#[test]
fn closing_an_account_ends_its_connections_and_no_others() {
    let mut world = world();
    let phone = world.join(&device(V5, "phone", "alice"));
    let laptop = world.join(&device(V311, "laptop", "alice"));
    let bob = world.join(&device(V5, "phone", "bob"));
    let input = Input::CloseAccount {
        account: account("alice").expect("an account"),
        reason: ReasonCode::ADMINISTRATIVE_ACTION,
    };
    world.input(0, input);
    assert_eq!(world.take(phone), [Got::Disconnect(0x98)]);
    assert_eq!(world.take(laptop), []);
    assert!(world.is_closed(phone) && world.is_closed(laptop));
    assert!(!world.is_closed(bob));
}

/// The SUBACK codes for this many new filters.
fn codes_for(world: &mut World, client: crate::world::Client, filters: &[String]) -> Vec<u8> {
    let filters: Vec<_> = filters
        .iter()
        .map(|filter| (filter.as_str(), options(1)))
        .collect();
    world.send(client, &subscribe(V5, 9, &filters));
    let got = world.take(client);
    let [Got::Suback(9, codes)] = &got[..] else {
        panic!("{got:?}");
    };
    codes.clone()
}

#[test]
fn filters_under_im_are_few_because_every_delivery_asks_them_all() {
    let mut world = world();
    let bob = world.join(&device(V5, "phone", "bob"));
    let many: Vec<String> = (0..300).map(|number| format!("im/in/x{number}")).collect();
    let codes = codes_for(&mut world, bob, &many);
    assert_eq!(codes.iter().filter(|code| **code == 1).count(), 256);
    assert_eq!(codes[256..], [0x97; 44]);
    // One that is there already may be renewed.
    assert_eq!(codes_for(&mut world, bob, &many[..1]), [1]);
}

#[test]
fn all_devices_of_an_account_share_few_filters_under_im() {
    let mut world = world();
    let phone = world.join(&device(V5, "phone", "bob"));
    let laptop = world.join(&device(V5, "laptop", "bob"));
    let shares = |from: u32| -> Vec<String> {
        let name = |number| format!("$share/s{number}/im/in/#");
        (from..from + 10).map(name).collect()
    };
    assert_eq!(codes_for(&mut world, phone, &shares(0)), [1; 10]);
    let codes = codes_for(&mut world, laptop, &shares(10));
    assert_eq!(codes, [[1; 6].as_slice(), &[0x97; 4]].concat());
    // A second device may join a share that there is.
    assert_eq!(codes_for(&mut world, laptop, &shares(0)), [1; 10]);
    let alice = world.join(&device(V5, "phone", "alice"));
    assert_eq!(codes_for(&mut world, alice, &shares(0)), [1; 10]);
}

#[test]
fn the_operator_may_allow_fewer_filters_under_im() {
    let mut world = World::limited(|limits| {
        limits.chat_filters_max = 3;
        limits.chat_shares_max = 1;
    });
    let bob = world.join(&device(V5, "phone", "bob"));
    let filters = [
        "$share/s/im/in/#",
        "$share/t/im/in/#",
        "im/in/#",
        "im/ack/#",
        "im/me/#",
    ];
    let codes = codes_for(&mut world, bob, &filters.map(str::to_owned));
    assert_eq!(codes, [1, 0x97, 1, 1, 0x97]);
}
