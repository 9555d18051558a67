//! Deliveries of the messenger: by account and filter, live or from the store, acknowledged by devices, and
//! shared among them.

use broker::{Recipients, Service};
use mqtt_codec::QoS;
use mqtt_codec::Version::V5;
use records::{ConversationId, Seq};

use crate::chat::{
    accounts, catch_up, deliver, device, entry, live, packet, take_publishes, world,
};
use crate::got::Got;
use crate::packets::{RECEIVE_MAXIMUM, message, puback, pubrec, two, unsubscribe};
use crate::world::{ALL, Client, World, account, open_settings};

#[test]
fn delivery_follows_accounts_and_filters_and_nothing_else() {
    for version in ALL {
        let mut world = World::new();
        let phone = world.join(&device(version, "phone", "alice"));
        let laptop = world.join(&device(version, "laptop", "alice"));
        let bob = world.join(&device(version, "phone", "bob"));
        let guest = world.guest(version, "guest");
        for client in [phone, bob] {
            world.subscribe(client, "im/in/#", 1);
        }
        world.subscribe(laptop, "im/text/+", 2);
        for client in [phone, laptop, bob, guest] {
            world.subscribe(client, "#", 2);
            world.subscribe(client, "+/in/#", 2);
        }
        deliver(&mut world, &entry(1));
        let got = world.messages(phone);
        assert_eq!(got.len(), 1);
        assert_eq!((&*got[0].topic, got[0].qos), ("im/in/@bob", 1));
        assert_eq!(world.texts(laptop), ["im/text/@bob bob: 1"]);
        assert_eq!(world.take(bob), []);
        assert_eq!(world.take(guest), []);
    }
}

#[test]
fn quality_of_service_is_the_lower_of_granted_and_the_messages_own() {
    let mut world = world();
    let client = world.join(&device(V5, "phone", "alice"));
    world.subscribe(client, "im/#", 2);
    let typing = packet("im/in/@bob/typing", "{}", QoS::AtMostOnce);
    let about = packet("im/about/@bob", "{}", QoS::AtLeastOnce);
    deliver(&mut world, &live(accounts(&["alice"]), vec![typing, about]));
    deliver(&mut world, &entry(1));
    let got: Vec<(String, u8)> = world
        .messages(client)
        .into_iter()
        .map(|message| (message.topic, message.qos))
        .collect();
    assert_eq!(
        got,
        [
            ("im/in/@bob/typing".into(), 0),
            ("im/about/@bob".into(), 1),
            ("im/in/@bob".into(), 2),
            ("im/text/@bob".into(), 2)
        ]
    );
}

#[test]
fn a_devices_own_acknowledgement_is_the_receipt() {
    for qos in [1, 2] {
        let mut world = world();
        let client = world.join(&device(V5, "phone", "alice"));
        world.subscribe(client, "im/in/#", qos);
        deliver(&mut world, &entry(5));
        let id = world.messages(client)[0].packet_id.expect("an id");
        world.services.clear();
        if qos == 1 {
            world.send(client, &puback(id));
        } else {
            world.send(client, &pubrec(id));
            assert!(world.services.is_empty());
            world.send(client, &crate::packets::pubcomp(id));
        }
        assert!(matches!(
            world.services[..],
            [Service::Received { account: of, conversation, seq }]
                if Some(of) == account("alice")
                    && conversation == ConversationId::new(1)
                    && seq == Seq::new(5)
        ));
    }
}

#[test]
fn a_session_that_was_away_resumes_from_its_cursor() {
    for version in ALL {
        let mut world = world();
        let hello = device(version, "phone", "alice").persistent();
        let client = world.join(&hello);
        world.subscribe(client, "im/in/#", 1);
        deliver(&mut world, &entry(1));
        let id = world.messages(client)[0].packet_id.expect("an id");
        world.send(client, &puback(id));
        world.cut(client);
        for pos in 2..=5 {
            deliver(&mut world, &entry(pos));
        }
        let client = world.join(&hello);
        assert_eq!(catch_up(&mut world, 5, 2), 2);
        let expected = ["2", "3", "4", "5"].map(|pos| format!("im/in/@bob {pos}"));
        assert_eq!(world.texts(client), expected);
        deliver(&mut world, &entry(6));
        assert_eq!(world.texts(client), ["im/in/@bob 6"]);
    }
}

#[test]
fn a_session_that_cannot_keep_up_is_served_from_the_store_in_order() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").property(&two(RECEIVE_MAXIMUM, 3));
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.subscribe(client, "im/text/#", 1);
    let mut texts = Vec::new();
    for pos in 1..=30 {
        deliver(&mut world, &entry(pos));
    }
    for _ in 0..200 {
        catch_up(&mut world, 30, 7);
        let got = world.messages(client);
        assert!(got.len() <= 3, "the window is the client's");
        let mut acks = Vec::new();
        for message in got {
            texts.push(message.payload);
            acks.extend(puback(message.packet_id.expect("QoS 1")));
        }
        world.send(client, &acks);
    }
    let expected: Vec<String> = (1..=30)
        .flat_map(|pos| [pos.to_string(), format!("bob: {pos}")])
        .collect();
    assert_eq!(texts, expected);
    deliver(&mut world, &entry(31));
    assert_eq!(world.messages(client).len(), 2, "live again");
}

#[test]
fn a_window_of_one_divides_entries_and_repeats_none() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").property(&two(RECEIVE_MAXIMUM, 1));
    let hello = hello.persistent();
    let mut client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.subscribe(client, "im/text/#", 1);
    for pos in 1..=5 {
        deliver(&mut world, &entry(pos));
    }
    let mut texts = Vec::new();
    for round in 0..60 {
        catch_up(&mut world, 5, 2);
        let got = world.messages(client);
        assert!(got.len() <= 1);
        for message in got {
            if !message.dup {
                texts.push(message.payload);
            }
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
        }
        if round % 7 == 3 {
            world.cut(client);
            client = world.join_and_keep(&hello);
        }
    }
    let expected: Vec<String> = (1..=5)
        .flat_map(|pos| [pos.to_string(), format!("bob: {pos}")])
        .collect();
    assert_eq!(texts, expected);
}

#[test]
fn what_is_delivered_while_the_store_is_asked_is_asked_for_again() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.cut(client);
    deliver(&mut world, &entry(1));
    let client = world.join(&hello);
    deliver(&mut world, &entry(2));
    assert_eq!(world.take(client), []);
    let Some(Service::CatchUp { session, .. }) = world.services.pop() else {
        panic!("it asks what it has missed");
    };
    let answer = broker::Input::CaughtUp {
        session,
        entries: vec![entry(1)],
        upto: records::Cursor::at(records::Pos::new(1)),
        more: false,
    };
    world.input(0, answer);
    assert_eq!(catch_up(&mut world, 2, 10), 1);
    let expected = ["im/in/@bob 1", "im/in/@bob 2"];
    assert_eq!(world.texts(client), expected);
}

#[test]
fn what_is_delivered_while_an_answer_is_being_sent_is_asked_for_again() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").property(&two(RECEIVE_MAXIMUM, 1));
    let hello = hello.persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.cut(client);
    let client = world.join(&hello);
    assert_eq!(catch_up(&mut world, 3, 10), 1);
    deliver(&mut world, &entry(4));
    let mut texts = Vec::new();
    for _ in 0..10 {
        catch_up(&mut world, 4, 10);
        for message in world.messages(client) {
            texts.push(message.payload);
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
        }
    }
    assert_eq!(texts, ["1", "2", "3", "4"]);
}

#[test]
fn a_late_answer_of_the_store_brings_nothing_twice() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.cut(client);
    let client = world.join(&hello);
    let Some(Service::CatchUp { session, .. }) = world.services.pop() else {
        panic!("it asks what it has missed");
    };
    let answer = |upto: u64, more: bool| broker::Input::CaughtUp {
        session,
        entries: (1..=upto).map(entry).collect(),
        upto: records::Cursor::at(records::Pos::new(upto)),
        more,
    };
    world.input(0, answer(3, true));
    // It has asked again; what comes is the answer to a question before the first.
    world.input(0, answer(2, true));
    world.services.clear();
    world.input(0, answer(5, false));
    let expected = ["1", "2", "3", "4", "5"].map(|pos| format!("im/in/@bob {pos}"));
    assert_eq!(world.texts(client), expected);
}

#[test]
fn what_the_store_has_brought_the_live_path_does_not_bring_again() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.cut(client);
    let client = world.join(&hello);
    // The store is ahead of the deliveries that are on their way to the shard.
    catch_up(&mut world, 3, 10);
    for pos in 2..=4 {
        deliver(&mut world, &entry(pos));
    }
    let expected = ["1", "2", "3", "4"].map(|pos| format!("im/in/@bob {pos}"));
    assert_eq!(world.texts(client), expected);
}

#[test]
fn a_restart_resumes_the_messenger_from_the_stored_cursor() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    for pos in 1..=3 {
        deliver(&mut world, &entry(pos));
    }
    let got = world.messages(client);
    world.send(client, &puback(got[0].packet_id.expect("QoS 1")));
    world.advance(2000);
    world.restart();
    let client = world.join(&hello);
    catch_up(&mut world, 4, 100);
    let expected = ["2", "3", "4"].map(|pos| format!("im/in/@bob {pos}"));
    assert_eq!(world.texts(client), expected);
}

#[test]
fn an_exactly_once_entry_goes_on_after_a_restart() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 2);
    for pos in 1..=2 {
        deliver(&mut world, &entry(pos));
    }
    let got = world.messages(client);
    let ids: Vec<u16> = got.iter().filter_map(|message| message.packet_id).collect();
    world.send(client, &pubrec(ids[0]));
    world.take(client);
    world.restart();
    let client = world.connect(&hello);
    catch_up(&mut world, 3, 100);
    let mut got = world.take(client);
    assert!(matches!(got.remove(0), Got::Connack { code: 0, .. }));
    assert_eq!(got.remove(0), Got::Pubrel(ids[0], 0));
    let rest: Vec<(Option<u16>, bool, String)> = got
        .into_iter()
        .map(|got| match got {
            Got::Publish(message) => (message.packet_id, message.dup, message.payload),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rest[0], (Some(ids[1]), true, "2".into()));
    assert_eq!((rest[1].1, &*rest[1].2), (false, "3"));
    assert_eq!(rest.len(), 2);
}

/// Clients of one account on all shards.
fn devices(world: &mut World, count: usize) -> Vec<Client> {
    (0..count)
        .map(|number| {
            let hello = device(V5, &format!("device-{number}"), "alice");
            world.join(&hello.persistent())
        })
        .collect()
}

#[test]
fn every_device_on_every_shard_gets_a_delivery() {
    let mut world = World::with(4, open_settings());
    let devices = devices(&mut world, 16);
    for client in &devices {
        world.subscribe(*client, "im/in/#", 1);
    }
    deliver(&mut world, &entry(1));
    for client in devices {
        assert_eq!(world.texts(client), ["im/in/@bob 1"]);
    }
}

#[test]
fn a_shared_inbox_spreads_an_accounts_messages_over_its_devices() {
    for shards in [1, 4] {
        let mut world = World::with(shards, open_settings());
        let workers = devices(&mut world, 8);
        for worker in &workers {
            world.subscribe(*worker, "$share/work/im/in/#", 1);
        }
        let watcher = world.join(&device(V5, "watcher", "alice"));
        world.subscribe(watcher, "im/in/#", 1);
        let outsider = world.join(&device(V5, "outsider", "bob"));
        world.subscribe(outsider, "$share/work/im/in/#", 1);
        world.services.clear();
        for pos in 1..=80 {
            deliver(&mut world, &entry(pos));
        }
        let mut all = Vec::new();
        for worker in &workers {
            let got = world.messages(*worker);
            assert!(!got.is_empty(), "each has its share");
            let first = got[0].packet_id.expect("QoS 1");
            world.send(*worker, &puback(first));
            all.extend(got.into_iter().map(|message| message.payload));
        }
        all.sort_by_key(|payload| payload.parse::<u32>().expect("a number"));
        let expected: Vec<String> = (1..=80).map(|pos| pos.to_string()).collect();
        assert_eq!(all, expected);
        assert_eq!(world.messages(watcher).len(), 80);
        assert_eq!(world.take(outsider), []);
        let receipts = world
            .services
            .iter()
            .filter(|service| matches!(service, Service::Received { .. }));
        assert_eq!(receipts.count(), 8);
        // Those who stay take over what the others would have got.
        for worker in &workers[2..] {
            world.cut(*worker);
        }
        for pos in 81..=100 {
            deliver(&mut world, &entry(pos));
        }
        let left = world.messages(workers[0]).len() + world.messages(workers[1]).len();
        assert_eq!(left, 20);
        world.send(workers[0], &unsubscribe(V5, 1, &["$share/work/im/in/#"]));
        world.take(workers[0]);
        deliver(&mut world, &entry(101));
        deliver(&mut world, &entry(102));
        assert_eq!(world.messages(workers[1]).len(), 2);
    }
}

#[test]
fn an_answer_to_one_session_is_shared_with_nobody() {
    let mut world = world();
    let phone = world.join(&device(V5, "phone", "alice"));
    let laptop = world.join(&device(V5, "laptop", "alice"));
    for client in [phone, laptop] {
        world.subscribe(client, "$share/work/im/#", 1);
    }
    world.send(phone, &message(V5, "im/to/@bob", "hi", 1, 1, false));
    let publish = take_publishes(&mut world).remove(0);
    let ack = packet("im/ack/m1", "{\"ok\":true}", QoS::AtLeastOnce);
    deliver(
        &mut world,
        &live(Recipients::Session(publish.session), vec![ack]),
    );
    assert_eq!(world.messages(phone).len(), 1);
    assert_eq!(world.take(laptop), []);
}

#[test]
fn a_session_whose_buffer_was_full_catches_up_without_being_asked() {
    let mut settings = open_settings();
    settings.limits.outgoing_bytes_max = 500;
    let mut world = World::with(1, settings);
    let client = world.join(&device(V5, "phone", "alice"));
    world.subscribe(client, "im/in/#", 1);
    world.subscribe(client, "filler", 0);
    world.block(client, true);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "filler", &"x".repeat(1000), 0);
    for pos in 1..=4 {
        deliver(&mut world, &entry(pos));
    }
    world.block(client, false);
    catch_up(&mut world, 4, 10);
    let texts = world.texts(client);
    let expected = ["1", "2", "3", "4"].map(|pos| format!("im/in/@bob {pos}"));
    assert_eq!(texts[1..], expected);
}
