//! Devices, a store, a clock and readers around the messenger, which do what the input's steps say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chat::{
    AccountCommand, Answer, Chat, Delivery, Input, Output, Owner, Publish, Query, Read,
    RecoveryError, RequestId, Settings, Ticket,
};
use mqtt_codec::topic;
use records::{
    AccountId, ConversationId, Cursor, Entry, Millis, PartitionId, Pos, Role, Seq, SessionMid,
    SessionNumber, SessionRef, Table, Write, key,
};

use super::disk::Disk;
use super::{NAMES, PACKETS_MAX, START};
use crate::naive::SEEDS;

pub(super) struct World {
    pub(super) chat: Chat,
    pub(super) disk: Disk,
    now: Millis,
    held: VecDeque<(Owner, Ticket, Vec<Write>)>,
    pub(super) holding: bool,
    held_reads: VecDeque<Query>,
    /// The readers are late.
    pub(super) holding_reads: bool,
    /// The readers have no room.
    pub(super) refusing: bool,
    asked: u64,
    answered: BTreeSet<u64>,
    generation: u32,
    /// What has gone out, if anybody wants to know.
    pub(super) heard: Option<Vec<Delivery>>,
}

impl World {
    /// Three accounts, each with a device that listens to everything.
    pub(super) fn new() -> Self {
        let (disk, now) = (Disk::default(), START);
        let mut world = Self {
            chat: begin(&disk, now).expect("there is no row that could be damaged"),
            disk,
            now,
            held: VecDeque::new(),
            holding: false,
            held_reads: VecDeque::new(),
            holding_reads: false,
            refusing: false,
            asked: 0,
            answered: BTreeSet::new(),
            generation: 1,
            heard: None,
        };
        for name in NAMES {
            world.add(name);
        }
        world.connect_all();
        world
    }

    pub(super) fn add(&mut self, name: &str) {
        self.handle(Input::Account {
            request: RequestId(0),
            command: AccountCommand::Add {
                name: name.to_owned(),
                display: String::new(),
                role: Role::Member,
                password: None,
                first: false,
                similar: false,
            },
        });
    }

    /// The server dies and begins again with what is on disk.
    pub(super) fn restart(&mut self) -> Result<(), RecoveryError> {
        self.held.clear();
        self.holding = false;
        self.held_reads.clear();
        self.holding_reads = false;
        self.refusing = false;
        self.answered.clear();
        self.asked = 0;
        self.chat = begin(&self.disk, self.now)?;
        self.generation += 1;
        self.drain();
        self.connect_all();
        Ok(())
    }

    fn connect_all(&mut self) {
        for device in 0..NAMES.len() {
            if let Some(account) = self.account(device) {
                let session = self.session(device);
                self.handle(Input::SessionUp {
                    session,
                    account,
                    device: "phone".into(),
                    since: None,
                });
                self.subscribe(device, "im/#", 0);
            }
        }
    }

    pub(super) fn session(&self, device: usize) -> SessionRef {
        SessionRef {
            shard: 0,
            slot: device as u32,
            generation: self.generation,
        }
    }

    /// Whose device it is; after damage perhaps nobody's.
    pub(super) fn account(&self, device: usize) -> Option<AccountId> {
        self.id(NAMES[device])
    }

    pub(super) fn id(&self, name: &str) -> Option<AccountId> {
        let accounts = self.chat.accounts();
        let found = accounts.iter().find(|one| one.name.as_str() == name);
        found.map(|one| one.id)
    }

    pub(super) fn publish(&mut self, device: usize, topic: &str, payload: &[u8], shape: u8) {
        // The codec and the broker let nothing else through.
        let Some(account) = self.account(device).filter(|_| topic::is_name(topic)) else {
            return;
        };
        let ack = (shape & 1 == 0).then(|| {
            self.asked += 1;
            self.asked
        });
        let publish = Publish {
            session: self.session(device),
            account,
            device: "phone".into(),
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            ack,
            response_topic: (shape & 2 != 0).then(|| "im/answer/9".into()),
            correlation: (shape & 4 != 0).then(|| Bytes::from_static(b"\0\xFF")),
            properties: None,
            session_mid: (shape & 8 != 0).then(|| SessionMid::Packet {
                session: SessionNumber::new(7),
                packet_id: u16::from(shape >> 4),
            }),
            read_at: records::Moment::UNKNOWN,
        };
        self.handle(Input::Publish(Box::new(publish)));
    }

    pub(super) fn subscribe(&mut self, device: usize, filter: &str, shape: u8) {
        let Some(account) = self.account(device).filter(|_| topic::is_filter(filter)) else {
            return;
        };
        self.handle(Input::Subscribed {
            session: self.session(device),
            account,
            filter: filter.into(),
            existed: shape & 1 != 0,
            retain_handling: (shape >> 1) % 3,
            resumed: shape & 0x80 != 0,
        });
    }

    pub(super) fn catch_up(&mut self, device: usize, since: u64) {
        let Some(account) = self.account(device) else {
            return;
        };
        self.handle(Input::CatchUp {
            session: self.session(device),
            account,
            since: Cursor::at(Pos::new(since)),
        });
    }

    pub(super) fn received(&mut self, device: usize, number: usize, seq: u64) {
        let range = Table::Conversation.range();
        let conversations = self.disk.range(&range);
        let ids: Vec<ConversationId> = conversations
            .filter_map(|(at, _)| key::parse_conversation(at).ok())
            .collect();
        let Some(account) = self.account(device).filter(|_| !ids.is_empty()) else {
            return;
        };
        self.handle(Input::Received {
            account,
            conversation: ids[number % ids.len()],
            seq: Seq::new(seq),
        });
    }

    /// Somebody else owns the partition of the oldest append that waits, or some partition.
    pub(super) fn fence(&mut self, number: u8) {
        let waiting = self.held.iter().find_map(|(owner, ..)| match owner {
            Owner::Partition(_) => Some(*owner),
            Owner::Accounts | Owner::Sessions | Owner::Node => None,
        });
        let owner = waiting.unwrap_or(Owner::Partition(PartitionId::new(number.into())));
        let refused = self.held.iter().find(|(of, ..)| *of == owner);
        let ticket = refused.map_or(Ticket(0), |(_, ticket, _)| *ticket);
        self.held.retain(|(of, ..)| *of != owner);
        self.handle(Input::Fenced { owner, ticket });
    }

    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now.saturating_add(millis);
        while let Some(due) = self.chat.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.chat.handle_timeout(&self.disk, self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn commit_one(&mut self) {
        if let Some((owner, ticket, writes)) = self.held.pop_front() {
            self.disk.apply(writes);
            self.handle(Input::Appended { owner, ticket });
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.chat.handle(input, &self.disk, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.chat.poll_output() {
            match output {
                Output::Append {
                    owner,
                    ticket,
                    writes,
                    ..
                } if self.holding || !self.held.is_empty() => {
                    self.held.push_back((owner, ticket, writes));
                }
                Output::Append {
                    owner,
                    ticket,
                    writes,
                    ..
                } => {
                    self.disk.apply(writes);
                    let input = Input::Appended { owner, ticket };
                    self.chat.handle(input, &self.disk, self.now);
                }
                Output::Deliver(delivery) => self.hear(delivery),
                Output::Acknowledge { ack, .. } => {
                    assert!(self.answered.insert(ack), "{ack} is answered twice");
                    assert!(ack <= self.asked);
                }
                Output::Read(query) if self.holding_reads => self.held_reads.push_back(query),
                Output::Read(query) => self.read(query),
                Output::Trim(range) => self.disk.trim(&range),
                _ => {}
            }
        }
    }

    fn hear(&mut self, delivery: Delivery) {
        check(&delivery);
        if let Some(heard) = &mut self.heard {
            heard.push(delivery);
        }
    }

    /// The readers come to one that waits.
    pub(super) fn read_one(&mut self, number: usize) {
        let place = number % self.held_reads.len().max(1);
        if let Some(query) = self.held_reads.remove(place) {
            self.read(query);
            self.drain();
        }
    }

    fn read(&mut self, query: Query) {
        let Read { answer, found } = if self.refusing {
            query.refuse()
        } else {
            query.run(&self.disk)
        };
        match answer {
            Some(Answer::Deliver(deliveries)) => {
                for delivery in deliveries {
                    self.hear(delivery);
                }
            }
            Some(Answer::CaughtUp { entries, .. }) => {
                for entry in entries {
                    self.hear(entry);
                }
            }
            None => {}
        }
        let found = Input::Found(found);
        self.chat.handle(found, &self.disk, self.now);
    }

    /// Everything is stored and answered.
    pub(super) fn end(&mut self) {
        self.holding = false;
        self.holding_reads = false;
        while !(self.held.is_empty() && self.held_reads.is_empty()) {
            self.commit_one();
            self.read_one(0);
        }
        self.pass(10_000);
        assert_eq!(
            self.answered.len() as u64,
            self.asked,
            "every publish is answered"
        );
    }

    /// The numbers of messages have no gaps.
    pub(super) fn check_numbers(&self) {
        let mut last: BTreeMap<ConversationId, u64> = BTreeMap::new();
        for (at, value) in self.disk.range(&Table::Entry.range()) {
            let (conversation, seq, _) = key::parse_entry(at).expect("a key of its table");
            let entry = Entry::decode(&value).expect("an entry of the messenger's");
            if entry.seq.is_none() {
                continue;
            }
            let expected = last.entry(conversation).or_default();
            *expected += 1;
            assert_eq!(seq.value(), *expected, "a gap in {conversation:?}");
        }
    }
}

fn begin(disk: &Disk, now: Millis) -> Result<Chat, RecoveryError> {
    let mut chat = Chat::new(Settings::default(), SEEDS);
    chat::recover(disk, &mut chat, |_| {}, now)?;
    Ok(chat)
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
