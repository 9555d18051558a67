//! What clients hold that have not been let in, all together.

use mqtt_codec::Version::{V5, V311};

use crate::connect::refused;
use crate::got::Got;
use crate::packets::{Hello, hello};
use crate::world::{Client, World};

const BUDGET: usize = 100_000;
/// Two fit, three do not.
const LARGE: usize = 40_000;

fn world() -> World {
    World::limited(|limits| limits.unauthenticated_bytes_max = BUDGET)
}

fn large(client_id: &str) -> Hello {
    hello(V5, client_id).will("t", &"x".repeat(LARGE), 0, false)
}

/// All of a CONNECT but its end.
fn begin(world: &mut World, hello: &Hello) -> Client {
    let client = world.open(hello.version);
    let bytes = hello.bytes();
    world.send(client, &bytes[..bytes.len() - 1]);
    client
}

/// So many bytes of a client wait in what carries them.
fn count_bytes_outside(world: &mut World, client: Client, bytes: usize) {
    let peer = &world.peers[client.0];
    let (shard, id) = (peer.shard, peer.id);
    world.shards[shard].count_bytes_outside(id, bytes, world.now);
    world.settle();
}

fn refusals(world: &World) -> u64 {
    world.shards[0].counters().unauthenticated_refused
}

#[test]
fn beginnings_of_connects_have_one_bound_and_ordinary_clients_always_come_in() {
    let mut world = world();
    let first = begin(&mut world, &large("first"));
    let second = begin(&mut world, &large("second"));
    let third = begin(&mut world, &large("third"));
    assert_eq!(world.take(third), [refused(0x97)]);
    assert!(world.is_closed(third));
    let old = begin(
        &mut world,
        &hello(V311, "old").will("t", &"x".repeat(LARGE), 0, false),
    );
    assert_eq!(world.take(old), [refused(3)]);
    assert_eq!(refusals(&world), 2);
    for client_id in ["small", "other"] {
        world.guest(V5, client_id);
    }
    assert!(!world.is_closed(first) && !world.is_closed(second));

    // One that is whole, and one that is gone, make room.
    let end = large("first").bytes();
    world.send(first, &end[end.len() - 1..]);
    assert!(matches!(
        world.take(first)[..],
        [Got::Connack { code: 0, .. }]
    ));
    world.cut(second);
    for client_id in ["fourth", "fifth"] {
        let client = begin(&mut world, &large(client_id));
        assert!(!world.is_closed(client));
    }
    assert_eq!(refusals(&world), 2);
}

#[test]
fn connects_whose_credentials_are_checked_count() {
    let mut world = world();
    world.slow_logins = true;
    let waiting: Vec<Client> = ["first", "second"]
        .into_iter()
        .map(|client_id| world.connect(&large(client_id).login("alice")))
        .collect();
    let third = world.connect(&large("third").login("alice"));
    assert_eq!(world.take(third), [refused(0x97)]);
    world.check_logins();
    for client in waiting {
        assert!(matches!(
            world.take(client)[..],
            [Got::Connack { code: 0, .. }]
        ));
    }
    // They are in, and count no longer.
    world.connect(&large("fourth").login("alice"));
    let fifth = world.connect(&large("fifth").login("alice"));
    assert!(!world.is_closed(fifth));
}

#[test]
fn what_waits_outside_counts_until_it_has_come_in() {
    let mut world = world();
    let [first, second] = [world.open(V5), world.open(V5)];
    count_bytes_outside(&mut world, first, LARGE);
    count_bytes_outside(&mut world, second, BUDGET - LARGE);
    assert!(!world.is_closed(first) && !world.is_closed(second));
    count_bytes_outside(&mut world, second, BUDGET);
    assert!(world.is_closed(second));
    assert_eq!(world.take(second), [], "nobody knows what it speaks");
    world.send(first, &hello(V5, "first").bytes());
    assert!(matches!(
        world.take(first)[..],
        [Got::Connack { code: 0, .. }]
    ));
    // Behind the CONNECT a client may send larger things.
    count_bytes_outside(&mut world, first, 2 * BUDGET);
    assert!(!world.is_closed(first));
}
