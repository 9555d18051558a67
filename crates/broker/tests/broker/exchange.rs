//! Enhanced authentication: CONNECT, AUTH and CONNACK, and AUTH on an open connection.

use broker::Limits;
use mqtt_codec::Version::{V5, V31, V311};
use mqtt_codec::{Auth, DecodeLimits, Packet, ReasonCode, decode};

use crate::connect::refused;
use crate::got::Got;
use crate::logins::METHOD;
use crate::packets::{
    Hello, MAXIMUM_PACKET_SIZE, four, goodbye, hello, message, ping, raw, string,
};
use crate::world::{Client, World, open_settings};

const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;
const ANEW: ReasonCode = ReasonCode::RE_AUTHENTICATE;

/// A CONNECT that names the account in its first data.
fn hello_as(client_id: &str, name: &str) -> Hello {
    hello(V5, client_id)
        .property(&string(AUTHENTICATION_METHOD, METHOD))
        .property(&string(AUTHENTICATION_DATA, name))
}

fn auth(reason: ReasonCode, method: &str, data: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    Auth::new(reason, method, Some(data.as_bytes())).encode(u32::MAX, &mut packet);
    packet
}

fn told(reason: u8, data: Option<&str>) -> Got {
    Got::Auth {
        reason,
        method: METHOD.to_owned(),
        data: data.map(str::to_owned),
    }
}

/// Whether it has been let in.
fn is_open(world: &World, client: Client) -> bool {
    let peer = &world.peers[client.0];
    world.shards[peer.shard].is_open(peer.id)
}

/// Says the word and checks that it is welcome.
fn enter(world: &mut World, client: Client) {
    assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
    assert!(!is_open(world, client), "it has been answered, no more");
    world.send(client, &auth(CONTINUE, METHOD, "secret"));
    let bytes = world.take_bytes(client);
    let Ok(Packet::Connack(connack)) = decode(V5, &bytes, &DecodeLimits::default()) else {
        panic!("not a CONNACK: {bytes:?}");
    };
    assert_eq!(connack.code, 0);
    assert_eq!(connack.authentication_method, Some(METHOD));
    assert_eq!(connack.authentication_data, Some(&b"welcome"[..]));
    assert!(is_open(world, client));
}

fn member(world: &mut World, client_id: &str, name: &str) -> Client {
    let client = world.connect(&hello_as(client_id, name));
    enter(world, client);
    client
}

// [5 MQTT-4.12.0-2] [5 MQTT-4.12.0-5] [5 MQTT-3.15.2-1]
#[test]
fn a_client_proves_itself_step_by_step() {
    let mut world = World::new();
    let client = member(&mut world, "c", "alice");
    world.send(client, &ping());
    assert_eq!(world.take(client), [Got::Pingresp]);
    assert_eq!(world.shards[0].population().sessions, 1);
    // It is alice and nobody else: the same client id logs her in with a password, and takes over.
    world.join(&hello(V5, "c").login("alice"));
    assert_eq!(world.take(client), [Got::Disconnect(0x8E)]);
}

// [5 MQTT-4.12.0-2] [5 MQTT-4.12.0-5]
#[test]
fn a_client_may_leave_the_first_word_to_the_server() {
    let mut world = World::new();
    let client = world.connect(&hello(V5, "c").property(&string(AUTHENTICATION_METHOD, METHOD)));
    assert_eq!(world.take(client), [told(0x18, None)]);
    world.send(client, &auth(CONTINUE, METHOD, "alice"));
    enter(&mut world, client);
}

#[test]
fn the_exchange_moves_to_the_sessions_shard_with_its_connection() {
    let mut homes = [0; 4];
    let mut world = World::with(4, open_settings());
    for number in 0..16 {
        let client = member(&mut world, &format!("c{number}"), "alice");
        world.send(client, &auth(ANEW, METHOD, "alice"));
        assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
        world.send(client, &auth(CONTINUE, METHOD, "secret"));
        assert_eq!(world.take(client), [told(0, Some("welcome"))]);
    }
    for (home, shard) in homes.iter_mut().zip(&world.shards) {
        *home = shard.counters().reauthentications;
    }
    assert_eq!(homes.iter().sum::<u64>(), 16);
    assert!(homes.iter().filter(|count| **count > 0).count() > 1);
}

// [5 MQTT-4.12.0-1] [5 MQTT-4.12.0-4]
#[test]
fn a_method_we_do_not_speak_is_refused() {
    let long = "M".repeat(65);
    for method in ["SCRAM-SHA-1", "", &long] {
        let mut world = World::new();
        let hello = hello(V5, "c").property(&string(AUTHENTICATION_METHOD, method));
        let client = world.connect(&hello);
        assert_eq!(world.take(client), [refused(0x8C)]);
        assert!(world.is_closed(client));
    }
}

// [5 MQTT-4.12.0-4]
#[test]
fn a_wrong_proof_is_refused_and_the_connection_closes() {
    for name in ["alice", "mallory"] {
        let mut world = World::new();
        let client = world.connect(&hello_as("c", name));
        // Whether there is such an account is not to be seen from what is asked.
        assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
        world.send(client, &auth(CONTINUE, METHOD, "open sesame"));
        assert_eq!(world.take(client), [refused(0x86)]);
        assert!(world.is_closed(client));
        assert_eq!(world.shards[0].population().sessions, 0);
        assert_eq!(world.shards[0].counters().connects_refused, 1);
    }
}

#[test]
fn a_user_name_beside_the_proof_has_to_be_the_one_that_is_proved() {
    for (name, entered) in [("alice", true), ("bob", false)] {
        let mut world = World::new();
        let mut hello = hello_as("c", "alice");
        hello.username = Some(name.into());
        let client = world.connect(&hello);
        if entered {
            enter(&mut world, client);
            continue;
        }
        world.take(client);
        world.send(client, &auth(CONTINUE, METHOD, "secret"));
        assert_eq!(world.take(client), [refused(0x87)]);
        assert!(world.is_closed(client));
    }
}

// [5 MQTT-4.12.0-4] [5 MQTT-4.13.1-1]
#[test]
fn before_connack_only_the_awaited_auth_may_come() {
    let no_method = raw(0xF0, &[&[0x18, 0]]);
    let wrong = [
        auth(CONTINUE, "OTHER", "secret"),
        auth(ANEW, METHOD, "secret"),
        auth(ReasonCode::SUCCESS, METHOD, "secret"),
        no_method,
        ping(),
        message(V5, "t", "x", 0, 0, false),
        hello_as("c", "alice").bytes(),
    ];
    for packet in wrong {
        let mut world = World::new();
        let client = world.connect(&hello_as("c", "alice"));
        world.take(client);
        world.send(client, &packet);
        assert_eq!(world.take(client), [refused(0x82)], "{packet:?}");
        assert!(world.is_closed(client));
        assert_eq!(world.shards[0].counters().protocol_errors, 1);
    }
    // A client may think better of it. [5 MQTT-3.14.0-1]: nothing is said before CONNACK.
    let mut world = World::new();
    let client = world.connect(&hello_as("c", "alice"));
    world.take(client);
    world.send(client, &goodbye(V5));
    assert_eq!(world.take(client), []);
    assert!(world.is_closed(client));
}

// [5 MQTT-4.12.0-6]
#[test]
fn a_connection_without_a_method_has_no_auth() {
    for packet in [auth(ANEW, METHOD, "alice"), auth(CONTINUE, METHOD, "x")] {
        let mut world = World::new();
        let client = world.guest(V5, "c");
        world.send(client, &packet);
        assert_eq!(world.take(client), [Got::Disconnect(0x82)]);
        assert!(world.is_closed(client));
        // AUTH is no first packet either, and before MQTT 5 it is no packet.
        let first = world.open(V5);
        world.send(first, &packet);
        assert_eq!(world.take(first), []);
        assert!(world.is_closed(first));
        for version in [V31, V311] {
            let old = world.guest(version, "old");
            world.send(old, &packet);
            assert_eq!(world.take(old), []);
            assert!(world.is_closed(old));
        }
    }
}

#[test]
fn an_exchange_is_bounded_in_steps_bytes_and_time() {
    // Steps: CONNECT is the first.
    let Limits {
        exchange_steps_max,
        exchange_bytes_max,
        ..
    } = Limits::default();
    let mut world = World::new();
    let client = world.connect(&hello_as("c", "alice"));
    for _ in 1..exchange_steps_max {
        assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
        world.send(client, &auth(CONTINUE, METHOD, "again"));
    }
    assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
    world.send(client, &auth(CONTINUE, METHOD, "again"));
    assert_eq!(world.take(client), [refused(0x97)]);
    assert!(world.is_closed(client));

    // Bytes.
    for (extra, reason) in [(0, 0x86), (1, 0x97)] {
        let client = world.connect(&hello_as("c", "alice"));
        world.take(client);
        let much = "x".repeat(exchange_bytes_max + extra);
        world.send(client, &auth(CONTINUE, METHOD, &much));
        assert_eq!(world.take(client), [refused(reason)]);
    }
    assert_eq!(world.shards[0].counters().exchanges_too_long, 2);

    // Time: that of a CONNECT, counted from the beginning of the connection.
    let slow = world.connect(&hello_as("c", "alice"));
    world.take(slow);
    world.advance(8_000);
    world.send(slow, &auth(CONTINUE, METHOD, "again"));
    assert_eq!(world.take(slow), [told(0x18, Some("the word?"))]);
    world.advance(4_000);
    assert_eq!(world.take(slow), []);
    assert!(world.is_closed(slow));
    assert_eq!(world.shards[0].counters().connect_timeouts, 1);

    // Both are the operator's.
    let mut world = World::limited(|limits| {
        limits.exchange_steps_max = 2;
        limits.exchange_bytes_max = 10;
    });
    for (second, third, reason) in [
        ("again", "again", 0x97),
        ("x".repeat(11).as_str(), "", 0x97),
    ] {
        let client = world.connect(&hello_as("c", "alice"));
        world.take(client);
        world.send(client, &auth(CONTINUE, METHOD, second));
        if !third.is_empty() {
            assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
            world.send(client, &auth(CONTINUE, METHOD, third));
        }
        assert_eq!(world.take(client), [refused(reason)]);
    }

    // A packet before CONNACK is no larger than a CONNECT may be.
    let mut world = World::limited(|limits| limits.connect_bytes_max = 200);
    let client = world.connect(&hello_as("c", "alice"));
    world.take(client);
    world.send(client, &auth(CONTINUE, METHOD, &"x".repeat(200)));
    assert_eq!(world.take(client), [refused(0x95)]);
    assert!(world.is_closed(client));
    assert_eq!(world.shards[0].counters().packets_too_large, 1);
}

// [5 MQTT-3.1.2-24] [5 MQTT-3.15.2-2] [5 MQTT-3.15.2-3]
#[test]
fn a_client_that_takes_no_whole_auth_is_refused() {
    // AUTH with the question has 23 bytes, and neither a reason string nor a user property.
    for (maximum, answer) in [(23, told(0x18, Some("the word?"))), (22, refused(0x95))] {
        let mut world = World::new();
        let hello = hello_as("c", "alice").property(&four(MAXIMUM_PACKET_SIZE, maximum));
        let client = world.connect(&hello);
        assert_eq!(world.take(client), [answer]);
        assert_eq!(world.is_closed(client), maximum == 22);
    }
}

#[test]
fn what_comes_while_a_step_is_judged_waits_for_the_verdict() {
    let mut world = World::new();
    world.slow_logins = true;
    let client = world.open(V5);
    let mut bytes = hello_as("c", "alice").bytes();
    bytes.extend(auth(CONTINUE, METHOD, "secret"));
    bytes.extend(ping());
    world.send(client, &bytes);
    assert_eq!(world.take(client), []);
    world.check_logins();
    assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
    world.check_logins();
    let got = world.take(client);
    assert!(matches!(
        got[..],
        [Got::Connack { code: 0, .. }, Got::Pingresp]
    ));
    // A verdict that comes after the connection is gone changes nothing.
    let gone = world.connect(&hello_as("d", "alice"));
    world.cut(gone);
    world.check_logins();
    assert_eq!(world.shards[0].population().sessions, 1);
}

#[test]
fn an_account_that_was_closed_meanwhile_does_not_come_in() {
    let mut world = World::new();
    let client = world.connect(&hello_as("c", "alice"));
    world.take(client);
    let close = broker::Input::CloseAccount {
        account: crate::world::account("alice").expect("an account"),
        reason: ReasonCode::ADMINISTRATIVE_ACTION,
    };
    world.input(0, close);
    world.send(client, &auth(CONTINUE, METHOD, "secret"));
    assert_eq!(world.take(client), [refused(0x87)]);
}

// [5 MQTT-4.12.1-2]: AUTH of success; and messages flow meanwhile.
#[test]
fn an_open_connection_authenticates_anew_while_messages_flow() {
    let mut world = World::new();
    let client = member(&mut world, "c", "root");
    world.subscribe(client, "t", 1);
    for _ in 0..3 {
        world.slow_logins = true;
        world.send(client, &auth(ANEW, METHOD, "root"));
        let packet_id = world.publish(client, "t", "while it is judged", 1);
        let got = world.take(client);
        assert!(got.contains(&Got::Puback(packet_id, 0)), "{got:?}");
        assert_eq!(got.len(), 2);
        world.slow_logins = false;
        world.check_logins();
        assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
        world.publish(client, "t", "while the client thinks", 0);
        assert_eq!(world.texts(client), ["t while the client thinks"]);
        world.advance(60_000);
        world.send(client, &auth(CONTINUE, METHOD, "secret"));
        assert_eq!(world.take(client), [told(0, Some("welcome"))]);
    }
    let counters = world.shards[0].counters();
    assert_eq!(counters.reauthentications, 3);
    assert_eq!(counters.reauthentications_refused, 0);
}

// [5 MQTT-4.12.1-2] [5 MQTT-3.14.2-1]
#[test]
fn who_fails_to_authenticate_anew_is_told_and_closed() {
    for (name, word) in [
        ("alice", "open sesame"),
        ("mallory", "secret"),
        // Right, but another account.
        ("bob", "secret"),
    ] {
        let mut world = World::new();
        let client = member(&mut world, "c", "alice");
        world.send(client, &auth(ANEW, METHOD, name));
        assert_eq!(world.take(client), [told(0x18, Some("the word?"))]);
        world.send(client, &auth(CONTINUE, METHOD, word));
        assert_eq!(world.take(client), [Got::Disconnect(0x87)], "{name}");
        assert!(world.is_closed(client));
        assert_eq!(world.shards[0].counters().reauthentications_refused, 1);
    }
}

// [5 MQTT-4.13.1-1] [5 MQTT-4.12.0-5]
#[test]
fn on_an_open_connection_an_auth_out_of_order_is_a_protocol_error() {
    let wrong = [
        auth(CONTINUE, METHOD, "secret"),
        auth(ReasonCode::SUCCESS, METHOD, "secret"),
        auth(ANEW, "OTHER", "alice"),
        raw(0xF0, &[&[0x19, 0]]),
        raw(0xF0, &[]),
    ];
    for packet in &wrong {
        let mut world = World::new();
        let client = member(&mut world, "c", "alice");
        world.send(client, packet);
        assert_eq!(world.take(client), [Got::Disconnect(0x82)], "{packet:?}");
        assert!(world.is_closed(client));
    }
    // A second beginning before the first has come to its end, and a step before its turn.
    for (slow, packet) in [
        (false, auth(ANEW, METHOD, "alice")),
        (true, auth(ANEW, METHOD, "alice")),
        (true, auth(CONTINUE, METHOD, "secret")),
    ] {
        let mut world = World::new();
        let client = member(&mut world, "c", "alice");
        world.slow_logins = slow;
        world.send(client, &auth(ANEW, METHOD, "alice"));
        world.take(client);
        world.send(client, &packet);
        assert_eq!(world.take(client), [Got::Disconnect(0x82)]);
        assert!(world.is_closed(client));
        world.check_logins();
    }
}
