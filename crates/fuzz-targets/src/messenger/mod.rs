//! Target `messenger`: what accounts publish under `im/`, with any topic and any payload. Nothing may panic, every
//! publish is answered once, what goes out is JSON on a topic that exists, and messages are numbered without gaps, whatever the
//! store is late with and whoever owns a partition by then.

pub(crate) mod damage;
mod disk;
mod faults;
mod history;
mod world;

use records::Millis;

use crate::feed::Feed;
use world::World;

const START: Millis = Millis::new(1_765_900_000_000);
const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const STEPS_MAX: usize = 200;
/// Packets of one delivery.
const PACKETS_MAX: usize = 4;
const TOPICS: [&str; 24] = [
    "im/to/@bob",
    "im/to/eng",
    "im/to/@alice",
    "im/to/@bob/edit",
    "im/to/@bob/delete",
    "im/to/@bob/react",
    "im/to/@bob/pin",
    "im/to/@bob/read",
    "im/to/eng/read",
    "im/to/@bob/typing",
    "im/me/status",
    "im/me/active",
    "im/ask/group.create/1",
    "im/ask/group.join/1",
    "im/ask/group.leave/1",
    "im/ask/history/1",
    "im/ask/sync/1",
    "im/ask/conversations/1",
    "im/ask/members/1",
    "im/ask/search/1",
    "im/ask/contact.request/1",
    "im/ask/profile.set",
    "im/ask/group.role/1",
    "im/ask/group.delete/1",
];

/// Steps until the bytes are used up; then everything is stored and looked at.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World::new();
    steps(&mut world, &mut feed);
    world.end();
    world.check_numbers();
}

fn steps(world: &mut World, feed: &mut Feed<'_>) {
    for _ in 0..STEPS_MAX {
        if feed.is_empty() {
            break;
        }
        step(world, feed);
    }
}

fn step(world: &mut World, feed: &mut Feed<'_>) {
    let device = feed.below(NAMES.len());
    match feed.byte() % 20 {
        0..=7 => {
            let topic = (*feed.choose(&TOPICS)).to_owned();
            world.publish(device, &topic, feed.piece(), feed.byte());
        }
        8 => {
            let topic = format!("im/{}", String::from_utf8_lossy(feed.piece()));
            world.publish(device, &topic, feed.piece(), feed.byte());
        }
        9 => {
            let filter = format!("im/{}", String::from_utf8_lossy(feed.piece()));
            world.subscribe(device, &filter, feed.byte());
        }
        10 => world.pass(u64::from(feed.byte()) * 500),
        11 => world.commit_one(),
        12 => world.holding = feed.flag(),
        13 => world.catch_up(device, feed.byte().into()),
        14 => world.received(device, feed.byte().into(), feed.byte().into()),
        15 => world.fence(feed.byte()),
        16 => world.holding_reads = feed.flag(),
        17 | 18 => world.read_one(feed.byte().into()),
        _ => world.refusing = feed.flag(),
    }
}
