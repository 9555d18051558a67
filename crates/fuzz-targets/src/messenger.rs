//! Target `messenger`: what accounts publish under `im/`, with any topic and any payload. Nothing may panic, every
//! publish is answered once, what goes out is JSON on a topic that exists, and messages are numbered without gaps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chat::{
    AccountCommand, Answer, Chat, Delivery, Input, Output, Publish, Query, RequestId, Settings,
    Source, Ticket, Unreadable,
};
use mqtt_codec::topic;
use records::{
    AccountId, ConversationId, Dedup, Entry, KeyRange, Millis, Pos, Role, Seq, SessionRef, Table,
    Write, key,
};

use crate::feed::Feed;
use crate::naive::SEEDS;

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
    "im/ask/mute/1",
];

/// Steps until the bytes are used up; then everything is stored and looked at.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World::new();
    for _ in 0..STEPS_MAX {
        if feed.is_empty() {
            break;
        }
        step(&mut world, &mut feed);
    }
    world.end();
}

fn step(world: &mut World, feed: &mut Feed<'_>) {
    let device = feed.below(NAMES.len());
    match feed.byte() % 16 {
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
        14 => world.received(device, feed.byte().into()),
        _ => world.refusing = feed.flag(),
    }
}

struct World {
    chat: Chat,
    disk: Disk,
    now: Millis,
    held: VecDeque<(Ticket, Vec<Write>)>,
    holding: bool,
    /// The readers have no room.
    refusing: bool,
    asked: u64,
    answered: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            chat: Chat::new(Settings::default(), SEEDS),
            disk: Disk::default(),
            now: START,
            held: VecDeque::new(),
            holding: false,
            refusing: false,
            asked: 0,
            answered: BTreeSet::new(),
        };
        world.chat.finish_recovery(world.now);
        for (number, name) in NAMES.iter().enumerate() {
            world.handle(Input::Account {
                request: RequestId(number as u64),
                command: AccountCommand::Add {
                    name: (*name).to_owned(),
                    display: String::new(),
                    role: Role::Member,
                    password: None,
                    first: false,
                },
            });
        }
        for device in 0..NAMES.len() {
            let (session, account) = (world.session(device), world.account(device));
            world.handle(Input::SessionUp {
                session,
                account,
                device: "phone".into(),
            });
            world.subscribe(device, "im/#", 0);
        }
        world
    }

    fn session(&self, device: usize) -> SessionRef {
        SessionRef {
            shard: 0,
            slot: device as u32,
            generation: 1,
        }
    }

    fn account(&self, device: usize) -> AccountId {
        let accounts = self.chat.accounts();
        let found = accounts
            .iter()
            .find(|one| one.name.as_str() == NAMES[device]);
        found.expect("it was added").id
    }

    fn publish(&mut self, device: usize, topic: &str, payload: &[u8], shape: u8) {
        // The codec and the broker let nothing else through.
        if !topic::is_name(topic) {
            return;
        }
        let ack = (shape & 1 == 0).then(|| {
            self.asked += 1;
            self.asked
        });
        let publish = Publish {
            session: self.session(device),
            account: self.account(device),
            device: "phone".into(),
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            ack,
            response_topic: (shape & 2 != 0).then(|| "im/answer/9".into()),
            correlation: (shape & 4 != 0).then(|| Bytes::from_static(b"\0\xFF")),
            attach: Vec::new(),
        };
        self.handle(Input::Publish(Box::new(publish)));
    }

    fn subscribe(&mut self, device: usize, filter: &str, shape: u8) {
        if !topic::is_filter(filter) {
            return;
        }
        self.handle(Input::Subscribed {
            session: self.session(device),
            account: self.account(device),
            filter: filter.into(),
            existed: shape & 1 != 0,
            retain_handling: (shape >> 1) % 3,
            resumed: shape & 0x80 != 0,
        });
    }

    fn catch_up(&mut self, device: usize, since: u64) {
        self.handle(Input::CatchUp {
            session: self.session(device),
            account: self.account(device),
            since: Pos::new(since),
        });
    }

    fn received(&mut self, device: usize, seq: u64) {
        self.handle(Input::Received {
            account: self.account(device),
            conversation: ConversationId::new(1 + seq % 3),
            seq: Seq::new(seq),
        });
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now.saturating_add(millis);
        while let Some(due) = self.chat.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.chat.handle_timeout(&self.disk, self.now);
            self.drain();
        }
        self.now = end;
    }

    fn commit_one(&mut self) {
        if let Some((ticket, writes)) = self.held.pop_front() {
            self.disk.apply(writes);
            self.handle(Input::Appended(ticket));
        }
    }

    fn handle(&mut self, input: Input) {
        self.chat.handle(input, &self.disk, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.chat.poll_output() {
            match output {
                Output::Append { ticket, writes } if self.holding || !self.held.is_empty() => {
                    self.held.push_back((ticket, writes));
                }
                Output::Append { ticket, writes } => {
                    self.disk.apply(writes);
                    let input = Input::Appended(ticket);
                    self.chat.handle(input, &self.disk, self.now);
                }
                Output::Deliver(delivery) => check(&delivery),
                Output::Acknowledge { ack, .. } => {
                    assert!(self.answered.insert(ack), "{ack} is answered twice");
                    assert!(ack <= self.asked);
                }
                Output::Read(query) => self.read(query),
                Output::Trim(range) => self.disk.trim(&range),
                _ => {}
            }
        }
    }

    fn read(&mut self, query: Query) {
        let completion = query.completion();
        let answer = if self.refusing {
            query.refuse()
        } else {
            query.run(&self.disk)
        };
        match answer {
            Some(Answer::Deliver(delivery)) => check(&delivery),
            Some(Answer::CaughtUp { entries, .. }) => entries.iter().for_each(check),
            None => {}
        }
        if let Some(done) = completion {
            self.chat.handle(done, &self.disk, self.now);
        }
    }

    fn end(mut self) {
        self.holding = false;
        while !self.held.is_empty() {
            self.commit_one();
        }
        self.pass(10_000);
        assert_eq!(
            self.answered.len() as u64,
            self.asked,
            "every publish is answered"
        );
        let mut last: BTreeMap<ConversationId, u64> = BTreeMap::new();
        for (at, _) in self.disk.range(&Table::Seq.range()) {
            let (conversation, seq) = key::parse_seq(at).expect("a key of its table");
            let expected = last.entry(conversation).or_default();
            *expected += 1;
            assert_eq!(seq.value(), *expected, "a gap in {conversation:?}");
        }
    }
}

/// What reaches devices: topics of the contract, and JSON on all of them but the terminal's.
fn check(delivery: &Delivery) {
    assert!((1..=PACKETS_MAX).contains(&delivery.packets.len()));
    for packet in &delivery.packets {
        let name = &packet.topic;
        assert!(name.starts_with("im/") && topic::is_name(name), "{name}");
        if name.starts_with("im/text/") {
            assert!(std::str::from_utf8(&packet.payload).is_ok(), "{name}");
        } else if !packet.payload.is_empty() {
            let sound = serde_json::from_slice::<serde_json::Value>(&packet.payload);
            assert!(
                sound.is_ok_and(|value| value.is_object()),
                "{name} {:?}",
                packet.payload
            );
        }
    }
}

/// A store that is a map.
#[derive(Default)]
struct Disk {
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Disk {
    fn apply(&mut self, writes: Vec<Write>) {
        assert!(!writes.is_empty(), "an append without writes");
        for write in writes {
            match write {
                Write::Put { key, value } => self.keys.insert(key, value),
                Write::Delete { key } => self.keys.remove(&key),
            };
        }
    }

    fn trim(&mut self, range: &KeyRange) {
        self.keys
            .retain(|key, _| *key < range.from || *key >= range.to);
    }

    fn range(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = (&[u8], Bytes)> {
        let found =
            (range.from < range.to).then(|| self.keys.range(range.from.clone()..range.to.clone()));
        found
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_slice(), Bytes::copy_from_slice(value)))
    }
}

impl Source for Disk {
    fn entries(
        &self,
        conversation: ConversationId,
        from: Pos,
        to: Pos,
        reverse: bool,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Unreadable> {
        let range = KeyRange {
            from: key::entry(conversation, from),
            to: key::entry(conversation, to),
        };
        let mut values: Vec<Bytes> = self.range(&range).map(|(_, value)| value).collect();
        if reverse {
            values.reverse();
        }
        let mut bytes = 0;
        let mut entries = Vec::new();
        for value in values.into_iter().take(limit) {
            bytes += value.len();
            entries.push(Entry::decode(&value).expect("a stored entry"));
            if bytes > bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    fn positions(
        &self,
        conversation: ConversationId,
        from: Pos,
        to: Pos,
        limit: usize,
    ) -> Result<Vec<Pos>, Unreadable> {
        let range = KeyRange {
            from: key::entry(conversation, from),
            to: key::entry(conversation, to),
        };
        let found = self.range(&range).take(limit);
        Ok(found
            .map(|(at, _)| key::parse_entry(at).expect("a key of its table").1)
            .collect())
    }

    fn pos_of(&self, conversation: ConversationId, seq: Seq) -> Result<Option<Pos>, Unreadable> {
        let value = self.keys.get(&key::seq(conversation, seq));
        Ok(value.map(|value| key::decode_pos(value).expect("a stored position")))
    }

    fn mid(&self, week: u32, account: AccountId, mid: &str) -> Result<Option<Dedup>, Unreadable> {
        let value = self.keys.get(&key::dedup(week, account, mid));
        Ok(value.map(|value| Dedup::decode(value).expect("a stored mid")))
    }
}
