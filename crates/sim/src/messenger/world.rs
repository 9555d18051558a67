//! What there is in a world, and what goes between a node and everything around it. What happens when is the business of events.

use std::collections::BTreeMap;

use bytes::Bytes;
use chat::{
    AccountCommand, Answer, Audience, Delivery, Frame, HashedPassword, Input, LinkLimits, Output,
    Publish, Read, Refusal, RequestId, Settings,
};
use records::{AccountId, ConversationId, Millis, Role, Seq};
use serde_json::Value;

use crate::dice::Dice;
use crate::log::Log;
use crate::messenger::device::{Cache, Device, Keeps, Session, conv_of, pos_of};
use crate::messenger::mistake::Mistake;
use crate::messenger::node::{Append, Node};
use crate::messenger::store::{Belief, Store};
use crate::order::Order;
use crate::run::Verdict;

/// Half an hour before a week ends in which mids are remembered: of nodes whose clocks differ some are there already.
const START: Millis = Millis::new(2_920 * 7 * 24 * 3_600_000 - 1_800_000);
pub(super) const NAMES: [&str; 3] = ["alice", "bob", "carol"];
/// Whoever joins the second reads only what is said from then on.
pub(super) const GROUPS: [&str; 2] = ["all", "joined"];
/// Frames that are under way; with more some are lost.
const FRAMES_MAX: usize = 300;

/// A message that somebody has sent, once or more often.
pub(super) struct Sent {
    pub(super) device: usize,
    pub(super) topic: String,
    pub(super) text: String,
    pub(super) payload: String,
    /// What was said of it.
    pub(super) is_taken: bool,
    pub(super) is_refused: bool,
    /// How often nobody has said what became of it, and by which number that is said.
    pub(super) open: Vec<u64>,
    /// Whether nobody knows what became of it once.
    pub(super) is_lost: bool,
}

/// See the file's header.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) now: Millis,
    pub(super) store: Store,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Vec<Frame>,
    pub(super) devices: Vec<Device>,
    pub(super) accounts: Vec<AccountId>,
    pub(super) sent: Vec<Sent>,
    /// Messages that reached a device, which may acknowledge them.
    pub(super) received: Vec<(usize, AccountId, ConversationId, Seq)>,
    /// Answers to questions of the checks, by their topic.
    pub(super) answers: BTreeMap<String, Value>,
    pub(super) settings: Settings,
    pub(super) clocks_differ: bool,
    pub(super) mistake: Mistake,
    pub(super) steps: usize,
    pub(super) steps_max: usize,
    pub(super) acks: u64,
    /// Devices that have said whether somebody looks at them, by the number under which that is acknowledged.
    pub(super) looks: BTreeMap<u64, (usize, bool)>,
    notes: u64,
    /// `None` if the one node is alone, and knows no cluster.
    pub(super) links: Option<LinkLimits>,
    pub(super) log: Log,
    pub(super) verdict: Verdict,
}

impl World {
    pub(super) fn new(order: Order<Mistake>, logged: bool) -> Self {
        let mut dice = Dice::new(order.seed);
        let nodes = dice.between(1, 4) as usize;
        let steps = dice.between(50, 600) as usize;
        let settings = Settings {
            loaded_bytes_max: *dice.pick(&[0, 2_000, 1_000_000]),
            messages_per_second_max: 10_000,
            messages_burst_max: 100_000,
            groups_per_minute_max: 100_000,
            ..Settings::default()
        };
        let links = match dice.percent(30) {
            true => LinkLimits {
                waiting_max: dice.between(5, 20) as usize,
                window: dice.between(1, 4) as usize,
            },
            false => LinkLimits::default(),
        };
        let is_alone = nodes == 1 && dice.percent(70);
        let links = (!is_alone).then_some(links);
        let devices = (0..NAMES.len()).flat_map(|who| {
            [
                Device::new(who, Keeps::Cache(Cache::new())),
                Device::new(who, Keeps::Session(Session::default())),
            ]
        });
        let mut log = Log::new(logged);
        log.note(|| format!("{nodes} nodes, {} bytes loaded", settings.loaded_bytes_max));
        let mut world = Self {
            clocks_differ: dice.percent(50),
            now: START,
            store: Store::new(order.mutation),
            nodes: (0..nodes).map(Node::new).collect(),
            network: Vec::new(),
            devices: devices.collect(),
            accounts: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
            answers: BTreeMap::new(),
            settings,
            mistake: order.mutation,
            steps: 0,
            steps_max: steps.min(order.steps_max),
            acks: 0,
            looks: BTreeMap::new(),
            notes: 0,
            links,
            log,
            dice,
            verdict: Ok(()),
        };
        world.found();
        world
    }

    /// The first node makes the accounts; then the others begin.
    fn found(&mut self) {
        self.begin(0);
        for name in NAMES {
            let command = AccountCommand::Add {
                name: name.to_owned(),
                display: String::new(),
                role: Role::Member,
                password: Some(HashedPassword {
                    argon2: format!("$argon2id${name}"),
                    scram: None,
                }),
                first: false,
                similar: false,
            };
            let request = RequestId(0);
            self.handle(0, Input::Account { request, command });
            while !self.nodes[0].appends.is_empty() {
                self.commit(0, 0);
                self.tell_outcome(0);
            }
        }
        for node in 0..self.nodes.len() {
            self.begin(node);
        }
        let listed = self.nodes[0].chat.iter().flat_map(chat::Chat::accounts);
        let mut ids: BTreeMap<String, AccountId> = listed
            .map(|account| (account.name.as_str().to_owned(), account.id))
            .collect();
        self.accounts = NAMES.iter().filter_map(|name| ids.remove(*name)).collect();
        for node in 0..self.nodes.len() {
            self.learn(node);
        }
    }

    pub(super) fn ended(self) -> (usize, Vec<String>) {
        (self.steps, self.log.into_lines())
    }

    /// The first thing that is wrong is what is told.
    pub(super) fn found_wrong(&mut self, verdict: Verdict) {
        if self.verdict.is_ok() {
            self.verdict = verdict;
        }
    }

    // Nodes.

    /// A node begins, perhaps anew: whoever was connected to it is not any more.
    pub(super) fn begin(&mut self, node: usize) {
        let before = self.nodes[node].own;
        self.end(node);
        let others = self.store.view.members.len();
        if self.store.is_member(before) {
            let dice = &mut self.dice;
            self.store
                .fence(before, |members| (others > 1).then(|| *dice.pick(members)));
        }
        let ahead = match self.clocks_differ && self.dice.percent(30) {
            true => self.dice.between(0, 3_600_000),
            false => 0,
        };
        let (settings, now) = (self.settings.clone(), self.now);
        self.nodes[node].begin(settings, self.links, &mut self.store, now, ahead);
        self.drain(node);
        self.learn(node);
    }

    /// A node ends; of what is on its way to the store some may get there.
    pub(super) fn end(&mut self, node: usize) {
        let kept = match self.nodes[node].appends.len() {
            0 => 0,
            waiting => self.dice.below(waiting + 1),
        };
        for _ in 0..kept {
            self.commit(node, 0);
        }
        self.nodes[node].end();
        for device in 0..self.devices.len() {
            let connected = self.devices[device].connected;
            if connected.is_some_and(|connected| connected.node == node) {
                self.lose_connection(device);
            }
        }
    }

    /// A node hears what has become of the cluster.
    pub(super) fn learn(&mut self, node: usize) {
        let is_known = self.nodes[node].view.version == self.store.view.version;
        if self.links.is_none() || is_known {
            return;
        }
        if !self.store.is_member(self.nodes[node].own) {
            self.log.note(|| format!("node {node} is a member no more"));
            self.begin(node);
            return;
        }
        let view = self.store.view.clone();
        self.log
            .note(|| format!("node {node} knows view {}", view.version));
        self.nodes[node].view.clone_from(&view);
        self.handle(node, Input::Cluster(view));
    }

    pub(super) fn handle(&mut self, node: usize, input: Input) {
        let now = self.nodes[node].now(self.now);
        if let Some(chat) = &mut self.nodes[node].chat {
            chat.handle(input, &self.store, now);
        }
        self.drain(node);
    }

    /// A node looks at its timers.
    pub(super) fn look_at_time(&mut self, node: usize) {
        let now = self.nodes[node].now(self.now);
        if let Some(chat) = &mut self.nodes[node].chat
            && chat.poll_timeout().is_some_and(|due| due <= now)
        {
            chat.handle_timeout(&self.store, now);
        }
        self.drain(node);
    }

    pub(super) fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node]
            .chat
            .as_mut()
            .and_then(chat::Chat::poll_output)
        {
            match output {
                Output::Append {
                    owner,
                    term,
                    ticket,
                    writes,
                } => {
                    let of = &mut self.nodes[node];
                    let belief = match self.links {
                        Some(_) => Belief::of(owner, term, of.own, &of.view),
                        None => Belief::Lives,
                    };
                    if self.mistake == Mistake::AcknowledgeBeforeDisk {
                        of.outcomes.push_back((owner, ticket, true));
                    }
                    of.appends.push_back(Append {
                        owner,
                        ticket,
                        belief,
                        writes,
                    });
                }
                Output::Deliver(delivery) => {
                    self.notes += u64::from(delivery.pos.is_some());
                    self.deliver(node, &delivery);
                    if self.mistake == Mistake::RepeatNote && self.notes.is_multiple_of(2) {
                        self.deliver(node, &delivery);
                    }
                }
                Output::Acknowledge { ack, outcome, .. } => self.acknowledged(ack, outcome),
                Output::Read(query) => self.nodes[node].readings.push(query),
                Output::Frame(frame) => self.send(frame),
                Output::Missed if self.mistake == Mistake::IgnoreMissed => {}
                Output::Missed => self.missed(node),
                Output::Trim(range) => self.store.trim(&range),
                Output::Credentials(_)
                | Output::CloseAccount { .. }
                | Output::CloseToken { .. }
                | Output::Answered { .. } => {}
            }
        }
    }

    fn send(&mut self, frame: Frame) {
        self.network.push(frame);
        if self.network.len() > FRAMES_MAX {
            let lost = self.dice.below(self.network.len());
            self.network.swap_remove(lost);
        }
    }

    // The store.

    /// The first append of some owner reaches the store.
    pub(super) fn commit(&mut self, node: usize, choice: usize) {
        let of = &mut self.nodes[node];
        let Some(owner) = of.appends.get(choice).map(|append| append.owner) else {
            return;
        };
        let first = of.appends.iter().position(|append| append.owner == owner);
        let Some(append) = first.and_then(|at| of.appends.remove(at)) else {
            return;
        };
        let may = self.store.append(of.own, &append.belief, append.writes);
        if self.mistake != Mistake::AcknowledgeBeforeDisk || !may {
            of.outcomes.push_back((owner, append.ticket, may));
        }
        self.log.note(|| {
            format!(
                "node {node}: {owner:?} {:?} is stored: {may}",
                append.ticket
            )
        });
    }

    /// A node hears what has become of an append.
    pub(super) fn tell_outcome(&mut self, node: usize) {
        if let Some((owner, ticket, may)) = self.nodes[node].outcomes.pop_front() {
            let input = match may {
                true => Input::Appended { owner, ticket },
                false => Input::Fenced { owner, ticket },
            };
            self.handle(node, input);
        }
    }

    /// What was read reaches whoever has asked.
    pub(super) fn arrive(&mut self, node: usize, read: Read) {
        match read.answer {
            Some(Answer::Deliver(deliveries)) => {
                for delivery in &deliveries {
                    self.deliver(node, delivery);
                }
            }
            Some(Answer::CaughtUp {
                session,
                entries,
                upto,
                more,
            }) => self.caught_up(node, session, &entries, &upto, more),
            None => {}
        }
        self.handle(node, Input::Found(read.found));
    }

    // Devices.

    fn deliver(&mut self, node: usize, delivery: &Delivery) {
        for device in 0..self.devices.len() {
            let Some(connected) = self.devices[device].connected else {
                continue;
            };
            let account = self.accounts[self.devices[device].who];
            let is_meant = match &delivery.audience {
                Audience::Accounts(accounts) => accounts.contains(&account),
                Audience::Session(session) => *session == connected.session,
            };
            if connected.node != node || !is_meant {
                continue;
            }
            for packet in &delivery.packets {
                let verdict = self.reached(device, &packet.topic, &packet.payload);
                self.found_wrong(verdict);
            }
            self.devices[device].has_come_to(delivery.floor);
            if let Some((conversation, seq)) = delivery.receipt {
                self.received.push((node, account, conversation, seq));
            }
        }
    }

    fn reached(&mut self, device: usize, topic: &str, payload: &Bytes) -> Verdict {
        let known = &mut self.devices[device];
        let wanted = known.filters().iter().any(|filter| {
            let prefix = filter.strip_suffix('#').unwrap_or(filter);
            topic.starts_with(prefix)
        });
        if !wanted {
            return Ok(());
        }
        let who = known.who;
        let json: Value = serde_json::from_slice(payload)
            .map_err(|error| format!("{topic} says {payload:?}: {error}"))?;
        self.log
            .note(|| format!("{} device {device}: {topic} {json}", NAMES[who]));
        if let Some(rest) = topic.strip_prefix("im/answer/") {
            if rest != "sync" {
                self.answers.insert(rest.to_owned(), json);
                return Ok(());
            }
            if let Keeps::Cache(cache) = &mut known.keeps {
                cache.write(&json)?;
                if json["more"] == true {
                    self.sync(device);
                }
            }
            return Ok(());
        }
        if let Some(name) = topic.strip_prefix("im/presence/") {
            let state = json["state"].as_str().unwrap_or_default();
            known.presences.insert(name.to_owned(), state.to_owned());
            return Ok(());
        }
        let (Some(conv), Some(pos)) = (conv_of(topic), pos_of(&json)) else {
            return Ok(());
        };
        if !self.store.ever.contains(&pos) {
            return Err(format!(
                "{json} was told before it was stored, and may be lost"
            ));
        }
        match &mut known.keeps {
            Keeps::Cache(cache) => {
                cache.add(conv.to_owned(), pos, &json)?;
                if self.mistake == Mistake::LargestPos {
                    let last = cache.entries.keys().map(|(_, pos)| *pos).max();
                    cache.cursor = records::Cursor::at(last.unwrap_or(pos)).to_string();
                }
                known.note_live(conv, pos, json["seq"].as_u64());
                Ok(())
            }
            Keeps::Session(session) => match &mut session.catching_up {
                Some(live) => {
                    live.push((conv.to_owned(), json));
                    Ok(())
                }
                None => {
                    known.accept(conv, &json);
                    Ok(())
                }
            },
        }
    }

    /// The word on a publish.
    fn acknowledged(&mut self, ack: u64, outcome: Result<(), Refusal>) {
        let is_taken = outcome.is_ok();
        if let Some((device, is_inactive)) = self.looks.remove(&ack)
            && is_taken
        {
            self.devices[device].is_inactive = is_inactive;
        }
        let known = self.sent.iter_mut().find(|sent| sent.open.contains(&ack));
        if let Some(sent) = known {
            sent.open.retain(|open| *open != ack);
            sent.is_taken |= is_taken;
            match outcome {
                Ok(()) => {}
                // Somebody else may have stored it, or a part of a node that is no longer its own.
                Err(refusal) if refusal.code == "unavailable" => sent.is_lost = true,
                Err(_) => sent.is_refused = true,
            }
            let text = &sent.text;
            self.log.note(|| format!("{text} is taken: {is_taken}"));
        }
    }

    pub(super) fn publish(&mut self, device: usize, topic: &str, payload: String) -> Option<u64> {
        let connected = self.devices[device].connected?;
        self.acks += 1;
        let ack = self.acks;
        let who = self.devices[device].who;
        self.log.note(|| {
            format!(
                "{} device {device}: publishes {topic} {payload}",
                NAMES[who]
            )
        });
        let publish = Publish {
            session: connected.session,
            account: self.accounts[who],
            device: format!("d{device}").into(),
            topic: topic.into(),
            payload: payload.into(),
            ack: Some(ack),
            response_topic: None,
            correlation: None,
            properties: None,
            session_mid: None,
            read_at: records::Moment::UNKNOWN,
        };
        self.handle(connected.node, Input::Publish(Box::new(publish)));
        Some(ack)
    }

    pub(super) fn sync(&mut self, device: usize) {
        let known = &mut self.devices[device];
        let Keeps::Cache(cache) = &mut known.keeps else {
            return;
        };
        if known.connected.is_none() || cache.is_asking {
            return;
        }
        cache.is_asking = true;
        let asked = serde_json::json!({"since": cache.cursor}).to_string();
        self.publish(device, "im/ask/sync/sync", asked);
    }
}
