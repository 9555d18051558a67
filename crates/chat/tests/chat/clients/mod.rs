//! Clients that do what the documentation tells them to, through whatever happens to the server: appends and readings that come in
//! any order or not at all, conversations that are forgotten, partitions that are dropped, clocks that go back, crashes.
//! In the end each has exactly what it may read, and everything that was acknowledged is there once.

mod checks;
mod devices;

use std::collections::{BTreeMap, BTreeSet};

use chat::Settings;
use proptest::prelude::*;
use records::{Cursor, Member, Millis, PartitionId, Pos, Table};
use serde_json::{Value, json};

use devices::{Client, Session};

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
