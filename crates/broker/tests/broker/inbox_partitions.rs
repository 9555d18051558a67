//! Entries of several partitions: those of one come in order, those of different ones in any order of their positions. Whatever
//! becomes of the connection and the process, none is left out, and exactly once stays once.

use std::sync::Arc;

use broker::{ChatDelivery, Input};
use mqtt_codec::QoS;
use mqtt_codec::Version::V5;
use proptest::prelude::*;
use records::{Cursor, PartitionId, Pos, SessionRef};

use crate::chat::{accounts, device, packet, question, world};
use crate::inbox_walk::Phone;
use crate::packets::{Hello, RECEIVE_MAXIMUM, puback, pubcomp, pubrec, two};
use crate::world::{Client, World};

const PARTITIONS: [u16; 3] = [3, 7, 200];

fn pos(tick: u64, partition: u16) -> Pos {
    Pos::at(tick, PartitionId::new(partition))
}

/// What the messenger has told of some partitions, and what it has still to tell.
#[derive(Default)]
struct Told {
    entries: Vec<Pos>,
    /// Given, and not told.
    untold: Vec<Pos>,
    cursor: Cursor,
}

impl Told {
    /// A partition gives a position: newer than its last one and than the floor, not than what others have told.
    fn give(&mut self, partition: u16, ahead: u64) -> Pos {
        let given = self.entries.iter().chain(&self.untold);
        let of = |pos: &&Pos| pos.partition() == PartitionId::new(partition);
        let last = given.filter(of).max().map_or(0, |pos| pos.tick());
        let tick = last.max(self.cursor.floor().tick()) + 1 + ahead;
        self.untold.push(pos(tick, partition));
        pos(tick, partition)
    }

    /// The oldest of a partition that has not been told is told.
    fn tell(&mut self, partition: u16) -> Option<Arc<ChatDelivery>> {
        let of = |pos: &Pos| pos.partition() == PartitionId::new(partition);
        let at = self.untold.iter().position(of)?;
        let pos = self.untold.remove(at);
        self.entries.push(pos);
        self.cursor.advance(pos);
        let is_told = |pos: &&Pos| self.untold.iter().all(|untold| untold > *pos);
        let floor = self.entries.iter().filter(is_told).max();
        let floor = floor.copied().unwrap_or_default();
        self.cursor.raise(floor);
        Some(entry(pos, floor.min(pos)))
    }

    /// The answer to a question, with at most `page` entries.
    fn answer(&self, session: SessionRef, since: &Cursor, page: usize) -> Input {
        let is_news = |pos: &Pos| !since.covers(*pos);
        let mut news: Vec<Pos> = self.entries.iter().copied().filter(is_news).collect();
        news.sort_unstable();
        let more = news.len() > page;
        news.truncate(page);
        let upto = match news.last() {
            Some(last) if more => self.cursor.cut(*last),
            Some(_) | None => self.cursor.clone(),
        };
        let entries = news.into_iter().map(|pos| entry(pos, Pos::ZERO)).collect();
        Input::CaughtUp {
            session,
            entries,
            upto,
            more,
        }
    }
}

fn entry(pos: Pos, floor: Pos) -> Arc<ChatDelivery> {
    Arc::new(ChatDelivery {
        recipients: accounts(&["alice"]),
        packets: vec![packet("im/in/eng", &pos.to_string(), QoS::ExactlyOnce)],
        pos: Some(pos),
        floor,
        publisher: None,
        receipt: None,
    })
}

/// Answers it.
fn answer(world: &mut World, told: &Told, page: usize) -> bool {
    let Some((session, since)) = question(world) else {
        return false;
    };
    world.input(0, told.answer(session, &since, page));
    true
}

fn deliver(world: &mut World, told: &mut Told, partition: u16) {
    if let Some(delivery) = told.tell(partition) {
        world.input(0, Input::Deliver(delivery));
    }
}

fn catch_up(world: &mut World, told: &Told, page: usize) -> Vec<Cursor> {
    let mut asked = Vec::new();
    while let Some((session, since)) = question(world) {
        world.input(0, told.answer(session, &since, page));
        asked.push(since);
    }
    asked
}

/// What comes, acknowledged.
fn take(world: &mut World, client: Client) -> Vec<String> {
    let messages = world.messages(client);
    let mut acks = Vec::new();
    for message in &messages {
        acks.extend(puback(message.packet_id.expect("QoS 1")));
    }
    world.send(client, &acks);
    let payloads = messages.into_iter().map(|message| message.payload);
    payloads.collect()
}

fn phone(window: u16) -> Hello {
    device(V5, "phone", "alice")
        .persistent()
        .property(&two(RECEIVE_MAXIMUM, window))
}

/// Alice's phone, which listens; two partitions have given a position each, and only the newer one is told.
fn ahead() -> (World, Told, Client, [Pos; 2]) {
    let (mut world, mut told) = (world(), Told::default());
    let client = world.join(&phone(10));
    world.subscribe(client, "im/in/#", 1);
    let given = [told.give(3, 0), told.give(7, 10)];
    deliver(&mut world, &mut told, 7);
    assert_eq!(take(&mut world, client), [given[1].to_string()]);
    (world, told, client, given)
}

#[test]
fn an_entry_older_than_another_partitions_is_delivered_live() {
    let (mut world, mut told, client, given) = ahead();
    deliver(&mut world, &mut told, 3);
    assert_eq!(take(&mut world, client), [given[0].to_string()]);
}

#[test]
fn a_session_that_was_away_gets_the_older_entry_of_another_partition() {
    let (mut world, mut told, client, given) = ahead();
    world.cut(client);
    deliver(&mut world, &mut told, 3);
    let client = world.join_and_keep(&phone(10));
    let asked = catch_up(&mut world, &told, 10);
    let mut had = Cursor::default();
    had.advance(given[1]);
    assert_eq!(asked, [had]);
    assert_eq!(take(&mut world, client), [given[0].to_string()]);
    // Live again, with everything behind it.
    let next = told.give(200, 0);
    deliver(&mut world, &mut told, 200);
    assert_eq!(take(&mut world, client), [next.to_string()]);
}

#[test]
fn the_row_of_a_session_says_which_partition_is_ahead() {
    let (mut world, mut told, _, given) = ahead();
    world.advance(2000);
    world.restart();
    deliver(&mut world, &mut told, 3);
    let client = world.join_and_keep(&phone(10));
    catch_up(&mut world, &told, 10);
    assert_eq!(take(&mut world, client), [given[0].to_string()]);
}

#[test]
fn an_answer_of_which_a_part_was_sent_leaves_out_nothing_of_another_partition() {
    let (mut world, mut told) = (world(), Told::default());
    let client = world.join(&phone(1));
    world.subscribe(client, "im/in/#", 1);
    world.cut(client);
    let given = [told.give(3, 5), told.give(7, 10), told.give(200, 20)];
    deliver(&mut world, &mut told, 200);
    deliver(&mut world, &mut told, 3);
    let client = world.join_and_keep(&phone(1));
    catch_up(&mut world, &told, 10);
    assert_eq!(take(&mut world, client), [given[0].to_string()]);
    assert_eq!(world.messages(client).len(), 1, "the window is full");
    world.cut(client);
    // What is told meanwhile is older than what has been sent.
    deliver(&mut world, &mut told, 7);
    let client = world.join_and_keep(&phone(1));
    let asked = catch_up(&mut world, &told, 10);
    assert!(asked.iter().all(|since| !since.covers(given[1])));
    let mut got = Vec::new();
    for _ in 0..5 {
        got.extend(take(&mut world, client));
        catch_up(&mut world, &told, 10);
    }
    got.sort_unstable();
    assert_eq!(got, [given[1], given[2]].map(|pos| pos.to_string()));
}

/// Its partition is no longer ahead in the row, because an older entry of another one is unfinished.
#[test]
fn what_was_finished_exactly_once_does_not_come_again_behind_an_unfinished_one() {
    let (mut world, mut told) = (world(), Told::default());
    let client = world.join(&phone(10));
    world.subscribe(client, "im/in/#", 2);
    let given = [told.give(3, 0), told.give(7, 10)];
    deliver(&mut world, &mut told, 7);
    let id = world.messages(client)[0].packet_id.expect("QoS 2");
    world.send(client, &pubrec(id));
    world.take(client);
    world.send(client, &pubcomp(id));
    world.advance(2000);
    deliver(&mut world, &mut told, 3);
    let last = told.give(200, 20);
    deliver(&mut world, &mut told, 200);
    assert_eq!(world.messages(client).len(), 2);
    world.advance(2000);
    world.restart_at(1, told.cursor.floor());
    let client = world.join_and_keep(&phone(10));
    catch_up(&mut world, &told, 10);
    let messages = world.messages(client).into_iter();
    let payloads: Vec<String> = messages.map(|message| message.payload).collect();
    assert_eq!(payloads, [given[0], last].map(|pos| pos.to_string()));
}

/// While everything comes in the order of positions no partition is ahead, and a session's cursor takes no memory of its own.
#[test]
fn with_one_node_no_partition_is_ahead() {
    let (mut world, mut told) = (world(), Told::default());
    let client = world.join(&phone(3));
    world.subscribe(client, "im/in/#", 1);
    for partition in PARTITIONS.into_iter().cycle().take(20) {
        told.give(partition, 0);
        deliver(&mut world, &mut told, partition);
    }
    for _ in 0..20 {
        for since in catch_up(&mut world, &told, 4) {
            assert_eq!(since, Cursor::at(since.floor()));
        }
        take(&mut world, client);
    }
    world.cut(client);
    world.join(&phone(3));
    let (_, since) = question(&mut world).expect("it asks what it has missed");
    assert_eq!(since, told.cursor);
}

struct Walk {
    phone: Phone,
    told: Told,
}

impl Walk {
    fn deliver(&mut self, partition: u16, settle: bool) {
        if let Some(delivery) = self.told.tell(partition) {
            let input = Input::Deliver(delivery);
            if settle {
                self.phone.world.input(0, input);
            } else {
                self.phone.world.shards[0].handle(input, self.phone.world.now);
            }
        }
    }

    fn step(&mut self, (action, pick): (u8, u8)) {
        let partition = PARTITIONS[usize::from(pick) % PARTITIONS.len()];
        match action {
            0..8 => drop(self.told.give(partition, u64::from(pick / 16))),
            8..16 => self.deliver(partition, pick % 4 > 0),
            16..20 => drop(answer(
                &mut self.phone.world,
                &self.told,
                1 + usize::from(pick) % 5,
            )),
            20..27 => self.phone.reply(),
            27 => self.phone.vanish(),
            28..31 => self.phone.connect(),
            31 => self.phone.world.slow_disk = pick % 2 == 0,
            32 => self.phone.world.commit(),
            33..35 => self.phone.world.advance(u64::from(pick) * 20),
            _ => {
                self.phone.world.restart_at(1, self.told.cursor.floor());
                self.phone.reader.client = None;
            }
        }
    }

    fn finish(&mut self) {
        self.phone.recover();
        for partition in PARTITIONS {
            while self
                .told
                .untold
                .iter()
                .any(|pos| pos.partition() == PartitionId::new(partition))
            {
                self.deliver(partition, true);
            }
        }
        let told = &self.told;
        self.phone.finish(|world| answer(world, told, 5));
    }

    /// Each entry came, those of one partition in order, and exactly once what was wanted so.
    fn check(&self, qos: u8) {
        let mut seen: Vec<Pos> = Vec::new();
        for payload in &self.phone.reader.got {
            let pos: Pos = payload.parse().expect("a position");
            if !seen.contains(&pos) {
                seen.push(pos);
            } else {
                assert_eq!(qos, 1, "{payload} came again: {:?}", self.phone.reader.got);
            }
        }
        for partition in PARTITIONS.map(PartitionId::new) {
            let of = |all: &[Pos]| -> Vec<Pos> {
                let all = all.iter().copied();
                all.filter(|pos| pos.partition() == partition).collect()
            };
            assert_eq!(
                of(&seen),
                of(&self.told.entries),
                "{:?}",
                self.phone.reader.got
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_entry_of_every_partition_arrives(
        window in 1u16..5,
        qos in 1u8..3,
        put_off in any::<bool>(),
        steps in proptest::collection::vec((0u8..36, any::<u8>()), 1..150),
    ) {
        let mut walk = Walk {
            phone: Phone::new(window, qos, put_off),
            told: Told::default(),
        };
        for step in steps {
            walk.step(step);
        }
        walk.finish();
        walk.check(qos);
    }
}
