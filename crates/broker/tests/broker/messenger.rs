//! The shard's part in the messenger: publishes under `im/` go to it, deliveries come from it, and a session
//! that cannot keep up, or was away, is served from the store.

use std::sync::Arc;

use broker::{Audience, ChatDelivery, ChatPublish, Input, Message, Service};
use bytes::Bytes;
use mqtt_codec::Version::{V5, V31, V311};
use mqtt_codec::{QoS, ReasonCode};
use records::{AccountId, ConversationId, Millis, Pos, Seq, SessionRef};

use crate::got::Got;
use crate::packets::{
    Hello, RECEIVE_MAXIMUM, again, goodbye, hello, message, message_with, options, puback, pubrec,
    pubrel, string, subscribe, two, unsubscribe,
};
use crate::world::{ALL, Client, World, account, open_settings};

fn world() -> World {
    let mut settings = open_settings();
    settings.allow_anonymous = false;
    World::with(1, settings)
}

fn device(version: mqtt_codec::Version, client_id: &str, name: &str) -> Hello {
    hello(version, client_id).login(name)
}

fn packet(topic: &str, payload: &str, qos: QoS) -> Arc<Message> {
    Arc::new(Message {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: Bytes::new(),
        qos,
        retain: false,
        expires_at: None,
        at: Millis::ZERO,
    })
}

fn accounts(names: &[&str]) -> Audience {
    let list: Vec<AccountId> = names.iter().filter_map(|name| account(name)).collect();
    Audience::Accounts(list.into())
}

/// Message number `pos` of the conversation between alice and bob, as alice sees it.
fn entry(pos: u64) -> Arc<ChatDelivery> {
    Arc::new(ChatDelivery {
        audience: accounts(&["alice"]),
        packets: vec![
            packet("im/in/@bob", &pos.to_string(), QoS::ExactlyOnce),
            packet("im/text/@bob", &format!("bob: {pos}"), QoS::ExactlyOnce),
        ],
        pos: Some(Pos::new(pos)),
        receipt: Some((ConversationId::new(1), Seq::new(pos))),
    })
}

fn live(audience: Audience, packets: Vec<Arc<Message>>) -> Arc<ChatDelivery> {
    Arc::new(ChatDelivery {
        audience,
        packets,
        pos: None,
        receipt: None,
    })
}

fn deliver(world: &mut World, delivery: Arc<ChatDelivery>) {
    for shard in 0..world.shards.len() {
        world.input(shard, Input::Deliver(delivery.clone()));
    }
}

fn take_publishes(world: &mut World) -> Vec<ChatPublish> {
    std::mem::take(&mut world.services)
        .into_iter()
        .filter_map(|service| match service {
            Service::Publish(publish) => Some(*publish),
            _ => None,
        })
        .collect()
}

fn answer(world: &mut World, publish: &ChatPublish, outcome: Result<(), (ReasonCode, Box<str>)>) {
    let input = Input::Acknowledged {
        session: publish.session,
        ack: publish.ack.expect("it waits for an answer"),
        outcome,
    };
    world.input(0, input);
}

/// Answers every open request to catch up from a log of `upto` entries, `page` at a time.
fn catch_up(world: &mut World, upto: u64, page: u64) -> usize {
    let mut asked = 0;
    loop {
        let place = world
            .services
            .iter()
            .position(|service| matches!(service, Service::CatchUp { .. }));
        let Some(place) = place else { return asked };
        let Service::CatchUp { session, since, .. } = world.services.remove(place) else {
            return asked;
        };
        asked += 1;
        let last = upto.min(since.value() + page);
        let entries = (since.value() + 1..=last).map(entry).collect();
        let input = Input::CaughtUp {
            session,
            entries,
            upto: Pos::new(last),
            more: last < upto,
        };
        world.input(usize::from(session.shard), input);
    }
}

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
    let to = Audience::Session(publish.session);
    deliver(&mut world, live(to, vec![answer]));
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
        [Got::Puback(1, 0), Got::Puback(2, 0), Got::Pubrec(3, 0)]
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
        assert_eq!(
            asked.attach.len(),
            1,
            "the receipt goes into the same commit"
        );
        world.cut(bob);
        let bob = world.join(&hello);
        world.send(bob, &again(publish.clone()));
        assert_eq!(take_publishes(&mut world).len(), 0);
        assert_eq!(world.take(bob), [], "not before it is stored");
        answer(&mut world, &asked, Ok(()));
        assert_eq!(world.take(bob), [Got::Pubrec(7, 0)]);
        world.send(bob, &again(publish.clone()));
        assert_eq!(world.take(bob), [Got::Pubrec(7, 0)]);
        world.send(bob, &pubrel(7));
        assert_eq!(world.take(bob), [Got::Pubcomp(7, 0)]);
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
        deliver(&mut world, entry(1));
        let got = world.messages(phone);
        assert_eq!(got.len(), 1);
        assert_eq!((&*got[0].topic, got[0].qos), ("im/in/@bob", 1));
        assert_eq!(world.texts(laptop), ["im/text/@bob bob: 1"]);
        assert_eq!(world.take(bob), []);
        assert_eq!(world.take(guest), []);
    }
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
fn quality_of_service_is_the_lower_of_granted_and_the_messages_own() {
    let mut world = world();
    let client = world.join(&device(V5, "phone", "alice"));
    world.subscribe(client, "im/#", 2);
    let typing = packet("im/in/@bob/typing", "{}", QoS::AtMostOnce);
    let about = packet("im/about/@bob", "{}", QoS::AtLeastOnce);
    deliver(&mut world, live(accounts(&["alice"]), vec![typing, about]));
    deliver(&mut world, entry(1));
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
        deliver(&mut world, entry(5));
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
        deliver(&mut world, entry(1));
        let id = world.messages(client)[0].packet_id.expect("an id");
        world.send(client, &puback(id));
        world.cut(client);
        for pos in 2..=5 {
            deliver(&mut world, entry(pos));
        }
        let client = world.join(&hello);
        assert_eq!(catch_up(&mut world, 5, 2), 2);
        let expected = ["2", "3", "4", "5"].map(|pos| format!("im/in/@bob {pos}"));
        assert_eq!(world.texts(client), expected);
        deliver(&mut world, entry(6));
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
        deliver(&mut world, entry(pos));
    }
    for _ in 0..200 {
        catch_up(&mut world, 30, 7);
        let got = world.messages(client);
        assert!(got.len() <= 4, "an entry's packets go together");
        for message in got {
            texts.push(message.payload);
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
        }
    }
    let expected: Vec<String> = (1..=30)
        .flat_map(|pos| [pos.to_string(), format!("bob: {pos}")])
        .collect();
    assert_eq!(texts, expected);
    deliver(&mut world, entry(31));
    assert_eq!(world.messages(client).len(), 2, "live again");
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
        deliver(&mut world, entry(pos));
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
        deliver(&mut world, entry(pos));
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
        deliver(&mut world, entry(pos));
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
        assert_eq!(publish.ack, None);
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

/// Clients of one account on all shards.
fn devices(world: &mut World, count: usize) -> Vec<Client> {
    (0..count)
        .map(|number| world.join(&device(V5, &format!("device-{number}"), "alice")))
        .collect()
}

#[test]
fn every_device_on_every_shard_gets_a_delivery() {
    let mut world = World::with(4, open_settings());
    let devices = devices(&mut world, 16);
    for client in &devices {
        world.subscribe(*client, "im/in/#", 1);
    }
    deliver(&mut world, entry(1));
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
        let stranger = world.join(&device(V5, "stranger", "bob"));
        world.subscribe(stranger, "$share/work/im/in/#", 1);
        world.services.clear();
        for pos in 1..=80 {
            deliver(&mut world, entry(pos));
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
        assert_eq!(world.take(stranger), []);
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
            deliver(&mut world, entry(pos));
        }
        let left = world.messages(workers[0]).len() + world.messages(workers[1]).len();
        assert_eq!(left, 20);
        world.send(workers[0], &unsubscribe(V5, 1, &["$share/work/im/in/#"]));
        world.take(workers[0]);
        deliver(&mut world, entry(101));
        deliver(&mut world, entry(102));
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
        live(Audience::Session(publish.session), vec![ack]),
    );
    assert_eq!(world.messages(phone).len(), 1);
    assert_eq!(world.take(laptop), []);
}
