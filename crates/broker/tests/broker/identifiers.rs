//! Packet identifiers over restarts of the server: what a client may still hold is not given to another message.

use mqtt_codec::Version;

use crate::got::Got;
use crate::packets::{pubcomp, pubrec};
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
