//! What the messenger delivers to very many accounts goes to them in pieces, and nobody can tell but by the time.

use std::sync::Arc;

use broker::{ChatDelivery, Input, Recipients};
use mqtt_codec::QoS;
use mqtt_codec::Version::{V5, V311};
use records::{AccountId, Pos};

use crate::chat::{catch_up, device, packet};
use crate::got::Got;
use crate::logins::member;
use crate::packets::{message, options, subscribe, unsubscribe};
use crate::world::{Client, World};

const PIECE: usize = 100;

fn join(world: &mut World, number: u64) -> Client {
    let client = world.join(&device(V311, "phone", &format!("m{number}")));
    world.subscribe(client, "im/in/#", 1);
    client
}

/// A world with so many members of a group, of whom a hundred are served at a time.
fn crowd(count: u64) -> (World, Vec<Client>) {
    let mut world = World::limited(|limits| limits.deliveries_at_once_max = PIECE);
    let crowd = (0..count).map(|number| join(&mut world, number)).collect();
    (world, crowd)
}

/// Entry number `pos`, for these members; nothing else happens meanwhile.
fn deliver_only(world: &mut World, pos: u64, members: impl IntoIterator<Item = u64>) {
    let accounts: Vec<AccountId> = members.into_iter().map(member).collect();
    let delivery = Arc::new(ChatDelivery {
        recipients: Recipients::Accounts(accounts.into()),
        packets: vec![packet("im/in/eng", &pos.to_string(), QoS::ExactlyOnce)],
        pos: Some(Pos::new(pos)),
        floor: Pos::new(pos),
        publisher: None,
        receipt: None,
    });
    world.shards[0].handle(Input::Deliver(delivery), world.now);
}

fn sent(world: &World) -> u64 {
    world.shards[0].counters().publishes_sent
}

#[test]
fn a_group_of_very_many_is_served_in_pieces_and_others_between_them() {
    let mut world = World::new();
    let crowd: Vec<Client> = (0..10_000).map(|n| join(&mut world, n)).collect();
    let [listener, other] = ["l", "o"].map(|name| world.guest(V5, name));
    world.subscribe(listener, "other", 0);
    deliver_only(&mut world, 1, 0..10_000);
    assert_eq!(sent(&world), 0, "its turn is the next");
    world.feed_only(other, &message(V5, "other", "y", 0, 0, false));
    let mut before = sent(&world);
    let mut turns = 0;
    while world.step() {
        let now = sent(&world);
        assert!(now - before <= 2049, "{} in one step", now - before);
        before = now;
        turns += 1;
    }
    assert!(turns >= 5, "{turns}");
    assert_eq!(world.texts(listener), ["other y"]);
    for client in crowd {
        assert_eq!(world.texts(client), ["im/in/eng 1"]);
    }
}

#[test]
fn whoever_is_not_here_costs_a_look() {
    let (mut world, crowd) = crowd(2);
    deliver_only(&mut world, 1, (0..10_000).rev());
    let mut turns = 0;
    while world.step() {
        turns += 1;
    }
    assert!(turns <= 4, "{turns}");
    for client in crowd {
        assert_eq!(world.texts(client), ["im/in/eng 1"]);
    }
}

#[test]
fn later_deliveries_do_not_overtake() {
    let (mut world, crowd) = crowd(450);
    deliver_only(&mut world, 1, 0..450);
    // To one of the last, to some in no order, and to everybody again.
    deliver_only(&mut world, 2, [449]);
    assert_eq!(sent(&world), 2, "what was owed, and what came");
    deliver_only(&mut world, 3, (0..450).rev().step_by(2));
    deliver_only(&mut world, 4, 0..450);
    world.settle();
    for (number, client) in crowd.into_iter().enumerate() {
        let expected: &[&str] = match number {
            449 => &["im/in/eng 1", "im/in/eng 2", "im/in/eng 3", "im/in/eng 4"],
            number if number % 2 == 1 => &["im/in/eng 1", "im/in/eng 3", "im/in/eng 4"],
            _ => &["im/in/eng 1", "im/in/eng 4"],
        };
        assert_eq!(world.texts(client), expected, "{number}");
    }
}

#[test]
fn what_is_owed_comes_before_filters_change_and_not_to_whoever_comes_later() {
    let (mut world, crowd) = crowd(450);
    let lasting = device(V311, "tablet", "m300").persistent();
    let tablet = world.join(&lasting);
    world.subscribe(tablet, "im/in/#", 1);
    deliver_only(&mut world, 1, 0..450);
    let (first, second) = (crowd[400], crowd[401]);
    world.feed_only(first, &unsubscribe(V311, 9, &["im/in/#"]));
    let repeated = [("im/in/#", options(0))];
    world.feed_only(second, &subscribe(V311, 9, &repeated));
    world.cut_only(crowd[402]);
    world.cut_only(tablet);
    let newcomer = world.open(V311);
    world.feed_only(newcomer, &device(V311, "new", "m403").bytes());
    world.settle();
    world.feed_only(newcomer, &subscribe(V311, 1, &[("im/in/#", options(1))]));
    world.settle();
    for (client, qos) in [(first, 1), (second, 1)] {
        let got = world.take(client);
        assert!(
            matches!(
                &got[..],
                [Got::Publish(message), Got::Unsuback(9, _) | Got::Suback(9, _)] if message.qos == qos
            ),
            "{got:?}"
        );
    }
    let got = world.take(newcomer);
    assert!(
        matches!(&got[..], [Got::Connack { .. }, Got::Suback(1, _)]),
        "{got:?}"
    );
    // Who was offline when it would have been its turn finds it in the store.
    world.services.clear();
    world.join(&lasting);
    assert_eq!(catch_up(&mut world, 1, 1), 1);
    for client in crowd[..400].iter().chain(&crowd[403..]) {
        assert_eq!(world.texts(*client), ["im/in/eng 1"]);
    }
}

#[test]
fn few_are_on_their_way_and_the_next_goes_at_once_behind_them() {
    let (mut world, crowd) = crowd(150);
    for pos in 1..=8 {
        deliver_only(&mut world, pos, 0..150);
    }
    assert_eq!(sent(&world), 0);
    deliver_only(&mut world, 9, 0..150);
    assert_eq!(sent(&world), 9 * 150);
    world.settle();
    let expected: Vec<String> = (1..=9).map(|pos| format!("im/in/eng {pos}")).collect();
    for client in crowd {
        assert_eq!(world.texts(client), expected);
    }
}

#[test]
fn a_server_that_ends_gives_what_is_owed_before() {
    let (mut world, crowd) = crowd(450);
    deliver_only(&mut world, 1, 0..450);
    world.input(0, Input::Shutdown);
    for client in crowd {
        let got = world.take(client);
        assert!(matches!(&got[..], [Got::Publish(_), ..]), "{got:?}");
    }
}
