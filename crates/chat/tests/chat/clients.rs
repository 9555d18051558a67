//! Clients that do what the documentation tells them to, through whatever happens to the server: appends and readings that come in
//! any order or not at all, conversations that are forgotten, partitions that are dropped, clocks that go back, crashes.
//! In the end each has exactly what it may read, and everything that was acknowledged is there once.

use std::collections::{BTreeMap, BTreeSet};

use chat::Settings;
use proptest::prelude::*;
use records::{AccountId, Cursor, Joined, Member, Millis, PartitionId, Pos, Table, key};
use serde_json::{Value, json};

use crate::journal::{Place, Story};
use crate::world::{World, parse};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
/// Whoever joins the second reads only what is said from then on.
const GROUPS: [&str; 2] = ["all", "joined"];

#[derive(Debug, Clone)]
enum Step {
    /// To one of three accounts or of two groups.
    Send {
        from: usize,
        to: usize,
    },
    /// A message that was sent before, as it was.
    Resend {
        which: usize,
    },
    Create {
        who: usize,
        group: usize,
    },
    Invite {
        who: usize,
        whom: usize,
        group: usize,
    },
    Join {
        who: usize,
        group: usize,
    },
    Leave {
        who: usize,
        group: usize,
    },
    Delete {
        who: usize,
        group: usize,
    },
    Read {
        who: usize,
        to: usize,
        seq: u64,
    },
    Acknowledge {
        who: usize,
    },
    Sync {
        who: usize,
    },
    Away {
        who: usize,
    },
    Back {
        who: usize,
    },
    /// Of one of the partitions that wait.
    Commit {
        which: usize,
    },
    CommitAll,
    Fence {
        which: usize,
    },
    ReadOne {
        which: usize,
    },
    RefuseOne {
        which: usize,
    },
    ReadAll,
    Pass {
        millis: u64,
    },
    /// The server's clock never goes back while it runs, but it may begin with an earlier time.
    Crash {
        earlier_millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..NAMES.len();
    let group = || 0..GROUPS.len();
    let to = || 0..NAMES.len() + GROUPS.len();
    let which = || 0..16_usize;
    prop_oneof![
        14 => (who(), to()).prop_map(|(from, to)| Step::Send { from, to }),
        2 => which().prop_map(|which| Step::Resend { which }),
        3 => (who(), group()).prop_map(|(who, group)| Step::Create { who, group }),
        2 => (who(), who(), group()).prop_map(|(who, whom, group)| Step::Invite { who, whom, group }),
        3 => (who(), group()).prop_map(|(who, group)| Step::Join { who, group }),
        2 => (who(), group()).prop_map(|(who, group)| Step::Leave { who, group }),
        1 => (who(), group()).prop_map(|(who, group)| Step::Delete { who, group }),
        3 => (who(), to(), 1..5_u64).prop_map(|(who, to, seq)| Step::Read { who, to, seq }),
        2 => who().prop_map(|who| Step::Acknowledge { who }),
        4 => who().prop_map(|who| Step::Sync { who }),
        1 => who().prop_map(|who| Step::Away { who }),
        2 => who().prop_map(|who| Step::Back { who }),
        10 => which().prop_map(|which| Step::Commit { which }),
        2 => Just(Step::CommitAll),
        1 => which().prop_map(|which| Step::Fence { which }),
        10 => which().prop_map(|which| Step::ReadOne { which }),
        1 => which().prop_map(|which| Step::RefuseOne { which }),
        6 => Just(Step::ReadAll),
        3 => (0..3_000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..3_600_000_u64).prop_map(|earlier_millis| Step::Crash { earlier_millis }),
    ]
}

/// A device that keeps a cache and asks `sync`, connected all the time. It writes down what comes with a cursor, and only that.
struct Client {
    device: usize,
    cursor: String,
    asked: bool,
    /// By what it calls the conversation, and by position.
    entries: BTreeMap<(String, Pos), Value>,
    left: BTreeSet<(String, Pos)>,
    gaps: Vec<(String, u64, u64)>,
    /// Since it has connected: what came live, and how much had come to the disk before.
    live: Vec<(String, Pos)>,
    numbers: BTreeMap<String, u64>,
    connected: usize,
}

/// A persistent session, which comes and goes.
struct Session {
    device: usize,
    away: bool,
    cursor: Cursor,
    /// What has come live while it catches up.
    catching_up: Option<Vec<(String, Value)>>,
    got: Vec<(String, Pos, Option<u64>)>,
}

struct Sent {
    who: usize,
    to: String,
    text: String,
    payload: String,
    /// Words on it; the last may be open for good.
    taken: bool,
    refused: bool,
    open: Vec<(usize, u64)>,
    /// Whether one of its words was lost in a crash.
    lost: bool,
}

struct Run {
    world: World,
    clients: Vec<Client>,
    sessions: Vec<Session>,
    sent: Vec<Sent>,
    markers: BTreeMap<Vec<u8>, Member>,
}

fn pos_of(json: &Value) -> Option<Pos> {
    json["pos"].as_str().map(|pos| pos.parse().unwrap())
}

/// What an entry's topic says of its conversation.
fn conv_of(topic: &str) -> Option<&str> {
    let rest = topic.strip_prefix("im/in/")?;
    let conv = rest.strip_suffix("/event").unwrap_or(rest);
    (!conv.contains('/')).then_some(conv)
}

impl Run {
    fn new() -> Self {
        let mut world = World::with(Settings {
            loaded_bytes_max: 0,
            messages_burst_max: 1_000_000,
            groups_per_minute_max: 1_000_000,
            page_entries_max: 5,
            ..Settings::default()
        });
        let client = |_| Client {
            device: 0,
            cursor: "0-".to_owned(),
            asked: false,
            entries: BTreeMap::new(),
            left: BTreeSet::new(),
            gaps: Vec::new(),
            live: Vec::new(),
            numbers: BTreeMap::new(),
            connected: 0,
        };
        let session = |_| Session {
            device: 0,
            away: false,
            cursor: Cursor::default(),
            catching_up: None,
            got: Vec::new(),
        };
        for name in NAMES {
            world.add(name);
        }
        let mut run = Self {
            world,
            clients: NAMES.map(client).into(),
            sessions: NAMES.map(session).into(),
            sent: Vec::new(),
            markers: BTreeMap::new(),
        };
        run.connect();
        run
    }

    /// Everybody's devices, when the server begins.
    fn connect(&mut self) {
        let stored = self.world.disk.journal.entries.len();
        (self.world.holding, self.world.holding_reads) = (true, true);
        for (who, name) in NAMES.into_iter().enumerate() {
            let client = &mut self.clients[who];
            client.device = self.world.connect(name);
            for filter in ["im/in/#", "im/answer/#", "im/me/event"] {
                self.world.subscribe(client.device, filter);
            }
            client.asked = false;
            client.live.clear();
            client.numbers.clear();
            client.connected = stored;
        }
        for (who, name) in NAMES.into_iter().enumerate() {
            self.sessions[who].device = self.world.connect(name);
            let device = self.sessions[who].device;
            self.world.subscribe(device, "im/in/#");
            if self.sessions[who].away {
                self.world.disconnect(device);
            } else {
                self.catch_up(who);
            }
        }
    }

    fn catch_up(&mut self, who: usize) {
        let session = &mut self.sessions[who];
        session.catching_up.get_or_insert_default();
        let (device, since) = (session.device, session.cursor.floor());
        self.world.want_catch_up(device, since);
    }

    fn take(&mut self, step: &Step) {
        let conv = |to: usize| match NAMES.get(to) {
            Some(name) => format!("@{name}"),
            None => GROUPS[to - NAMES.len()].to_owned(),
        };
        match *step {
            Step::Send { from, to } => {
                let number = self.sent.len();
                let text = format!("t{number}");
                let payload = json!({"mid": format!("m{number}"), "text": text}).to_string();
                self.sent.push(Sent {
                    who: from,
                    to: format!("im/to/{}", conv(to)),
                    text,
                    payload,
                    taken: false,
                    refused: false,
                    open: Vec::new(),
                    lost: false,
                });
                self.send(number);
            }
            Step::Resend { which } if which < self.sent.len() => {
                self.send(self.sent.len() - 1 - which);
            }
            Step::Resend { .. } => {}
            Step::Create { who, group } => {
                let slug = GROUPS[group];
                let asked = json!({"slug": slug, "open": true, "history": slug});
                self.ask(who, "group.create", &asked);
            }
            Step::Invite { who, whom, group } => {
                let asked = json!({"conv": GROUPS[group], "accounts": [NAMES[whom]]});
                self.ask(who, "group.invite", &asked);
            }
            Step::Join { who, group } => {
                self.ask(who, "group.join", &json!({"conv": GROUPS[group]}));
            }
            Step::Leave { who, group } => {
                self.ask(who, "group.leave", &json!({"conv": GROUPS[group]}));
            }
            Step::Delete { who, group } => {
                let slug = GROUPS[group];
                let asked = json!({"conv": slug, "slug": slug});
                self.ask(who, "group.delete", &asked);
            }
            Step::Read { who, to, seq } => {
                let topic = format!("im/to/{}/read", conv(to));
                let payload = json!({"seq": seq}).to_string();
                self.world
                    .publish(self.clients[who].device, &topic, payload);
            }
            Step::Acknowledge { who } => self.world.acknowledge(NAMES[who]),
            Step::Sync { who } => self.sync(who),
            Step::Away { who } if !self.sessions[who].away => {
                self.sessions[who].away = true;
                self.sessions[who].catching_up = None;
                self.world.disconnect(self.sessions[who].device);
            }
            Step::Back { who } if self.sessions[who].away => {
                self.sessions[who].away = false;
                let (device, since) = (self.sessions[who].device, &self.sessions[who].cursor);
                self.world.resume(device, Some(since.floor()));
                self.catch_up(who);
            }
            Step::Away { .. } | Step::Back { .. } => {}
            Step::Commit { which } => {
                let owners: Vec<_> = self.world.held.iter().map(|(owner, ..)| *owner).collect();
                match owners.get(which % owners.len().max(1)) {
                    Some(chat::Owner::Partition(partition)) => {
                        self.world.commit_of(*partition);
                    }
                    Some(_) => drop(self.world.commit_one()),
                    None => {}
                }
            }
            Step::CommitAll => while self.world.commit_one() {},
            Step::Fence { which } => {
                let waiting = self.world.held.iter().find_map(|(owner, ..)| match owner {
                    chat::Owner::Partition(partition) => Some(*partition),
                    chat::Owner::Accounts | chat::Owner::Sessions => None,
                });
                let group = PartitionId::of_group(GROUPS[which % GROUPS.len()]);
                self.world.fence(waiting.unwrap_or(group));
            }
            Step::ReadOne { which } if self.world.reads() > 0 => {
                self.world.read_at(which % self.world.reads());
            }
            Step::RefuseOne { which } if self.world.reads() > 0 => {
                self.world.refuse_at(which % self.world.reads());
            }
            Step::ReadOne { .. } | Step::RefuseOne { .. } => {}
            Step::ReadAll => {
                self.world.read_all();
                self.world.holding_reads = true;
            }
            Step::Pass { millis } => self.world.pass(millis),
            Step::Crash { earlier_millis } => {
                self.world.now = Millis::new(self.world.now.value() - earlier_millis);
                self.words();
                for sent in &mut self.sent {
                    sent.lost |= !sent.open.is_empty();
                    sent.open.clear();
                }
                for session in &mut self.sessions {
                    session.catching_up = None;
                }
                self.world.restart();
                self.world.caught_up.clear();
                self.connect();
            }
        }
        self.arrived();
    }

    fn send(&mut self, number: usize) {
        let sent = &mut self.sent[number];
        let device = self.clients[sent.who].device;
        let (topic, payload) = (sent.to.clone(), sent.payload.clone());
        let ack = self.world.publish_raw(device, |publish| {
            publish.topic = topic.into();
            publish.payload = payload.into();
        });
        sent.open.push((device, ack));
    }

    fn ask(&mut self, who: usize, method: &str, asked: &Value) {
        let topic = format!("im/ask/{method}/other");
        let device = self.clients[who].device;
        self.world.publish(device, &topic, asked.to_string());
    }

    fn sync(&mut self, who: usize) {
        if !std::mem::replace(&mut self.clients[who].asked, true) {
            let asked = json!({"since": self.clients[who].cursor}).to_string();
            let device = self.clients[who].device;
            self.world.publish(device, "im/ask/sync/s", asked);
        }
    }

    /// What became of what was sent.
    fn words(&mut self) {
        for sent in &mut self.sent {
            sent.open.retain(|(device, ack)| {
                let word = self.world.devices[*device].acks.get(ack);
                match word {
                    Some(Ok(())) => sent.taken = true,
                    Some(Err(_)) => sent.refused = true,
                    None => {}
                }
                word.is_none()
            });
        }
    }

    /// Devices see to what has reached them.
    fn arrived(&mut self) {
        for who in 0..NAMES.len() {
            loop {
                let arrived = self.world.take_from(self.clients[who].device, "#");
                if arrived.is_empty() {
                    break;
                }
                for (topic, payload) in arrived {
                    self.reached_client(who, &topic, &payload);
                }
            }
            let arrived = self.world.take_from(self.sessions[who].device, "#");
            for (topic, payload) in arrived {
                let Some(conv) = conv_of(&topic) else {
                    continue;
                };
                let json = parse(&payload);
                if pos_of(&json).is_none() {
                    continue;
                }
                let session = &mut self.sessions[who];
                match &mut session.catching_up {
                    Some(live) => live.push((conv.to_owned(), json)),
                    None => session.accept(conv, &json),
                }
            }
        }
        for page in std::mem::take(&mut self.world.caught_up) {
            let of = |session: &Session| self.world.devices[session.device].session == page.session;
            let Some(who) = self.sessions.iter().position(of) else {
                continue;
            };
            let session = &mut self.sessions[who];
            // It has gone meanwhile, or asked twice.
            if session.away || session.catching_up.is_none() {
                continue;
            }
            for (topic, payload) in &page.packets {
                if let Some(conv) = conv_of(topic) {
                    session.accept(conv, &parse(payload));
                }
            }
            session.cursor.raise(page.upto);
            if page.more {
                self.catch_up(who);
                continue;
            }
            for (conv, json) in session.catching_up.take().unwrap_or_default() {
                session.accept(&conv, &json);
            }
        }
    }

    fn reached_client(&mut self, who: usize, topic: &str, payload: &[u8]) {
        let json = parse(payload);
        let client = &mut self.clients[who];
        if topic == "im/answer/s" {
            client.asked = false;
            client.written(&json);
            if json["more"] == true {
                self.sync(who);
            }
            return;
        }
        // There may be another group of that name later.
        if topic == "im/me/event" && json["kind"] == "left" {
            client.numbers.remove(json["conv"].as_str().unwrap());
        }
        let (Some(conv), Some(pos)) = (conv_of(topic), pos_of(&json)) else {
            return;
        };
        assert!(self.world.disk.ever.contains(&pos), "{json} was told early");
        client.live.push((conv.to_owned(), pos));
        if let Some(seq) = json["seq"].as_u64() {
            let last = client.numbers.insert(conv.to_owned(), seq);
            assert!(last < Some(seq), "{conv} {seq} after {last:?}");
        }
    }

    /// Markers of one time as a member never fall.
    fn check_markers(&mut self) {
        let rows = self.world.disk.in_range(Table::Member.range());
        let members: BTreeMap<Vec<u8>, Member> = rows
            .map(|(at, value)| (at.to_vec(), Member::decode(&value).unwrap()))
            .collect();
        for (at, member) in &members {
            if let Some(before) = self
                .markers
                .get(at)
                .filter(|known| known.joined == member.joined)
            {
                assert!(before.read <= member.read && before.received <= member.received);
            }
        }
        self.markers = members;
    }

    /// Everything comes to an end, and everybody catches up.
    fn finish(&mut self) {
        for who in 0..NAMES.len() {
            self.take(&Step::Back { who });
        }
        for _ in 0..200 {
            for step in [Step::CommitAll, Step::ReadAll] {
                self.take(&step);
            }
            let waits = self.world.waiting() + self.world.reads();
            let busy = |session: &Session| session.catching_up.is_some();
            if waits == 0 && !self.sessions.iter().any(busy) {
                break;
            }
            self.take(&Step::Pass { millis: 3_000 });
        }
        for who in 0..NAMES.len() {
            self.take(&Step::Sync { who });
        }
        while self.world.reads() + self.world.waiting() > 0 {
            self.take(&Step::ReadAll);
            self.take(&Step::CommitAll);
        }
        assert!(self.clients.iter().all(|client| !client.asked));
        assert!(
            self.sessions
                .iter()
                .all(|session| session.catching_up.is_none())
        );
        self.words();
        (self.world.holding, self.world.holding_reads) = (false, false);
    }

    // What must be so in the end.

    fn check(&mut self) {
        let names: BTreeMap<AccountId, String> = NAMES
            .map(|name| (self.world.id(name), name.to_owned()))
            .into();
        let name_of = |id: AccountId| names[&id].clone();
        let stories = self.world.disk.journal.stories(name_of);
        self.check_sent(&stories);
        for story in &stories {
            let numbers: Vec<u64> = story.entries.iter().filter_map(|told| told.seq).collect();
            let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, expected, "numbers have a gap");
            let positions = story.entries.iter().map(|told| told.pos);
            assert!(positions.is_sorted_by(|one, other| one < other));
        }
        for (who, name) in NAMES.into_iter().enumerate() {
            let account = self.world.id(name);
            for story in &stories {
                let conv = story.called(account, name_of);
                self.check_client(who, name, &conv, story);
                self.check_session(who, name, &conv, story);
                self.check_history(who, name, &conv, story);
            }
            self.check_list(name, &stories);
        }
        assert_eq!(self.world.disk.damaged.take(), [""; 0]);
    }

    fn check_sent(&self, stories: &[Story]) {
        for sent in &self.sent {
            assert!(sent.open.is_empty(), "{} is not answered", sent.text);
            let said = |story: &&Story| {
                let same = story
                    .entries
                    .iter()
                    .filter(|told| told.json["text"] == sent.text.as_str());
                let count = same.count();
                assert!(count <= 1, "{} is there {count} times", sent.text);
                count == 1
            };
            let count = stories.iter().filter(said).count();
            assert!(count > 0 || !sent.taken, "{} is lost", sent.text);
            if sent.refused && !sent.taken && !sent.lost {
                assert_eq!(count, 0, "{} was refused", sent.text);
            }
        }
    }

    fn check_client(&self, who: usize, name: &str, conv: &str, story: &Story) {
        let client = &self.clients[who];
        let is_kept = story.ended.is_none() && story.stays(name) <= Joined::STAYS_MAX;
        for told in &story.entries {
            let gets = story.gets(name, told.pos);
            let has = client.entries.get(&(conv.to_owned(), told.pos));
            assert!(has.is_none() || gets, "{name} has {} of others", told.json);
            assert!(
                has.is_some() || !gets || !is_kept,
                "{name} lacks {}",
                told.json
            );
            let live = client
                .live
                .iter()
                .filter(|(of, pos)| of == conv && *pos == told.pos);
            let expected = usize::from(gets && told.number >= client.connected);
            assert_eq!(live.count(), expected, "{name} live {}", told.json);
        }
        if let (Some(left), true) = (story.left(name), story.stays(name) <= Joined::STAYS_MAX) {
            // Who made a group that all have left is told of its end instead.
            let mut left = [Some(left), story.ended].into_iter().flatten();
            let told = left.any(|left| client.left.contains(&(conv.to_owned(), left)));
            assert!(told, "{name} does not know that {conv} was left");
        }
        if story.holds(name) && is_kept {
            // Every number is an entry, or in a gap.
            for told in &story.entries {
                let Some(seq) = told.seq else { continue };
                let mut gaps = client.gaps.iter();
                let in_gap =
                    gaps.any(|(of, after, before)| of == conv && *after < seq && seq < *before);
                assert!(in_gap != story.gets(name, told.pos), "{name} {conv} {seq}");
            }
        }
    }

    fn check_session(&self, who: usize, name: &str, conv: &str, story: &Story) {
        let got = &self.sessions[who].got;
        let mut last = 0;
        for (_, pos, seq) in got.iter().filter(|(of, ..)| of == conv) {
            if let Some(told) = story.entries.iter().find(|told| told.pos == *pos) {
                assert!(story.gets(name, *pos), "{name} got {} of others", told.json);
                assert_eq!(*seq, told.seq);
                if let Some(seq) = *seq {
                    assert!(seq > last, "{name} got {seq} after {last}");
                    last = seq;
                }
            }
        }
        if story.ended.is_some() || story.stays(name) > Joined::STAYS_MAX {
            return;
        }
        for told in story
            .entries
            .iter()
            .filter(|told| story.gets(name, told.pos))
        {
            let count = got.iter().filter(|(_, pos, _)| *pos == told.pos).count();
            assert_eq!(count, 1, "{name}'s session, {}", told.json);
        }
    }

    fn check_history(&mut self, who: usize, name: &str, conv: &str, story: &Story) {
        if !story.holds(name) || story.stays(name) > Joined::STAYS_MAX {
            return;
        }
        let device = self.clients[who].device;
        let mut read = Vec::new();
        let mut asked = json!({"conv": conv});
        loop {
            let topic = "im/ask/history/h";
            self.world.publish(device, topic, asked.to_string());
            let answers = self.world.take_from(device, "im/answer/h");
            let answer = parse(&answers[0].1);
            let entries = answer["entries"].as_array().unwrap();
            let mut page: Vec<Pos> = entries.iter().filter_map(pos_of).collect();
            page.append(&mut read);
            read = page;
            if answer["more"] == false {
                break;
            }
            asked = json!({"conv": conv, "before": answer["next"]});
        }
        let all = story.place != Place::Group("joined".to_owned());
        let may_read = story.entries.iter().map(|told| told.pos);
        let may_read: Vec<Pos> = may_read
            .filter(|pos| all || story.gets(name, *pos))
            .collect();
        assert_eq!(read, may_read, "{name} {conv}");
    }

    fn check_list(&mut self, name: &str, stories: &[Story]) {
        let account = self.world.id(name);
        let answer = self.world.ask(name, "conversations", "");
        let rows = answer["conversations"].as_array().unwrap();
        let mine = stories.iter().filter(|story| story.holds(name));
        assert_eq!(rows.len(), mine.clone().count(), "{answer}");
        let ids: BTreeMap<AccountId, String> = NAMES
            .map(|name| (self.world.id(name), name.to_owned()))
            .into();
        for story in mine {
            let conv = story.called(account, |id| ids[&id].clone());
            let row = rows
                .iter()
                .find(|row| row["conv"] == conv.as_str())
                .unwrap();
            let last = story.entries.last().unwrap();
            let seq = story.entries.iter().filter_map(|told| told.seq).next_back();
            assert_eq!(row["last"]["pos"], last.pos.to_string());
            assert_eq!(row["last"]["seq"].as_u64(), Some(seq.unwrap_or(0)));
            assert_eq!(row["members"], story.member_count());
            let member = &self.world.disk.keys[&key::member(story.id, account)];
            let read = Member::decode(member).unwrap().read.value();
            assert_eq!(row["unread"], seq.unwrap_or(0) - read);
        }
    }
}

impl Client {
    /// An answer's entries and then its cursor are written down.
    fn written(&mut self, answer: &Value) {
        if answer.get("error").is_some() {
            assert_eq!(answer["error"], "unavailable");
            return;
        }
        assert_eq!(answer.get("reset"), None, "{answer} to {}", self.cursor);
        let entries = answer["entries"].as_array().unwrap();
        assert!(entries.iter().map(pos_of).is_sorted(), "{answer}");
        for entry in entries {
            let conv = entry["conv"].as_str().unwrap().to_owned();
            let pos = pos_of(entry).unwrap();
            if entry["kind"] == "left" {
                if entry["deleted"] == true {
                    self.gaps.retain(|(of, ..)| *of != conv);
                }
                self.left.insert((conv, pos));
                continue;
            }
            let before = self.entries.insert((conv, pos), entry.clone());
            assert!(before.is_none_or(|before| before == *entry), "{entry}");
        }
        for gap in answer["gaps"].as_array().into_iter().flatten() {
            let number = |key: &str| gap[key].as_u64().unwrap();
            let conv = gap["conv"].as_str().unwrap().to_owned();
            self.gaps.push((conv, number("after"), number("before")));
        }
        self.cursor = answer["cursor"].as_str().unwrap().to_owned();
    }
}

impl Session {
    fn accept(&mut self, conv: &str, json: &Value) {
        let pos = pos_of(json).unwrap();
        if !self.cursor.covers(pos) {
            self.cursor.advance(pos);
            self.got.push((conv.to_owned(), pos, json["seq"].as_u64()));
        }
    }
}

fn check(steps: &[Step]) {
    let mut run = Run::new();
    for step in steps {
        run.take(step);
        run.check_markers();
    }
    run.finish();
    run.check_markers();
    run.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn clients_that_follow_the_documentation_have_what_they_may_read(
        steps in proptest::collection::vec(step(), 1..150)
    ) {
        check(&steps);
    }
}
