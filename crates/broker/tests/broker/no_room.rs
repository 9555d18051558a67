//! Connections that are one too many: they hear why.

use mqtt_codec::ReasonCode;
use mqtt_codec::Version::{V5, V311};

use crate::connect::refused;
use crate::got::Got;
use crate::packets::hello;
use crate::world::{Client, World};

#[test]
fn a_connection_the_server_has_no_room_for_is_told_so() {
    let mut world = World::limited(|limits| limits.connections_max = 1);
    world.guest(V5, "a");
    let second = world.connect(&hello(V5, "b"));
    assert_eq!(world.take(second), [refused(0x89)]);
    assert!(world.is_closed(second));
}

fn refuse(world: &mut World, client: Client, reason: ReasonCode) {
    let id = world.peers[client.0].id;
    world.shards[0].refuse_connection(id, reason, world.now);
}

#[test]
fn a_connection_that_is_one_too_many_hears_why_and_has_little_time() {
    let mut world = World::new();
    for (version, code) in [(V5, 0x97), (V311, 3)] {
        let client = world.open(version);
        refuse(&mut world, client, ReasonCode::QUOTA_EXCEEDED);
        world.send(client, &hello(version, "c").bytes());
        assert_eq!(world.take(client), [refused(code)]);
        assert!(world.is_closed(client));
    }
    let silent = world.open(V5);
    refuse(&mut world, silent, ReasonCode::SERVER_BUSY);
    let patient = world.open(V5);
    world.advance(4000);
    assert!(world.is_closed(silent));
    assert!(!world.is_closed(patient));

    // Behind a proxy it may turn out that there is room for it.
    let admitted = world.open(V5);
    refuse(&mut world, admitted, ReasonCode::SERVER_BUSY);
    let id = world.peers[admitted.0].id;
    world.shards[0].withdraw_refusal(id, world.now);
    world.advance(4000);
    world.send(admitted, &hello(V5, "c").bytes());
    assert!(matches!(
        world.take(admitted)[..],
        [Got::Connack { code: 0, .. }]
    ));
}
