//! What one account may take of the server, and that nobody else pays for it.

use mqtt_codec::Version::V5;

use crate::connect::refused;
use crate::got::Got;
use crate::packets::{Hello, goodbye, hello, message, options, subscribe};
use crate::world::{Client, World, open_settings, resident};

fn of(account: &str, client_id: &str) -> Hello {
    resident(V5, client_id).login(account)
}

fn world(shards: u16, change: impl FnOnce(&mut broker::Limits)) -> World {
    let mut settings = open_settings();
    change(&mut settings.limits);
    World::with(shards, settings)
}

/// Whether a session is still there, which this ends.
fn is_there(world: &mut World, hello: &Hello) -> bool {
    let client = world.connect(hello);
    let present = match world.take(client)[..] {
        [Got::Connack { present, code, .. }, ..] => {
            assert_eq!(code, 0);
            present
        }
        ref other => panic!("not accepted: {other:?}"),
    };
    world.send(client, &goodbye(V5));
    present
}

#[test]
fn an_account_with_too_many_lasting_sessions_loses_one_of_its_own() {
    let mut world = world(1, |limits| limits.sessions_per_account_max = 3);
    let other = world.join(&of("bob", "bobs"));
    world.cut(other);
    // The one that has been offline longest holds a message.
    let first = world.join(&of("alice", "first"));
    world.subscribe(first, "t", 1);
    world.cut(first);
    world.advance(1000);
    let second = world.join(&of("alice", "second"));
    world.cut(second);
    world.advance(1000);
    let third = world.join(&of("alice", "third"));
    world.cut(third);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "acknowledged", 1);

    world.join(&of("alice", "fourth"));
    assert_eq!(world.shards[0].counters().sessions_displaced, 1);
    // Clean sessions are as many as there are connections.
    let clean = world.join(&hello(V5, "clean").login("alice"));
    world.cut(clean);
    assert_eq!(world.shards[0].counters().sessions_displaced, 1);
    let first = world.join_and_keep(&of("alice", "first"));
    assert_eq!(world.texts(first), ["t acknowledged"]);
    assert!(is_there(&mut world, &of("bob", "bobs")));
    assert!(is_there(&mut world, &of("alice", "third")));
}

#[test]
fn an_account_whose_sessions_are_all_connected_gets_no_more() {
    let mut world = world(2, |limits| limits.sessions_per_account_max = 3);
    let _connected: Vec<Client> = ["a", "b", "c"]
        .map(|client_id| world.join(&of("alice", client_id)))
        .into();
    let more = world.connect(&of("alice", "d"));
    assert_eq!(world.take(more), [refused(0x97)]);
    world.join(&hello(V5, "clean").login("alice"));
    world.join(&of("bob", "d"));
}

#[test]
fn an_account_has_so_many_bytes_of_filters_in_all_its_sessions() {
    let mut world = world(2, |limits| limits.filter_bytes_per_account_max = 20_000);
    let filter = |number: usize| format!("{number:04}{}", "x".repeat(996));
    let clients: Vec<Client> = (0..4)
        .map(|number| world.join(&of("alice", &format!("c{number}"))))
        .collect();
    let grant = |world: &mut World, client: Client, number: usize| {
        world.send(client, &subscribe(V5, 3, &[(&filter(number), options(0))]));
        match &world.take(client)[..] {
            [Got::Suback(3, codes)] => codes[0] == 0,
            other => panic!("no SUBACK: {other:?}"),
        }
    };
    let mut granted = 0;
    for number in 0..40 {
        granted += usize::from(grant(&mut world, clients[number % 4], number));
    }
    // 4,096 bytes are free in each session; a filter counts for 1,064.
    assert_eq!(granted, (20_000 + 4 * 4096) / 1064);
    // The same again is nothing more, another account has its own share, and what is given up makes room.
    assert!(grant(&mut world, clients[0], 0));
    let bob = world.join(&of("bob", "b"));
    for number in 0..10 {
        assert!(grant(&mut world, bob, number));
    }
    assert!(!grant(&mut world, clients[1], 99));
    let end = crate::packets::unsubscribe(V5, 4, &[&filter(0), &filter(4), &filter(8)]);
    world.send(clients[0], &end);
    world.take(clients[0]);
    assert!(grant(&mut world, clients[1], 99));
    // So does a session's end, and after a restart the count is the same.
    world.restart();
    let again = world.join(&of("alice", "c2"));
    let more = (100..140)
        .filter(|number| grant(&mut world, again, *number))
        .count();
    assert!(more <= 3, "{more}");
    let clean = world.join(&of("alice", "c1").clean(true));
    assert!(
        (6..).contains(
            &(200..240)
                .filter(|number| grant(&mut world, clean, *number))
                .count()
        )
    );
}

#[test]
fn a_session_that_holds_messages_is_not_ended_for_others() {
    let mut world = world(1, |limits| limits.offline_sessions_max = 2);
    for client_id in ["one", "two", "three"] {
        let client = world.join(&resident(V5, client_id));
        world.subscribe(client, "t", 1);
    }
    let publisher = world.guest(V5, "p");
    for name in ["one", "two"] {
        let client = world.join(&resident(V5, name));
        world.cut(client);
    }
    world.publish(publisher, "t", "for all", 1);
    let third = world.join(&resident(V5, "three"));
    world.block(third, true);
    world.publish(publisher, "t", "for all again", 1);
    world.cut(third);
    assert_eq!(world.shards[0].counters().sessions_dropped, 0);
    let more = world.connect(&resident(V5, "four"));
    assert_eq!(world.take(more), [refused(0x97)]);
    let back = world.join_and_keep(&resident(V5, "one"));
    assert_eq!(world.texts(back), ["t for all", "t for all again"]);
    world.join(&resident(V5, "four"));
}

#[test]
fn an_account_cannot_fill_the_retained_messages() {
    let mut world = world(2, |limits| limits.retained_messages_max = 8);
    let alice = world.join(&of("alice", "a"));
    let bob = world.join(&of("bob", "b"));
    let retain = |world: &mut World, client, topic: &str, payload: &str| {
        world.send(client, &message(V5, topic, payload, 1, 9, true));
        let [Got::Puback(9, reason)] = world.take(client)[..] else {
            panic!("no PUBACK");
        };
        reason
    };
    for number in 0..4 {
        assert_eq!(retain(&mut world, alice, &format!("a/{number}"), "x"), 0x10);
    }
    assert_eq!(retain(&mut world, alice, "a/4", "x"), 0x97);
    assert_eq!(retain(&mut world, alice, "a/3", "another"), 0x10);
    for number in 0..2 {
        assert_eq!(retain(&mut world, bob, &format!("b/{number}"), "x"), 0x10);
    }
    assert_eq!(retain(&mut world, bob, "b/2", "x"), 0x97);
    let refused = world
        .shards
        .iter()
        .map(|shard| shard.counters().retained_refused);
    assert_eq!(refused.sum::<u64>(), 2);
    // Who wrote what is known after a restart.
    world.restart();
    let bob = world.join(&of("bob", "b"));
    let alice = world.join(&of("alice", "a"));
    let guest = world.guest(V5, "guest");
    assert_eq!(retain(&mut world, alice, "a/4", "x"), 0x97);
    assert_eq!(retain(&mut world, guest, "g", "x"), 0x10);
    for number in 0..3 {
        assert_eq!(retain(&mut world, alice, &format!("a/{number}"), ""), 0x10);
    }
    assert_eq!(retain(&mut world, alice, "a/4", "x"), 0x10);
    assert_eq!(retain(&mut world, bob, "b/2", "x"), 0x97);
}
