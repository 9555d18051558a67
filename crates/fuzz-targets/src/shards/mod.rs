//! Target `shards`: shards of the broker with several clients that send sound packets and any bytes in any pieces, while
//! logins, commits, time and the messenger come when they like. Nothing may panic, whatever goes out must be sound for
//! the client that gets it, and every bound holds.

mod client;
pub(crate) mod damage;
mod peer;
mod restart;
mod world;

use std::sync::Arc;

use broker::{ChatDelivery, Input, Message, Recipients};
use bytes::Bytes;
use mqtt_codec::{QoS, ReasonCode};
use records::{AccountId, ConversationId, Moment, Pos, Seq};

use crate::feed::Feed;
use world::World;

/// Steps of one input; more than that would only be slow.
const STEPS_MAX: usize = 400;

/// The first byte chooses one shard or two, then come steps.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World::new(1 + u16::from(feed.flag()));
    steps(&mut world, &mut feed);
}

/// Steps until the bytes are used up; then everything comes to rest.
fn steps(world: &mut World, feed: &mut Feed<'_>) {
    for _ in 0..STEPS_MAX {
        if feed.is_empty() {
            break;
        }
        step(world, feed);
        world.check();
    }
    world.come_to_rest();
    world.check();
}

fn step(world: &mut World, feed: &mut Feed<'_>) {
    match feed.byte() % 24 {
        0..=11 => client_step(world, feed),
        12 => world.commit(feed.below(4)),
        13 => world.check_logins(feed.flag()),
        14 => world.advance(u64::from(feed.byte()) * u64::from(feed.byte()) * 20),
        15 => world.bring(1 + feed.below(4)),
        16 => world.answer_service(feed),
        17 => deliver(world, feed),
        18 => {
            let account = AccountId::new(1 + feed.below(3) as u64);
            let reason = ReasonCode::NOT_AUTHORIZED;
            world.input_all(|| Input::CloseAccount { account, reason });
        }
        19 => world.reconfigure(feed.flag()),
        20 => world.trim(),
        21 if feed.below(8) == 0 => world.restart().expect("sound rows"),
        22 if feed.below(16) == 0 => world.input_all(|| Input::Shutdown),
        _ => {
            world.slow_disk = feed.flag();
            world.slow_logins = feed.flag();
            world.slow_store = feed.flag();
            world.settle();
        }
    }
}

fn client_step(world: &mut World, feed: &mut Feed<'_>) {
    let Some(peer) = world.choose_peer(feed) else {
        return;
    };
    match feed.byte() % 16 {
        0 | 1 => world.say(peer, &client::connect(feed)),
        2..=4 => {
            let packet = client::publish(world.version(peer), feed);
            world.say(peer, &packet);
        }
        5 | 6 => {
            let packet = client::subscribe(world.version(peer), feed);
            world.say(peer, &packet);
        }
        7 => {
            let packet = client::unsubscribe(world.version(peer), feed);
            world.say(peer, &packet);
        }
        8 | 9 => {
            let packet = world.acknowledgement(peer, feed);
            world.say(peer, &packet);
        }
        10 => {
            let packet = client::farewell(world.version(peer), feed);
            world.say(peer, &packet);
        }
        11 => world.say_anything(peer, feed.piece()),
        12 => world.cut(peer),
        13 => world.block(peer, feed.flag()),
        14 => world.piecewise(peer, feed.byte()),
        _ => world.take_some(peer, usize::from(feed.byte())),
    }
}

/// The messenger delivers: a stored entry, or something that is not stored.
fn deliver(world: &mut World, feed: &mut Feed<'_>) {
    let shape = feed.byte();
    let topics = [
        "im/in/@bob",
        "im/in/eng",
        "im/in/eng/event",
        "im/about/eng",
        "im/text/eng",
    ];
    let packets = (0..1 + feed.below(2)).map(|_| {
        Arc::new(Message {
            topic: (*feed.choose(&topics)).into(),
            payload: Bytes::copy_from_slice(&vec![b'x'; usize::from(feed.byte())]),
            properties: Bytes::new(),
            qos: QoS::from_bits(feed.byte() % 3).unwrap_or(QoS::AtMostOnce),
            retain: false,
            expires_at: None,
            at: world.now,
            read_at: Moment::UNKNOWN,
        })
    });
    let packets = packets.collect();
    let pos = (shape & 1 != 0).then(|| world.next_pos());
    let conversation = ConversationId::new(1);
    let receipt = (shape & 2 != 0).then(|| (conversation, Seq::new(pos.map_or(1, Pos::value))));
    let recipients = match world.session(feed) {
        Some(session) if shape & 4 != 0 && pos.is_none() => Recipients::Session(session),
        _ => {
            let accounts: Vec<AccountId> = (1..=3)
                .filter(|account| shape & (8 << account) != 0)
                .map(AccountId::new)
                .collect();
            Recipients::Accounts(accounts.into())
        }
    };
    world.deliver(ChatDelivery {
        recipients,
        packets,
        pos,
        floor: pos.filter(|_| shape & 0x80 == 0).unwrap_or(Pos::ZERO),
        publisher: None,
        receipt,
    });
}
