//! A message with very many recipients goes to them in pieces, and nobody can tell but by the time.

use mqtt_codec::Version::{V5, V311};

use crate::got::Got;
use crate::packets::{hello, message, options, subscribe, unsubscribe};
use crate::world::{Client, World};

const PIECE: usize = 100;

/// A world with so many subscribers of `t`, whose messages go to a hundred at a time.
fn crowd(count: usize) -> (World, Vec<Client>) {
    let mut world = World::limited(|limits| limits.deliveries_at_once_max = PIECE);
    let crowd = (0..count)
        .map(|number| {
            let client = world.guest(V311, &format!("c{number}"));
            world.subscribe(client, "t", 1);
            client
        })
        .collect();
    (world, crowd)
}

fn sent(world: &World) -> u64 {
    world.shards[0].counters().publishes_sent
}

#[test]
fn a_message_for_very_many_goes_out_in_pieces_and_others_are_served_between_them() {
    let mut world = World::new();
    let crowd: Vec<Client> = (0..10_000)
        .map(|number| {
            let client = world.guest(V311, &format!("c{number}"));
            world.subscribe(client, "t", 0);
            client
        })
        .collect();
    let listener = world.guest(V5, "listener");
    world.subscribe(listener, "other", 0);
    let [publisher, other] = ["p", "o"].map(|name| world.guest(V5, name));
    world.feed_only(publisher, &message(V5, "t", "x", 1, 1, false));
    world.feed_only(other, &message(V5, "other", "y", 0, 0, false));
    // Before the second piece.
    assert!(sent(&world) <= 1025, "{}", sent(&world));
    let mut before = sent(&world);
    let mut turns = 0;
    while world.step() {
        let now = sent(&world);
        assert!(now - before <= 2048, "{} in one step", now - before);
        before = now;
        turns += 1;
    }
    assert!(turns >= 5);
    assert_eq!(world.texts(listener), ["other y"]);
    assert_eq!(world.take(publisher), [Got::Puback(1, 0)]);
    for client in crowd {
        assert_eq!(world.texts(client), ["t x"]);
    }
}

#[test]
fn later_messages_do_not_overtake_and_the_publisher_waits() {
    let (mut world, crowd) = crowd(450);
    let [one, two] = ["one", "two"].map(|name| world.guest(V5, name));
    let packets: Vec<u8> = (0..5)
        .flat_map(|number| message(V5, "t", number.to_string(), 0, 0, false))
        .collect();
    world.feed_only(one, &packets);
    assert_eq!(
        sent(&world),
        PIECE as u64,
        "one piece, and its publisher is not read"
    );
    // Somebody else publishes to the same, and to less.
    world.feed_only(two, &message(V5, "t", "two", 0, 0, false));
    world.settle();
    for client in crowd {
        let texts = world.texts(client);
        let of_one: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|text| *text != "t two")
            .collect();
        assert_eq!(of_one, ["t 0", "t 1", "t 2", "t 3", "t 4"]);
        assert_eq!(texts.len(), 6);
        let place = texts.iter().position(|text| text == "t two");
        assert!(place > Some(0), "what came first is there first: {texts:?}");
    }
}

#[test]
fn nothing_comes_behind_an_unsuback_nor_to_whoever_comes_later() {
    let (mut world, crowd) = crowd(450);
    let publisher = world.guest(V5, "p");
    let (first, second) = (crowd[0], crowd[1]);
    world.feed_only(publisher, &message(V5, "t", "x", 1, 1, false));
    assert_eq!(sent(&world), PIECE as u64);
    // Who gives up the subscription has got the message before; who repeats it, as it was granted.
    world.feed_only(first, &unsubscribe(V311, 9, &["t"]));
    world.feed_only(second, &subscribe(V311, 9, &[("t", options(0))]));
    world.cut_only(crowd[2]);
    // Its place is free for somebody else, who has not asked for the message.
    let newcomer = world.open(V311);
    world.feed_only(newcomer, &hello(V311, "new").bytes());
    world.feed_only(newcomer, &subscribe(V311, 1, &[("t", options(1))]));
    world.settle();
    let got = world.take(first);
    assert!(
        matches!(&got[..], [Got::Publish(message), Got::Unsuback(9, _)] if message.qos == 1),
        "{got:?}"
    );
    let got = world.take(second);
    assert!(
        matches!(&got[..], [Got::Publish(message), Got::Suback(9, _)] if message.qos == 1),
        "{got:?}"
    );
    let got = world.take(newcomer);
    assert!(
        matches!(&got[..], [Got::Connack { .. }, Got::Suback(1, _)]),
        "{got:?}"
    );
    for client in &crowd[3..] {
        assert_eq!(world.texts(*client), ["t x"]);
    }
}
