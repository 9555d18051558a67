//! `mqtt.stored_bytes_max` on the real server: what waits on disk for somebody who stays away is bounded, and whoever was told
//! that a message is taken can rely on it until that message is ten seconds old and its turn to be dropped.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::Instant;

use harness::{Client, ClientError, Event, Launch, Message, PATIENCE, QoS, Server, Version};

const BOUND: u64 = 16 * 1024 * 1024;
const MESSAGE_BYTES: usize = 256 * 1024;
const NUMBER_BYTES: usize = 16;
const CONFIG: &str = r#"
[mqtt]
stored_bytes_max = 16777216
allow_anonymous = true
sys_interval_secs = 1
[[acl]]
allow = "subscribe"
filter = "$SYS/#"
"#;

/// Numbers of the messages that a server has acknowledged, by topic.
type Accepted = BTreeMap<&'static str, Vec<usize>>;

/// A message that says which one it is.
fn message(number: usize) -> String {
    format!("{number:0NUMBER_BYTES$}").repeat(MESSAGE_BYTES / NUMBER_BYTES)
}

fn number(message: &Message) -> usize {
    assert_eq!(message.payload.len(), MESSAGE_BYTES);
    message.text()[..NUMBER_BYTES].parse().unwrap()
}

/// One who publishes to a topic of its own.
struct Publisher {
    client: Client,
    topic: &'static str,
    qos: QoS,
    next: usize,
}

impl Publisher {
    fn new(server: &Server, version: Version, topic: &'static str, qos: QoS) -> Self {
        let dial = server.dial(version, "alice", topic).persistent();
        Self {
            client: dial.connect().unwrap(),
            topic,
            qos,
            next: 0,
        }
    }

    /// Publishes the next message.
    fn publish(&mut self, accepted: &mut Accepted) -> Result<u8, ClientError> {
        let number = self.next;
        self.next += 1;
        let answer = self.client.publish(self.topic, message(number), self.qos)?;
        if answer == 0 {
            accepted.entry(self.topic).or_default().push(number);
        }
        Ok(answer)
    }

    /// Publishes until that is not taken any more; the answer to the one that was not.
    fn fill(&mut self, accepted: &mut Accepted) -> Result<u8, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "nothing is refused: {accepted:?}"
            );
            let answer = self.publish(accepted);
            if answer != Ok(0) {
                return answer;
            }
        }
    }

    /// Connects again and again until the message that was not taken is.
    fn resend(&mut self, accepted: &mut Accepted) {
        let deadline = Instant::now() + PATIENCE;
        let packet_id = self.client.last_packet_id();
        let taken = |event: &Event| match event {
            Event::Acknowledged(ack) => ack.packet_id == packet_id,
            _ => false,
        };
        'connection: loop {
            assert_eq!(self.client.reconnect(), Ok(true));
            loop {
                match self.client.event(deadline) {
                    Ok(Some(event)) if taken(&event) => break 'connection,
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("neither taken nor refused"),
                    Err(_) => break,
                }
            }
        }
        accepted.entry(self.topic).or_default().push(self.next - 1);
    }
}

/// Waits until there is room, and looks once a second.
fn await_room(server: &Server) {
    let dial = server.dial(Version::V5, "alice", "clock");
    let mut clock = dial.connect().unwrap();
    let uptime = ("$SYS/broker/uptime", QoS::AtMostOnce);
    clock.subscribe(&[uptime]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while server.metric("magpie_stored_bytes", "") > BOUND {
        assert!(Instant::now() < deadline, "nothing is dropped");
        clock.receive().unwrap();
    }
}

#[test]
fn what_waits_for_who_stays_away_is_bounded_by_dropping_and_until_then_by_refusing() {
    let server = Launch::new().config(CONFIG).start();
    server.add_account("alice");
    let dial = server.dial(Version::V5, "alice", "away").persistent();
    let mut away = dial.connect().unwrap();
    away.subscribe(&[("log/#", QoS::AtLeastOnce)]).unwrap();
    away.drop_connection();

    let mut accepted = Accepted::new();
    let mut once = Publisher::new(&server, Version::V5, "log/once", QoS::AtLeastOnce);
    let mut exactly = Publisher::new(&server, Version::V5, "log/exactly", QoS::ExactlyOnce);
    let mut old = Publisher::new(&server, Version::V311, "log/old", QoS::AtLeastOnce);
    for publisher in [&mut exactly, &mut old] {
        publisher.publish(&mut accepted).unwrap();
    }
    // Nothing is old enough to be dropped: there comes to be no room.
    assert_eq!(once.fill(&mut accepted), Ok(0x97));
    assert_eq!(exactly.fill(&mut accepted), Ok(0x97));
    let lost = old.fill(&mut accepted);
    assert!(matches!(lost, Err(ClientError::Lost(_))), "{lost:?}");
    // What waits for nobody takes no room and goes on.
    let aside = once.client.publish("elsewhere", "x", QoS::AtLeastOnce);
    assert!(matches!(aside, Ok(0 | 0x10)), "{aside:?}");
    let deadline = Instant::now() + PATIENCE;
    while server.metric("magpie_storage_refused_total", "") < 3 {
        assert!(Instant::now() < deadline, "refusals are not counted");
    }

    await_room(&server);
    old.resend(&mut accepted);
    for publisher in [&mut once, &mut exactly] {
        while publisher.publish(&mut accepted) != Ok(0) {
            assert!(Instant::now() < deadline + PATIENCE, "there is no room");
        }
    }

    assert_eq!(away.reconnect(), Ok(true));
    let mut received = Accepted::new();
    let last = |of: &Accepted| -> Vec<Option<usize>> {
        accepted
            .keys()
            .map(|topic| of.get(topic).and_then(|numbers| numbers.last().copied()))
            .collect()
    };
    while last(&received) != last(&accepted) {
        let message = away.receive().unwrap();
        let topic = accepted.keys().find(|topic| **topic == message.topic);
        let numbers = received.entry(topic.unwrap()).or_default();
        numbers.push(number(&message));
    }
    let mut dropped = 0;
    for (topic, accepted) in &accepted {
        let received = &received[topic];
        assert!(
            accepted.ends_with(received),
            "{topic}: {received:?} of {accepted:?}"
        );
        dropped += accepted.len() - received.len();
    }
    assert!(dropped > 0, "{accepted:?}");
    while server.metric("magpie_dropped_queued_total", "") < dropped as u64 {
        assert!(Instant::now() < deadline + PATIENCE, "{dropped} dropped");
    }
    let counted = server.metric("magpie_dropped_queued_total", "");
    assert_eq!(counted, dropped as u64);
}

#[test]
fn an_account_that_fills_the_room_takes_nothing_from_another() {
    let server = Launch::new().config(CONFIG).start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let dial = server.dial(Version::V5, "bob", "phone").persistent();
    let mut bob = dial.connect().unwrap();
    bob.subscribe(&[("mail/bob", QoS::AtLeastOnce)]).unwrap();
    bob.drop_connection();
    let dial = server.dial(Version::V5, "alice", "away").persistent();
    let mut away = dial.connect().unwrap();
    away.subscribe(&[("log/#", QoS::AtLeastOnce)]).unwrap();
    away.drop_connection();

    let mut accepted = Accepted::new();
    let mut greedy = Publisher::new(&server, Version::V5, "log/greedy", QoS::AtLeastOnce);
    let client = &mut greedy.client;
    let taken = client.publish("mail/bob", "the oldest of all", QoS::AtLeastOnce);
    assert_eq!(taken, Ok(0));
    assert_eq!(greedy.fill(&mut accepted), Ok(0x97));
    await_room(&server);
    assert!(server.metric("magpie_dropped_queued_total", "") > 0);

    assert_eq!(bob.reconnect(), Ok(true));
    assert_eq!(bob.receive().unwrap().text(), "the oldest of all");
}
