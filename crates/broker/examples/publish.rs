//! A fixed number of publishes through one shard without sockets, at QoS 0 and QoS 1, each to some subscribers: for counting
//! instructions, not for timing. The commits that QoS 1 asks for return at once.
//!
//!     cargo build --release -p broker --example publish
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/publish [0|1|stored] [publishes]

use std::sync::Arc;

use broker::{ConnectionId, Input, Output, Place, Settings, Shard};
use mqtt_codec::publish::PublishHead;
use mqtt_codec::{Connect, Packet, QoS, Subscribe, SubscriptionOptions, Version, ack, publish};
use records::{Millis, Moment};

const NOW: Millis = Millis::new(1_766_000_000_000);
const VERSION: Version = Version::V5;
const TOPIC: &str = "site/7/floor/3/temperature";
const SUBSCRIBERS: usize = 4;
const PAYLOAD: [u8; 128] = [b'm'; 128];
/// Publishes that are received in one turn.
const PER_TURN: usize = 16;

fn main() {
    let mut words = std::env::args().skip(1);
    let kind = words.next().unwrap_or_else(|| "0".to_owned());
    let publishes: usize = words
        .next()
        .map_or(20_000, |word| word.parse().expect("a number of publishes"));
    let (qos, lasting) = match &*kind {
        "0" => (QoS::AtMostOnce, false),
        "1" => (QoS::AtLeastOnce, false),
        "stored" => (QoS::AtLeastOnce, true),
        other => panic!("0, 1 or stored, not {other}"),
    };
    let mut world = World::new(qos, lasting);
    for turn in 0..publishes / PER_TURN {
        world.turn(turn);
    }
    println!("{} bytes delivered", world.delivered);
}

/// One shard, its subscribers, and a publisher.
struct World {
    shard: Shard,
    qos: QoS,
    subscribers: Vec<ConnectionId>,
    publisher: ConnectionId,
    delivered: usize,
}

impl World {
    fn new(qos: QoS, lasting: bool) -> Self {
        let place = Place {
            shard: 0,
            shards: 1,
            seeds: [1, 2, 3, 4],
            usage: Arc::default(),
        };
        let settings = Settings {
            allow_anonymous: true,
            ..Settings::default()
        };
        let mut world = Self {
            shard: Shard::new(&place, Arc::new(settings), NOW),
            qos,
            subscribers: Vec::new(),
            publisher: ConnectionId { slot: 0, serial: 0 },
            delivered: 0,
        };
        for number in 0..SUBSCRIBERS {
            let mut subscribe = Vec::new();
            // Half of them by a wildcard.
            let filter = if number % 2 == 0 {
                TOPIC
            } else {
                "site/+/floor/#"
            };
            let options = SubscriptionOptions::new(qos);
            Subscribe::encode(VERSION, 1, None, &[(filter, options)], &mut subscribe);
            let subscriber = world.connect(&format!("subscriber-{number}"), lasting);
            world.shard.receive(subscriber, &subscribe, NOW);
            world.carry_out();
            world.subscribers.push(subscriber);
        }
        world.publisher = world.connect("publisher", false);
        world.delivered = 0;
        world
    }

    fn connect(&mut self, client_id: &str, lasting: bool) -> ConnectionId {
        let mut connect = Connect::new(VERSION, client_id);
        connect.properties.session_expiry = lasting.then_some(3600);
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        let id = self.shard.accept(NOW);
        self.shard.begin_turn(Moment::UNKNOWN);
        self.shard.receive(id, &bytes, NOW);
        self.carry_out();
        id
    }

    /// Some publishes, and the acknowledgements of those who got them.
    fn turn(&mut self, turn: usize) {
        self.shard.begin_turn(Moment::UNKNOWN);
        let mut bytes = Vec::new();
        for number in 0..PER_TURN {
            let packet_id = ((turn * PER_TURN + number) % 1000 + 1) as u16;
            let head = PublishHead {
                qos: self.qos,
                packet_id: (self.qos != QoS::AtMostOnce).then_some(packet_id),
                ..PublishHead::new(TOPIC)
            };
            bytes.clear();
            publish::encode(VERSION, head, &PAYLOAD, &mut bytes);
            self.shard.receive(self.publisher, &bytes, NOW);
        }
        self.carry_out();
        self.carry_out();
    }

    /// What the server's thread does with outputs; subscribers acknowledge what they read.
    fn carry_out(&mut self) {
        let mut acknowledgements = Vec::new();
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Flush(id) => {
                    let bytes = self.shard.outgoing(id);
                    self.delivered += bytes.len();
                    if self.subscribers.contains(&id) {
                        acknowledgements.push((id, pubacks(bytes)));
                    }
                    let count = bytes.len();
                    self.shard.wrote(id, count, NOW);
                }
                Output::Append { ticket, .. } => self.shard.handle(Input::Appended(ticket), NOW),
                Output::Resume(_) => {}
                other => panic!("nothing of the kind was asked for: {other:?}"),
            }
        }
        for (id, bytes) in acknowledgements {
            self.shard.receive(id, &bytes, NOW);
        }
    }
}

/// PUBACKs for the PUBLISH packets at QoS 1 in what a client has read.
fn pubacks(mut bytes: &[u8]) -> Vec<u8> {
    let limits = mqtt_codec::DecodeLimits {
        user_properties_max: 0,
    };
    let mut answer = Vec::new();
    while let Ok(Some(length)) = mqtt_codec::frame::length(VERSION, bytes, u32::MAX) {
        let packet = mqtt_codec::decode(VERSION, &bytes[..length.total], &limits);
        if let Ok(Packet::Publish(publish)) = packet
            && let Some(packet_id) = publish.packet_id
        {
            let reason = mqtt_codec::ReasonCode::SUCCESS;
            ack::encode_puback(VERSION, packet_id, reason, None, u32::MAX, &mut answer);
        }
        bytes = &bytes[length.total..];
    }
    answer
}
