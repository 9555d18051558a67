//! A world around the messenger: a store that is a map, a clock that is a number, and devices that note what reaches them.
//! It does what a server does with inputs and outputs, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use chat::{
    AccountAnswer, AccountCommand, AccountError, Answer, Audience, Chat, CredentialsChange,
    Delivery, HashedPassword, Input, Output, Owner, Query, Read, Refusal, RequestId, Settings,
    Ticket,
};
use records::{
    AccountId, ConversationId, Cursor, KeyRange, Millis, PartitionId, Pos, Role, Seq, SessionRef,
    Write,
};
use serde_json::Value;

use crate::disk::Disk;

mod devices;

/// Tuesday, 2025-12-16; far enough from a change of weeks.
pub(crate) const START: u64 = 1_765_900_000_000;

/// A connected device.
pub(crate) struct Device {
    pub(crate) session: SessionRef,
    pub(crate) account: AccountId,
    pub(crate) name: Arc<str>,
    filters: Vec<String>,
    up: bool,
    /// Topic, payload and correlation of everything that reached it.
    pub(crate) inbox: Vec<(String, Bytes, Option<Bytes>)>,
    /// The word on its publishes, by the number given.
    pub(crate) acks: BTreeMap<u64, Result<(), Refusal>>,
}

/// A page of what a device missed.
pub(crate) struct CaughtUp {
    pub(crate) packets: Vec<(String, Bytes)>,
    pub(crate) upto: Cursor,
    pub(crate) more: bool,
}

/// See the file's header.
pub(crate) struct World {
    pub(crate) chat: Chat,
    pub(crate) disk: Disk,
    pub(crate) now: Millis,
    pub(crate) settings: Settings,
    pub(crate) devices: Vec<Device>,
    /// Appends are kept back until `commit`.
    pub(crate) holding: bool,
    /// Queries are kept back until `read_all`.
    pub(crate) holding_reads: bool,
    /// Nothing is trimmed: the power fails before it is.
    pub(crate) keeping: bool,
    held_reads: Vec<Query>,
    pub(crate) held: VecDeque<(Owner, Ticket, Vec<Write>)>,
    last_ack: u64,
    last_request: u64,
    pub(crate) answered: BTreeMap<u64, Result<AccountAnswer, AccountError>>,
    pub(crate) credentials: Vec<CredentialsChange>,
    pub(crate) closed: Vec<AccountId>,
    pub(crate) closed_tokens: Vec<[u8; 32]>,
    pub(crate) trims: Vec<KeyRange>,
    pub(crate) caught_up: Vec<CaughtUp>,
    pub(crate) appends: usize,
    /// The entries that were delivered, and the last of them.
    told: (Cursor, Pos),
    /// Packets that reached a device or would have, had it listened.
    pub(crate) delivered: usize,
    /// Every device that received a message with a receipt, as the device's own acknowledgement would name it.
    pub(crate) receivable: Vec<(AccountId, ConversationId, Seq)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let (disk, now) = (Disk::default(), Millis::new(START));
        Self {
            chat: disk.recover(settings.clone(), now),
            disk,
            now,
            settings,
            devices: Vec::new(),
            holding: false,
            holding_reads: false,
            keeping: false,
            held_reads: Vec::new(),
            held: VecDeque::new(),
            last_ack: 0,
            last_request: 0,
            answered: BTreeMap::new(),
            credentials: Vec::new(),
            closed: Vec::new(),
            closed_tokens: Vec::new(),
            trims: Vec::new(),
            caught_up: Vec::new(),
            appends: 0,
            told: (Cursor::default(), Pos::ZERO),
            delivered: 0,
            receivable: Vec::new(),
        }
    }

    /// A world with these accounts, each with a device that listens to everything.
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut world = Self::new();
        for name in names {
            world.add(name);
        }
        for name in names {
            let device = world.connect(name);
            world.subscribe(device, "im/#");
        }
        world.forget_inboxes();
        world
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.disk.now = self.now;
        self.chat.handle(input, &self.disk, self.now);
        self.drain();
    }

    // Time.

    /// Lets time pass, with everything that falls due on the way.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now.saturating_add(millis);
        while let Some(due) = self.chat.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.chat.handle_timeout(&self.disk, self.now);
            self.drain();
        }
        self.now = end;
    }

    // The disk.

    /// The oldest append that waits is on disk.
    pub(crate) fn commit_one(&mut self) -> bool {
        let Some((owner, ticket, writes)) = self.held.pop_front() else {
            return false;
        };
        self.disk.apply(writes);
        self.handle(Input::Appended { owner, ticket });
        true
    }

    /// Everything that waits is on disk, and nothing waits from here on.
    pub(crate) fn commit(&mut self) {
        self.holding = false;
        while self.commit_one() {}
    }

    /// The oldest append of a partition that waits is on disk, whatever others wait for.
    pub(crate) fn commit_of(&mut self, partition: PartitionId) -> bool {
        let wanted = Owner::Partition(partition);
        let found = self.held.iter().position(|(owner, ..)| *owner == wanted);
        let Some((owner, ticket, writes)) = found.and_then(|at| self.held.remove(at)) else {
            return false;
        };
        self.disk.apply(writes);
        self.handle(Input::Appended { owner, ticket });
        true
    }

    /// Somebody else owns a partition: what waits of it will never be on disk.
    pub(crate) fn fence(&mut self, partition: PartitionId) {
        let owner = Owner::Partition(partition);
        let refused = self.held.iter().find(|(of, ..)| *of == owner);
        let Some(ticket) = refused.map(|(_, ticket, _)| *ticket) else {
            return;
        };
        self.held.retain(|(of, ..)| *of != owner);
        self.handle(Input::Fenced { owner, ticket });
    }

    pub(crate) fn waiting(&self) -> usize {
        self.held.len()
    }

    /// The power fails: what was not on disk is gone, and everybody is disconnected.
    pub(crate) fn restart(&mut self) {
        self.held.clear();
        self.held_reads.clear();
        (self.holding, self.holding_reads) = (false, false);
        self.devices.clear();
        self.chat = self.disk.recover(self.settings.clone(), self.now);
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
                } => {
                    assert!(!writes.is_empty(), "an append without writes");
                    self.appends += 1;
                    if self.holding {
                        self.held.push_back((owner, ticket, writes));
                    } else {
                        self.disk.apply(writes);
                        let appended = Input::Appended { owner, ticket };
                        self.chat.handle(appended, &self.disk, self.now);
                    }
                }
                Output::Deliver(delivery) => self.deliver(&delivery),
                Output::Acknowledge {
                    session,
                    ack,
                    outcome,
                } => {
                    let device = self
                        .devices
                        .iter_mut()
                        .find(|known| known.session == session);
                    let before = device.unwrap().acks.insert(ack, outcome);
                    assert!(before.is_none(), "acknowledged twice");
                }
                Output::Read(query) if self.holding_reads => self.held_reads.push(query),
                Output::Read(query) => self.read(query),
                Output::Credentials(change) => self.credentials.push(change),
                Output::CloseAccount { account } => self.closed.push(account),
                Output::CloseToken { sha256, .. } => self.closed_tokens.push(sha256),
                Output::Answered { request, outcome } => {
                    self.answered.insert(request.0, outcome);
                }
                Output::Frame(_) | Output::Missed => panic!("it is alone"),
                Output::Trim(range) => {
                    self.trims.push(range.clone());
                    if self.keeping {
                        continue;
                    }
                    self.disk
                        .keys
                        .retain(|key, _| *key < range.from || *key >= range.to);
                }
            }
        }
    }

    /// The readers come to the one that has waited longest.
    pub(crate) fn read_one(&mut self) {
        self.read_at(0);
    }

    /// The readers come to one of those that wait.
    pub(crate) fn read_at(&mut self, at: usize) {
        let query = self.held_reads.remove(at);
        self.read(query);
    }

    /// The readers come to what was kept back.
    pub(crate) fn read_all(&mut self) {
        self.holding_reads = false;
        for query in std::mem::take(&mut self.held_reads) {
            self.read(query);
        }
    }

    fn read(&mut self, query: Query) {
        let read = query.run(&self.disk);
        self.finish(read);
    }

    fn finish(&mut self, read: Read) {
        self.answer(read.answer);
        self.handle(Input::Found(read.found));
    }

    /// The readers have no room for what was kept back.
    pub(crate) fn refuse_all(&mut self) {
        self.holding_reads = false;
        for query in std::mem::take(&mut self.held_reads) {
            self.finish(query.refuse());
        }
    }

    /// The readers read what was kept back; it has not arrived yet.
    pub(crate) fn run_reads(&mut self) -> Vec<Read> {
        self.holding_reads = false;
        let held = std::mem::take(&mut self.held_reads).into_iter();
        held.map(|query| query.run(&self.disk)).collect()
    }

    /// What was read arrives.
    pub(crate) fn arrive(&mut self, read: Vec<Read>) {
        for read in read {
            self.finish(read);
        }
    }

    /// How many questions the readers have before them.
    pub(crate) fn reads(&self) -> usize {
        self.held_reads.len()
    }

    fn answer(&mut self, answer: Option<Answer>) {
        match answer {
            Some(Answer::Deliver(deliveries)) => {
                for delivery in &deliveries {
                    self.deliver(delivery);
                }
            }
            Some(Answer::CaughtUp {
                entries,
                upto,
                more,
                ..
            }) => {
                let packets = entries
                    .into_iter()
                    .flat_map(|entry| entry.packets)
                    .map(|packet| (packet.topic.to_string(), packet.payload))
                    .collect();
                self.caught_up.push(CaughtUp {
                    packets,
                    upto,
                    more,
                });
            }
            None => {}
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        assert!((1..=4).contains(&delivery.packets.len()));
        if let Some(pos) = delivery.pos {
            let (told, last) = &mut self.told;
            // Whoever has come as far as the deliveries say drops what it has had. One entry is told in the words of each account.
            assert!(*last == pos || !told.covers(pos), "{pos} {told}");
            told.raise(delivery.floor);
            told.advance(pos);
            *last = pos;
        }
        for device in self.devices.iter_mut().filter(|device| device.up) {
            let meant = match &delivery.audience {
                Audience::Accounts(accounts) => accounts.contains(&device.account),
                Audience::Session(session) => *session == device.session,
            };
            if !meant {
                continue;
            }
            self.delivered += delivery.packets.len();
            for packet in &delivery.packets {
                if device
                    .filters
                    .iter()
                    .any(|filter| covers(filter, &packet.topic))
                {
                    let topic = packet.topic.to_string();
                    device
                        .inbox
                        .push((topic, packet.payload.clone(), packet.correlation.clone()));
                }
            }
            if let Some((conversation, seq)) = delivery.receipt {
                self.receivable.push((device.account, conversation, seq));
            }
        }
    }

    // Accounts.

    pub(crate) fn command(
        &mut self,
        command: AccountCommand,
    ) -> Result<AccountAnswer, AccountError> {
        let request = self.request(command);
        self.answered
            .remove(&request)
            .expect("the command was not answered")
    }

    pub(crate) fn request(&mut self, command: AccountCommand) -> u64 {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.handle(Input::Account { request, command });
        request.0
    }

    pub(crate) fn add(&mut self, name: &str) -> AccountId {
        match self.command(new_account(name, Role::Member)) {
            Ok(AccountAnswer::Added { id, .. }) => id,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub(crate) fn id(&self, name: &str) -> AccountId {
        let listed = self.chat.accounts();
        let found = listed.iter().find(|account| account.name.as_str() == name);
        found.unwrap_or_else(|| panic!("no account {name}")).id
    }

    // What has arrived.

    pub(crate) fn forget_inboxes(&mut self) {
        for device in &mut self.devices {
            device.inbox.clear();
        }
    }

    /// Everything the first device of an account got under topics that a filter covers, and forgets it.
    pub(crate) fn take(&mut self, name: &str, filter: &str) -> Vec<(String, Bytes)> {
        let device = self.device(name);
        self.take_from(device, filter)
    }

    pub(crate) fn take_from(&mut self, device: usize, filter: &str) -> Vec<(String, Bytes)> {
        let inbox = std::mem::take(&mut self.devices[device].inbox);
        let (taken, left): (Vec<_>, Vec<_>) = inbox
            .into_iter()
            .partition(|(topic, _, _)| covers(filter, topic));
        self.devices[device].inbox = left;
        taken
            .into_iter()
            .map(|(topic, payload, _)| (topic, payload))
            .collect()
    }

    /// Like `take`, payloads as JSON; an empty one is `null`.
    pub(crate) fn take_json(&mut self, name: &str, filter: &str) -> Vec<(String, Value)> {
        let json = |payload: Bytes| match &payload[..] {
            b"" => Value::Null,
            payload => parse(payload),
        };
        self.take(name, filter)
            .into_iter()
            .map(|(topic, payload)| (topic, json(payload)))
            .collect()
    }

    /// Where a message of a conversation stands, as its first reader is told.
    pub(crate) fn pos_of(&mut self, name: &str, conv: &str, seq: u64) -> String {
        let asked = serde_json::json!({"conv": conv, "around_seq": seq, "limit": 1}).to_string();
        let page = self.ask(name, "history", &asked);
        assert_eq!(page["entries"][0]["seq"], seq, "{page}");
        page["entries"][0]["pos"].as_str().unwrap().to_owned()
    }

    /// The texts of the messages an account got in a conversation.
    pub(crate) fn texts(&mut self, name: &str, conv: &str) -> Vec<String> {
        self.take_json(name, &format!("im/in/{conv}"))
            .into_iter()
            .map(|(_, message)| message["text"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn new_account(name: &str, role: Role) -> AccountCommand {
    AccountCommand::Add {
        name: name.to_owned(),
        display: String::new(),
        role,
        password: Some(HashedPassword {
            argon2: format!("$argon2id${name}"),
            scram: None,
        }),
        first: false,
        similar: false,
    }
}

pub(crate) fn parse(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(payload)))
}

/// Whether a filter covers a topic, as the broker sees it.
pub(crate) fn covers(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    for (at, level) in filter.iter().enumerate() {
        match (*level, topic.get(at)) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(given)) if level == *given => {}
            _ => return false,
        }
    }
    filter.len() == topic.len()
}
