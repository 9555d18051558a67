//! Packet identifiers and DUP over restarts of the server: what was under way goes on as it was, and what a client may
//! still hold is not given to another message.

use broker::Input;
use mqtt_codec::Version::{self, V5};

use crate::chat::{catch_up, deliver, device, entry};
use crate::got::Got;
use crate::packets::{RECEIVE_MAXIMUM, puback, pubcomp, pubrec, two};
use crate::world::{ALL, Client, World, resident};

/// A retained message on its way at QoS 2 to a lasting session, and its identifier.
fn begun(version: Version) -> (World, Client, u16) {
    let mut world = World::new();
    let publisher = world.guest(version, "p");
    world.publish_retain(publisher, "kept", "old", 2, true);
    let client = world.join(&resident(version, "c"));
    world.subscribe(client, "kept", 2);
    let got = world.messages(client);
    assert_eq!((got.len(), got[0].qos, got[0].dup), (1, 2, false));
    let packet_id = got[0].packet_id.expect("QoS 2");
    (world, client, packet_id)
}

/// The server dies, and the client resumes its session: what it gets after its CONNACK.
fn resumed(world: &mut World, version: Version) -> (Client, Vec<Got>) {
    world.restart();
    let client = world.connect(&resident(version, "c"));
    let mut got = world.take(client);
    assert!(matches!(got.remove(0), Got::Connack { code: 0, .. }));
    (client, got)
}

fn remembered(world: &World) -> usize {
    let keys = world.store.keys();
    keys.filter(|at| records::key::parse_outgoing(at).is_ok())
        .count()
}

// [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4] [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]
#[test]
fn a_restart_frees_the_identifier_of_a_delivery_from_memory_before_it_is_given_again() {
    for version in ALL {
        let (mut world, _, packet_id) = begun(version);
        // The client has the message. Its message is in no queue, and nothing can be sent again but PUBREL.
        for _ in 0..2 {
            let (_, got) = resumed(&mut world, version);
            assert_eq!(got, [Got::Pubrel(packet_id, 0)]);
        }
        let (client, _) = resumed(&mut world, version);
        let publisher = world.guest(version, "p");
        world.publish(publisher, "kept", "new", 2);
        let next = world.messages(client).remove(0);
        assert_eq!((&*next.payload, next.dup), ("new", false));
        assert_ne!(next.packet_id, Some(packet_id), "it is not released yet");
        world.send(client, &pubcomp(packet_id));
        world.send(client, &pubrec(next.packet_id.expect("QoS 2")));
        world.send(client, &pubcomp(next.packet_id.expect("QoS 2")));
        world.advance(3000);
        assert_eq!(remembered(&world), 0);
    }
}

// [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
#[test]
fn a_delivery_from_memory_that_was_received_is_released_after_a_restart() {
    for version in ALL {
        let (mut world, client, packet_id) = begun(version);
        world.send(client, &pubrec(packet_id));
        assert_eq!(world.take(client), [Got::Pubrel(packet_id, 0)]);
        let (client, got) = resumed(&mut world, version);
        assert_eq!(got, [Got::Pubrel(packet_id, 0)]);
        world.send(client, &pubcomp(packet_id));
        let (_, got) = resumed(&mut world, version);
        assert_eq!(got, [], "it is over");
        assert_eq!(remembered(&world), 0);
    }
}

#[test]
fn a_delivery_from_memory_is_on_disk_before_it_leaves_unless_its_session_ends_with_its_connection()
{
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "kept", "old", 2, true);
        let lasting = world.join(&resident(version, "lasting"));
        let guest = world.guest(version, "guest");
        world.slow_disk = true;
        for client in [lasting, guest] {
            let ask =
                crate::packets::subscribe(version, 1, &[("kept", crate::packets::options(2))]);
            world.send(client, &ask);
        }
        // The guest's subscription waits for nothing, and nor does what it gets.
        assert_eq!(world.take(guest).len(), 2);
        world.commit();
        assert_eq!(world.take(lasting), [Got::Suback(1, vec![2])]);
        world.commit();
        assert_eq!(world.messages(lasting).len(), 1);
        assert_eq!(remembered(&world), 1);
        // What is remembered goes with the session.
        world.slow_disk = false;
        let hello = resident(version, "lasting").clean(true);
        world.connect(&hello);
        assert_eq!(remembered(&world), 0);
    }
}

// What was under way at QoS 1.

/// A message as it came: its text, its identifier and DUP.
type Seen = (String, u16, bool);

fn seen(got: Vec<Got>) -> Vec<Seen> {
    let seen = got.into_iter().filter_map(|got| match got {
        Got::Publish(message) => {
            let packet_id = message.packet_id.expect("QoS 1");
            Some((message.payload, packet_id, message.dup))
        }
        _ => None,
    });
    seen.collect()
}

/// A lasting session with a window of three that has been sent the first three of five messages, and has acknowledged
/// one before them, so that their identifiers are not the first.
fn three_of_five(version: Version) -> (World, Client, Vec<Seen>) {
    let mut world = World::limited(|limits| limits.inflight_max = 3);
    let client = world.join(&resident(version, "c"));
    world.subscribe(client, "t", 1);
    let publisher = world.guest(version, "p");
    world.publish(publisher, "t", "0", 1);
    let got = seen(world.take(client));
    world.send(client, &puback(got[0].1));
    for payload in ["1", "2", "3", "4", "5"] {
        world.publish(publisher, "t", payload, 1);
    }
    let got = seen(world.take(client));
    assert!(got.iter().all(|(_, _, dup)| !dup));
    assert_eq!(got.len(), 3);
    (world, client, got)
}

/// Acknowledges what came until nothing comes.
fn drain(world: &mut World, client: Client, mut got: Vec<Seen>) -> Vec<Seen> {
    let mut all = Vec::new();
    while !got.is_empty() {
        let acks: Vec<u8> = got.iter().flat_map(|(_, id, _)| puback(*id)).collect();
        all.append(&mut got);
        world.send(client, &acks);
        got = seen(world.take(client));
    }
    all
}

fn again(seen: &[Seen]) -> Vec<Seen> {
    let again = |(text, id, _): &Seen| (text.clone(), *id, true);
    seen.iter().map(again).collect()
}

fn dups(seen: &[Seen]) -> Vec<(&str, bool)> {
    seen.iter().map(|(text, _, dup)| (&**text, *dup)).collect()
}

// [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1] [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
#[test]
fn a_server_that_was_stopped_goes_on_with_identifiers_and_dup_as_they_were() {
    for version in ALL {
        let (mut world, _, before) = three_of_five(version);
        world.input(0, Input::Shutdown);
        let (client, got) = resumed(&mut world, version);
        let got = seen(got);
        assert_eq!(got, again(&before));
        let rest = drain(&mut world, client, got).split_off(3);
        assert_eq!(dups(&rest), [("4", false), ("5", false)]);
    }
}

// [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1] [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
#[test]
fn a_server_that_died_long_after_its_client_had_gone_knows_what_was_under_way() {
    for version in ALL {
        let (mut world, client, before) = three_of_five(version);
        world.cut(client);
        world.advance(1500);
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "6", 1);
        // Dying once more changes nothing.
        world.restart();
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "7", 1);
        let (client, got) = resumed(&mut world, version);
        let got = seen(got);
        assert_eq!(got, again(&before));
        let rest = drain(&mut world, client, got).split_off(3);
        let first = [("4", false), ("5", false), ("6", false), ("7", false)];
        assert_eq!(dups(&rest), first);
    }
}

// [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
#[test]
fn what_was_stored_before_a_server_died_may_have_been_sent_to_whoever_was_there() {
    for version in ALL {
        for wait in [0, 1500] {
            let (mut world, _, before) = three_of_five(version);
            world.advance(wait);
            world.restart();
            // Away, it is sent nothing, whether the server dies again or not.
            world.advance(1500);
            let publisher = world.guest(version, "p");
            world.publish(publisher, "t", "6", 1);
            let (client, got) = resumed(&mut world, version);
            let mut got = drain(&mut world, client, seen(got));
            // What was acknowledged in the last second comes again too, if the server died in it.
            got.retain(|(text, ..)| text != "0");
            assert_eq!(got[..3], again(&before));
            let rest = [("4", true), ("5", true), ("6", false)];
            assert_eq!(dups(&got[3..]), rest);
        }
    }
}

#[test]
fn what_was_acknowledged_out_of_turn_does_not_come_again_if_that_is_on_disk() {
    for version in ALL {
        let (mut world, client, before) = three_of_five(version);
        world.send(client, &puback(before[1].1));
        let fourth = seen(world.take(client));
        world.advance(1500);
        let (client, got) = resumed(&mut world, version);
        let got = drain(&mut world, client, seen(got));
        let under_way = [before[0].clone(), before[2].clone(), fourth[0].clone()];
        assert_eq!(got[..3], again(&under_way));
        assert_eq!(dups(&got[3..]), [("5", true)]);
    }
}

/// Found by the simulator: the second restart did not know any more what the first had known to be over.
#[test]
fn what_is_over_stays_over_though_the_server_ends_again_before_its_client_is_back() {
    let (mut world, client, before) = three_of_five(V5);
    world.send(client, &puback(before[1].1));
    let fourth = seen(world.take(client));
    world.cut(client);
    for _ in 0..3 {
        world.advance(1500);
        world.restart();
        world.input(0, Input::Shutdown);
    }
    let (client, got) = resumed(&mut world, V5);
    let got = drain(&mut world, client, seen(got));
    let under_way = [before[0].clone(), before[2].clone(), fourth[0].clone()];
    assert_eq!(got[..3], again(&under_way));
    assert_eq!(dups(&got[3..]), [("5", false)]);
}

// [5 MQTT-4.3.3-5]
#[test]
fn an_exactly_once_delivery_is_not_taken_for_one_that_is_over() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "1", 1);
    world.subscribe(client, "t", 2);
    world.publish(publisher, "t", "2", 2);
    let before = seen(world.take(client));
    world.subscribe(client, "t", 1);
    world.advance(1500);
    let (_, got) = resumed(&mut world, V5);
    assert_eq!(seen(got), again(&before));
}

// [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1] [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
#[test]
fn entries_of_conversations_go_on_as_they_were() {
    for (wait, rest) in [(Some(1500), false), (None, true)] {
        let mut world = crate::chat::world();
        let hello = device(V5, "phone", "alice").persistent();
        let hello = hello.property(&two(RECEIVE_MAXIMUM, 2));
        let client = world.join(&hello);
        world.subscribe(client, "im/in/#", 1);
        for pos in 1..=3 {
            deliver(&mut world, &entry(pos));
        }
        let before = seen(world.take(client));
        assert_eq!(before.len(), 2);
        if let Some(wait) = wait {
            world.cut(client);
            world.advance(wait);
        }
        world.restart_at(1, records::Pos::new(3));
        let client = world.connect(&hello);
        catch_up(&mut world, 3, 100);
        let got = seen(world.take(client));
        assert_eq!(got, again(&before));
        let got = drain(&mut world, client, got);
        assert_eq!(dups(&got[2..]), [("3", rest)]);
        deliver(&mut world, &entry(4));
        assert_eq!(dups(&seen(world.take(client))), [("4", false)]);
    }
}

#[test]
fn what_a_group_waits_for_goes_again_with_dup_to_the_member_that_had_it() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        let other = world.join(&resident(version, "other"));
        world.subscribe(client, "$share/g/t", 1);
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "1", 1);
        let before = seen(world.take(client));
        assert_eq!(before.len(), 1);
        world.cut(client);
        world.subscribe(other, "$share/g/t", 1);
        world.cut(other);
        world.advance(1500);
        let (client, got) = resumed(&mut world, version);
        assert_eq!(seen(got), again(&before));
        // It dies with nobody there, and another member is the first that comes: it was never sent this.
        world.cut(client);
        world.advance(1500);
        world.restart();
        let other = world.join_and_keep(&resident(version, "other"));
        assert_eq!(dups(&seen(world.take(other))), [("1", false)]);
    }
}
