//! Groups with a lasting member: what is acknowledged reaches one member, whoever goes and whatever happens to the
//! server.

use mqtt_codec::Version::{V5, V311};
use records::{Write, key};

use crate::got::{Got, Message};
use crate::packets::{goodbye, hello, options, puback, pubcomp, pubrec, subscribe_as, unsubscribe};
use crate::world::{ALL, Client, World, open_settings, resident};

const GROUP: &str = "$share/g/t";

/// Lasting members of one group.
fn members(world: &mut World, names: &[&str], qos: u8) -> Vec<Client> {
    let mut members = Vec::new();
    for name in names {
        let member = world.join(&resident(V5, name));
        world.subscribe(member, GROUP, qos);
        members.push(member);
    }
    members
}

fn back(world: &mut World, name: &str) -> Client {
    world.join_and_keep(&resident(V5, name))
}

fn publish(world: &mut World, payloads: &[&str], qos: u8) {
    let publisher = world.guest(V5, "p");
    for payload in payloads {
        world.publish(publisher, "t", payload, qos);
    }
    world.send(publisher, &goodbye(V5));
}

fn payloads(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| &*message.payload).collect()
}

/// Takes everything, and acknowledges it.
fn drain(world: &mut World, client: Client) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let got = world.messages(client);
        if got.is_empty() {
            return all;
        }
        for message in got {
            all.push(message.payload);
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
        }
    }
}

/// What stands in the store of groups' claims and of begun deliveries.
fn remembered(world: &World) -> (usize, usize) {
    let count = |belongs: fn(&[u8]) -> bool| world.store.keys().filter(|at| belongs(at)).count();
    (
        count(|at| key::parse_claim(at).is_ok()),
        count(|at| key::parse_outgoing(at).is_ok()),
    )
}

// [5 MQTT-4.3.2-4]
#[test]
fn a_message_for_a_lasting_member_is_on_disk_before_anybody_hears_of_it() {
    for version in ALL {
        let mut world = World::new();
        let member = members(&mut world, &["a"], 1)[0];
        let publisher = world.guest(version, "p");
        world.slow_disk = true;
        let id = world.publish(publisher, "t", "x", 1);
        assert_eq!(world.take(publisher), []);
        assert_eq!(world.take(member), []);
        let puts = |write: &&Write| matches!(write, Write::Put { .. });
        let writes = &world.appends[0].writes;
        assert_eq!(
            (world.appends.len(), writes.iter().filter(puts).count()),
            (1, 2)
        );
        assert!(
            world.appends[0].bytes() < 150,
            "the message stands there once"
        );
        world.commit();
        assert_eq!(world.take(publisher), [Got::Puback(id, 0)]);
        assert_eq!(world.messages(member).len(), 1);
    }
}

#[test]
fn a_group_without_a_lasting_member_costs_no_write() {
    let mut world = World::new();
    let guest = world.guest(V5, "guest");
    world.subscribe(guest, GROUP, 1);
    let live_only = world.join(&resident(V5, "live only"));
    world.subscribe(live_only, GROUP, 0);
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    for _ in 0..4 {
        world.publish(publisher, "t", "x", 1);
    }
    assert_eq!(world.appends.len(), 0);
    assert_eq!(
        world.messages(guest).len() + world.messages(live_only).len(),
        4
    );
}

#[test]
fn the_first_that_returns_gets_what_came_while_all_were_away() {
    for restart in [false, true] {
        let mut world = World::new();
        for member in members(&mut world, &["a", "b", "c"], 1) {
            world.cut(member);
        }
        publish(&mut world, &["1", "2", "3", "4"], 1);
        if restart {
            world.restart();
        }
        let second = back(&mut world, "b");
        assert_eq!(drain(&mut world, second), ["1", "2", "3", "4"]);
        for name in ["a", "c"] {
            let other = back(&mut world, name);
            assert_eq!(world.take(other), []);
        }
        world.advance(2000);
        assert_eq!(remembered(&world), (0, 0));
        world.restart();
        for name in ["a", "b", "c"] {
            let member = back(&mut world, name);
            assert_eq!(world.take(member), []);
        }
    }
}

#[test]
fn what_was_not_acknowledged_before_a_crash_goes_to_whoever_is_there() {
    let mut world = World::new();
    let joined = members(&mut world, &["a", "b"], 1);
    publish(&mut world, &["1", "2", "3", "4"], 1);
    let first = world.messages(joined[0]);
    assert_eq!(payloads(&first), ["1", "3"]);
    world.send(joined[0], &puback(first[0].packet_id.expect("QoS 1")));
    world.advance(1500);
    world.restart();
    let b = back(&mut world, "b");
    assert_eq!(drain(&mut world, b), ["2", "3", "4"]);
}

// The recommendation of 4.8.2 for QoS 1.
#[test]
fn what_a_vanished_member_had_not_acknowledged_goes_to_another() {
    for lasting in [false, true] {
        let mut world = World::new();
        let stays = members(&mut world, &["stays"], 1)[0];
        let mut leaves = hello(V5, "leaves");
        if lasting {
            leaves = leaves.persistent();
        }
        let member = world.join(&leaves);
        world.subscribe(member, GROUP, 1);
        publish(&mut world, &["1", "2", "3", "4"], 1);
        assert_eq!(drain(&mut world, stays), ["1", "3"]);
        let got = world.messages(member);
        assert_eq!(payloads(&got), ["2", "4"]);
        world.send(member, &puback(got[0].packet_id.expect("QoS 1")));
        world.cut(member);
        if lasting {
            assert_eq!(
                world.take(stays),
                [],
                "it may come back for what it was sent"
            );
            // A clean start ends the session.
            let again = world.guest(V5, "leaves");
            assert_eq!(world.take(again), []);
        }
        let got = world.messages(stays);
        assert_eq!((payloads(&got), got[0].dup), (vec!["4"], false));
        world.send(stays, &puback(got[0].packet_id.expect("QoS 1")));
        world.advance(2000);
        assert_eq!(remembered(&world), (0, 0));
    }
}

#[test]
fn memory_is_passed_on_like_the_disk() {
    let mut world = World::with(4, open_settings());
    let mut guests = Vec::new();
    for number in 0..8 {
        let guest = world.guest(V5, &format!("guest-{number}"));
        world.subscribe(guest, GROUP, 1);
        guests.push(guest);
    }
    let all: Vec<String> = (0..32).map(|number| number.to_string()).collect();
    let refs: Vec<&str> = all.iter().map(String::as_str).collect();
    publish(&mut world, &refs, 1);
    let mut got = Vec::new();
    for guest in &guests[1..] {
        world.cut(*guest);
    }
    got.extend(drain(&mut world, guests[0]));
    got.sort_by_key(|payload| payload.parse::<u32>().expect("a number"));
    assert_eq!(got, all);
    assert!(world.store.is_empty());
}

// [5 MQTT-4.8.2-4]
#[test]
fn an_exactly_once_delivery_is_finished_with_its_member_after_a_crash() {
    let mut world = World::new();
    let a = members(&mut world, &["a"], 2)[0];
    publish(&mut world, &["sent", "received"], 2);
    let got = world.messages(a);
    let (sent, received) = (
        got[0].packet_id.expect("QoS 2"),
        got[1].packet_id.expect("QoS 2"),
    );
    world.send(a, &pubrec(received));
    let b = members(&mut world, &["b"], 2)[0];
    assert_eq!(world.take(b), []);
    world.restart();
    let b = back(&mut world, "b");
    assert_eq!(world.take(b), []);
    let a = back(&mut world, "a");
    let mut found = world.take(a);
    found.sort_by_key(|got| matches!(got, Got::Publish(_)));
    match &found[..] {
        [Got::Pubrel(released, 0), Got::Publish(again)] => {
            assert_eq!(
                (*released, again.packet_id, again.dup),
                (received, Some(sent), true)
            );
        }
        other => panic!("{other:?}"),
    }
    world.send(a, &pubcomp(received));
    world.send(a, &pubrec(sent));
    assert_eq!(world.take(a), [Got::Pubrel(sent, 0)]);
    world.send(a, &pubcomp(sent));
    world.advance(2000);
    assert_eq!(remembered(&world), (0, 0));
}

// [5 MQTT-4.4.0-1]
#[test]
fn what_is_sent_again_after_a_crash_is_what_was_sent_though_its_member_has_subscribed_anew() {
    let mut world = World::new();
    let a = members(&mut world, &["a"], 2)[0];
    publish(&mut world, &["x"], 2);
    let first = world.messages(a).remove(0);
    world.send(a, &unsubscribe(V5, 1, &[GROUP]));
    let mut other = options(1);
    other.retain_as_published = true;
    world.send(a, &subscribe_as(107, &[(GROUP, other)]));
    world.restart();
    let a = back(&mut world, "a");
    let again = world.messages(a).remove(0);
    let sent = Message { dup: true, ..first };
    assert_eq!(again, sent);
}

// [5 MQTT-4.8.2-5]
#[test]
fn a_message_that_waits_in_memory_for_a_member_of_two_groups_goes_to_one_member_only() {
    const OTHER: &str = "$share/h/t";
    let mut world = World::limited(|limits| limits.inflight_max = 1);
    let a = members(&mut world, &["a"], 1)[0];
    world.subscribe(a, OTHER, 1);
    let b = world.join(&resident(V5, "b"));
    world.subscribe(b, OTHER, 0);
    // It is the turn of `a` in both, and its window has room for one.
    publish(&mut world, &["x"], 1);
    assert_eq!(payloads(&world.messages(a)), ["x"]);
    assert_eq!(world.take(b), []);
    world.send(a, &unsubscribe(V5, 1, &[OTHER]));
    assert_eq!(payloads(&world.messages(b)), ["x"]);
    world.restart();
    let b = back(&mut world, "b");
    assert_eq!(world.take(b), []);
}

// [5 MQTT-4.8.2-5]
#[test]
fn what_had_begun_exactly_once_dies_with_its_members_session() {
    for lasting in [false, true] {
        let mut world = World::new();
        let mut leaves = hello(V5, "leaves");
        if lasting {
            leaves = leaves.persistent();
        }
        let member = world.join(&leaves);
        world.subscribe(member, GROUP, 2);
        let stays = members(&mut world, &["stays"], 2)[0];
        publish(&mut world, &["x"], 2);
        assert_eq!(world.messages(member).len(), 1);
        if lasting {
            world.cut(member);
            world.guest(V5, "leaves");
        } else {
            // The crash ends it.
            world.restart();
            let stays = back(&mut world, "stays");
            assert_eq!(world.take(stays), []);
            continue;
        }
        assert_eq!(world.take(stays), []);
        world.restart();
        let stays = back(&mut world, "stays");
        assert_eq!(world.take(stays), []);
        world.advance(2000);
        assert_eq!(remembered(&world), (0, 0));
    }
}

#[test]
fn shards_without_a_free_member_do_not_pass_a_message_to_each_other_for_ever() {
    let mut settings = open_settings();
    settings.limits.inflight_max = 1;
    let mut world = World::with(2, settings);
    let mut guests: Vec<Vec<Client>> = vec![Vec::new(), Vec::new()];
    for number in 0..20 {
        let guest = world.guest(V5, &format!("guest-{number}"));
        let there = &mut guests[world.shard_of(guest)];
        if there.len() < 2 {
            there.push(guest);
            world.subscribe(guest, GROUP, 1);
        }
    }
    let all: Vec<String> = (10..30).map(|number| number.to_string()).collect();
    let refs: Vec<&str> = all.iter().map(String::as_str).collect();
    publish(&mut world, &refs, 1);
    // Everybody has one under way and others waiting.
    world.cut(guests[0][0]);
    world.cut(guests[1][0]);
    let mut got = Vec::new();
    for _ in 0..refs.len() {
        got.extend(drain(&mut world, guests[0][1]));
        got.extend(drain(&mut world, guests[1][1]));
    }
    got.sort_unstable();
    assert_eq!(got, all);
}

#[test]
fn a_full_member_is_passed_over_and_nothing_waits_for_it_alone() {
    let mut world = World::limited(|limits| limits.inflight_max = 2);
    let joined = members(&mut world, &["slow", "fast"], 1);
    publish(&mut world, &["1", "2", "3", "4", "5", "6", "7"], 1);
    assert_eq!(payloads(&world.messages(joined[0])), ["1", "3"]);
    assert_eq!(drain(&mut world, joined[1]), ["2", "4", "5", "6", "7"]);
    publish(&mut world, &["8", "9"], 1);
    assert_eq!(drain(&mut world, joined[1]), ["8", "9"]);
}

#[test]
fn one_member_gets_everything_in_order_however_slow_it_is() {
    let mut world = World::limited(|limits| limits.inflight_max = 3);
    let member = members(&mut world, &["a"], 1)[0];
    let all: Vec<String> = (0..700).map(|number| number.to_string()).collect();
    let refs: Vec<&str> = all.iter().map(String::as_str).collect();
    publish(&mut world, &refs, 1);
    assert_eq!(drain(&mut world, member), all);
}

#[test]
fn what_waits_for_a_member_that_leaves_the_group_goes_to_the_others() {
    let mut world = World::limited(|limits| limits.inflight_max = 1);
    let a = members(&mut world, &["a"], 1)[0];
    publish(&mut world, &["1", "2", "3"], 1);
    let first = world.messages(a);
    assert_eq!(payloads(&first), ["1"]);
    let b = members(&mut world, &["b"], 1)[0];
    let id = world.packet_id();
    world.send(a, &unsubscribe(V5, id, &[GROUP]));
    assert_eq!(world.take(a), [Got::Unsuback(id, vec![0])]);
    assert_eq!(drain(&mut world, b), ["2", "3"]);
    // What was under way is finished with it.
    world.send(a, &puback(first[0].packet_id.expect("QoS 1")));
    world.advance(2000);
    assert_eq!(remembered(&world), (0, 0));
}

#[test]
fn the_store_answers_a_member_that_has_left_the_group_meanwhile() {
    let mut world = World::limited(|limits| limits.inflight_max = 2);
    let a = members(&mut world, &["a"], 1)[0];
    world.subscribe(a, "t", 1);
    world.cut(a);
    publish(&mut world, &["1", "2", "3"], 1);
    world.slow_store = true;
    let a = back(&mut world, "a");
    assert_eq!(world.take(a), []);
    let b = members(&mut world, &["b"], 1)[0];
    let id = world.packet_id();
    world.send(a, &unsubscribe(V5, id, &[GROUP]));
    world.take(a);
    world.slow_store = false;
    world.bring();
    assert_eq!(drain(&mut world, a), ["1", "2", "3"]);
    assert_eq!(drain(&mut world, b), ["1", "2", "3"]);
}

#[test]
fn a_group_that_ends_leaves_nothing_behind() {
    let mut world = World::with(2, open_settings());
    for member in members(&mut world, &["a", "b", "c", "d"], 1) {
        world.cut(member);
    }
    publish(&mut world, &["1", "2"], 1);
    assert_eq!(remembered(&world).0, 2);
    for name in ["a", "b", "c", "d"] {
        let client = world.guest(V5, name);
        assert_eq!(world.take(client), []);
    }
    world.advance(2000);
    assert_eq!(remembered(&world), (0, 0));
}

#[test]
fn a_groups_backlog_is_bounded_like_a_sessions_queue() {
    let mut world = World::limited(|limits| limits.stored_messages_max = 3);
    let member = members(&mut world, &["a"], 1)[0];
    world.cut(member);
    publish(&mut world, &["1", "2", "3", "4", "5"], 1);
    assert_eq!(world.shards[0].counters().dropped_queued, 2);
    world.restart();
    let member = back(&mut world, "a");
    // What was dropped is struck out with the next cursors; here the crash came first.
    assert_eq!(drain(&mut world, member), ["3", "4", "5"]);
    world.advance(2000);
    assert_eq!(remembered(&world), (0, 0));
}

#[test]
fn what_a_group_waits_for_is_not_thrown_away() {
    let mut world = World::new();
    for member in members(&mut world, &["a", "b"], 1) {
        world.cut(member);
    }
    publish(&mut world, &["1", "2"], 1);
    for _ in 0..4 {
        world.advance(5000);
        world.trim();
    }
    world.restart();
    let b = back(&mut world, "b");
    let got = world.messages(b);
    assert_eq!(payloads(&got), ["1", "2"]);
    // Nor is what one of them has not acknowledged: it may go to the other.
    for _ in 0..4 {
        world.advance(5000);
        world.trim();
    }
    world.cut(b);
    world.guest(V5, "b");
    let a = back(&mut world, "a");
    assert_eq!(drain(&mut world, a), ["1", "2"]);
}

#[test]
fn several_groups_and_a_plain_subscription_of_one_session_get_a_copy_each() {
    let mut world = World::new();
    let a = members(&mut world, &["a"], 2)[0];
    world.subscribe(a, "$share/h/+", 2);
    world.subscribe(a, "t", 2);
    publish(&mut world, &["x"], 2);
    let got = world.messages(a);
    assert_eq!(got.len(), 3);
    assert_eq!(remembered(&world), (2, 3));
    let queued = world.store.keys().filter(|at| key::parse_queue(at).is_ok());
    assert_eq!(queued.count(), 1, "the message itself stands there once");
    let mut ids: Vec<u16> = got.iter().filter_map(|message| message.packet_id).collect();
    world.restart();
    let a = back(&mut world, "a");
    let again = world.messages(a);
    let mut ids_again: Vec<u16> = again
        .iter()
        .filter_map(|message| message.packet_id)
        .collect();
    ids.sort_unstable();
    ids_again.sort_unstable();
    assert_eq!(ids, ids_again);
    for id in ids {
        world.send(a, &pubrec(id));
        world.send(a, &pubcomp(id));
    }
    world.take(a);
    world.advance(3000);
    assert_eq!(remembered(&world), (0, 0));
}

#[test]
fn a_group_over_several_shards_loses_nothing_and_gets_nothing_twice() {
    for after in [1, 2, 4, 6] {
        let mut world = World::with(4, open_settings());
        let names: Vec<String> = (0..12).map(|number| format!("m-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let joined = members(&mut world, &names, 1);
        for member in &joined {
            world.cut(*member);
        }
        // Publishers on all shards.
        for publisher in 0..8 {
            let publisher = world.guest(V311, &format!("p-{publisher}"));
            for number in 0..5 {
                world.publish(publisher, "t", &number.to_string(), 1);
            }
        }
        world.restart_with(after);
        let mut got = 0;
        for name in &names[..3] {
            // Some acknowledge and some do not, and each goes for good.
            let member = back(&mut world, name);
            let messages = world.messages(member);
            for message in messages.iter().take(5) {
                world.send(member, &puback(message.packet_id.expect("QoS 1")));
                got += 1;
            }
            world.cut(member);
            world.guest(V5, name);
        }
        let mut rest = Vec::new();
        for name in &names[3..] {
            let member = back(&mut world, name);
            rest.push(member);
        }
        for member in rest {
            got += drain(&mut world, member).len();
        }
        assert_eq!(got, 40, "{after} shards");
        world.advance(2000);
        assert_eq!(remembered(&world), (0, 0), "{after} shards");
    }
}

#[test]
fn a_granted_quality_of_zero_ends_the_turn_when_it_is_sent() {
    let mut world = World::new();
    let lasting = members(&mut world, &["a"], 1)[0];
    let live = world.guest(V5, "live");
    world.subscribe(live, GROUP, 0);
    publish(&mut world, &["1", "2"], 1);
    assert_eq!(world.messages(live)[0].qos, 0);
    assert_eq!(drain(&mut world, lasting).len(), 1);
    world.advance(2000);
    assert_eq!(remembered(&world), (0, 0));
}
