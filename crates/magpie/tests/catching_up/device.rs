//! A client as a stranger writes it who has read `docs/topics.md`: it connects, subscribes, catches up, sends. What it has not written
//! down it loses when it dies.

use std::collections::BTreeMap;
use std::time::Instant;

use harness::proof::Random;
use harness::{Acknowledgement, Client, Event, Message, QoS, Server, Version};
use serde_json::{Value, json};

use crate::cache::{Cache, Draft, names, place};
use crate::ledger::{Ledger, Sent};

/// One in so many chances that something happens to a device is taken while it catches up, and afterwards.
const ACCIDENTS: [u64; 2] = [12, 25];
/// Conversations and entries of a page, at most. With small pages much happens before the last one.
const PAGE_MAX: [u64; 3] = [2, 5, 50];

/// Which rules a device follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Those of the documentation.
    Documented,
    /// The cursor is the largest `pos` that came live, even before `sync` has ended.
    LiveMovesCursor,
}

/// What does not change about a device.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) account: &'static str,
    pub(crate) client_id: &'static str,
    pub(crate) version: Version,
    pub(crate) is_persistent: bool,
    pub(crate) qos: QoS,
    /// Whether it subscribes to `im/about/#`.
    pub(crate) wants_about: bool,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) kind: Kind,
    rules: Rules,
    random: Random,
    /// Whether things happen to it.
    pub(crate) is_unlucky: bool,
    client: Option<Client>,
    phase: Phase,
    /// Of connections, for all its lives.
    connection: u64,
    /// Of questions, for all its lives: an answer to an earlier life may come late.
    questions: u64,
    asked: BTreeMap<String, Question>,
    /// Packet identifiers of `read`.
    confirming: BTreeMap<u16, (String, u64)>,
    disk: Cache,
    pub(crate) memory: Cache,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Away,
    Subscribing(u16),
    CatchingUp,
    Ready,
}

#[derive(Debug)]
enum Question {
    /// With the cursor of the first page and what has come of the list.
    List(Option<String>, Vec<Value>),
    Sync,
    /// For how conversations are of which only entries are known.
    Describe,
    Fill(String, (u64, u64)),
    Other,
}

/// What happens to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    Cut,
    Death,
}

impl Device {
    pub(crate) fn new(kind: Kind, rules: Rules, random: Random) -> Self {
        Self {
            kind,
            rules,
            random,
            is_unlucky: true,
            client: None,
            phase: Phase::Away,
            connection: 0,
            questions: 0,
            asked: BTreeMap::new(),
            confirming: BTreeMap::new(),
            disk: Cache::default(),
            memory: Cache::default(),
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.phase == Phase::Away
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether it has caught up, no question is open and nothing waits to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_ready()
            && self.asked.is_empty()
            && self.memory.outbox.is_empty()
            && self.memory.reads.is_empty()
    }

    /// Connects and subscribes, if the server can be reached.
    pub(crate) fn connect(&mut self, server: &Server) {
        self.asked.clear();
        self.confirming.clear();
        let kind = &self.kind;
        let connected = match self.client.take().filter(|_| kind.is_persistent) {
            Some(mut client) => {
                let outcome = client.reconnect();
                outcome.map(|_| client)
            }
            None => {
                let dial = server.dial(kind.version, kind.account, kind.client_id);
                let dial = dial.receive_maximum(5);
                let dial = if kind.is_persistent {
                    dial.persistent()
                } else {
                    dial
                };
                dial.connect()
            }
        };
        let Ok(mut client) = connected else {
            return;
        };
        let mut filters = vec![
            ("im/in/#", kind.qos),
            ("im/me/event", QoS::AtLeastOnce),
            ("im/ack/#", QoS::AtLeastOnce),
            ("im/answer/#", QoS::AtLeastOnce),
        ];
        if kind.wants_about {
            filters.push(("im/about/+", QoS::AtLeastOnce));
        }
        let subscribed = client.send_subscribe(&filters);
        self.client = Some(client);
        self.connection += 1;
        self.phase = subscribed.map_or(Phase::Away, Phase::Subscribing);
    }

    /// The connection ends; a persistent session goes on with the next one.
    pub(crate) fn cut(&mut self) {
        if let Some(client) = &mut self.client {
            client.drop_connection();
        }
        self.phase = Phase::Away;
    }

    /// The connection ends in the middle of a packet.
    pub(crate) fn cut_in_a_packet(&mut self) {
        if let (Some(client), Some(draft)) = (&mut self.client, self.memory.outbox.front()) {
            client.send_half(&format!("im/to/{}", draft.conv), draft.payload(), draft.qos);
        }
        self.cut();
    }

    /// It dies. What it has written down is there when it comes back.
    pub(crate) fn die(&mut self) {
        self.client = None;
        self.memory = self.disk.clone();
        self.phase = Phase::Away;
    }

    /// Writes everything down.
    pub(crate) fn commit(&mut self) {
        self.disk = self.memory.clone();
    }

    /// Its user writes a message. It is written down before anything else becomes of it.
    pub(crate) fn compose(&mut self, conv: &str, draw: u64, ledger: &mut Ledger) {
        let mid = format!("{:016x}", self.random.below(u64::MAX));
        let text = format!("{} {}", self.kind.client_id, draw % 1_000);
        let sent = Sent {
            account: self.kind.account.to_owned(),
            conv: conv.to_owned(),
            text: text.clone(),
            seq: None,
            refused: None,
        };
        ledger.sent.insert(mid.clone(), sent);
        let qos = match draw % 4 {
            0 => QoS::AtMostOnce,
            // Of a QoS 2 flow a client must remember what this one forgets when it dies.
            1 if !self.kind.is_persistent => QoS::ExactlyOnce,
            _ => QoS::AtLeastOnce,
        };
        let draft = Draft {
            mid,
            conv: conv.to_owned(),
            text,
            qos,
            sent_on: 0,
        };
        self.disk.outbox.push_back(draft.clone());
        self.memory.outbox.push_back(draft);
    }

    /// Its user has read up to a message.
    pub(crate) fn read(&mut self, conv: &str, seq: u64, ledger: &mut Ledger) {
        let key = (self.kind.account.to_owned(), conv.to_owned());
        let attempted = &mut ledger.reads.entry(key).or_default().1;
        *attempted = seq.max(*attempted);
        self.memory.reads.insert(conv.to_owned(), seq);
        if let Some(known) = self.memory.conversations.get_mut(conv) {
            known.read = seq.max(known.read);
        }
    }

    /// Its cursor is lost, as if it had kept a word that is none.
    pub(crate) fn lose_cursor(&mut self) {
        self.memory.cursor = Some("lost".to_owned());
    }

    /// Asks something whose answer does not matter.
    pub(crate) fn ask(&mut self, method: &str, body: &Value) {
        self.question(method, body, Question::Other);
    }

    /// Asks for what a gap leaves out.
    pub(crate) fn fill(&mut self, conv: &str, gap: (u64, u64)) {
        let body = json!({"conv": conv, "after_seq": gap.0, "limit": 200});
        self.question("history", &body, Question::Fill(conv.to_owned(), gap));
    }

    /// Asks for what is new, unless that has been asked.
    pub(crate) fn sync(&mut self) {
        let can_ask = matches!(self.phase, Phase::CatchingUp | Phase::Ready);
        if !can_ask || self.is_catching_up() {
            return;
        }
        let limit = self.page_limit();
        match &self.memory.cursor {
            Some(cursor) => {
                let body = json!({"since": cursor, "limit": limit, "states": true});
                self.question("sync", &body, Question::Sync);
            }
            None => {
                let body = json!({ "limit": limit });
                let question = Question::List(None, Vec::new());
                self.question("conversations", &body, question);
            }
        }
    }

    fn page_limit(&mut self) -> u64 {
        let most = PAGE_MAX[self.random.below(PAGE_MAX.len() as u64) as usize];
        1 + self.random.below(most)
    }

    fn is_catching_up(&self) -> bool {
        let is_catching_up = |question: &Question| match question {
            Question::List(..) | Question::Sync => true,
            Question::Describe | Question::Fill(..) | Question::Other => false,
        };
        self.asked.values().any(is_catching_up)
    }

    fn question(&mut self, method: &str, body: &Value, question: Question) {
        self.questions += 1;
        let rid = format!("{}-{}", self.kind.client_id, self.questions);
        let Some(client) = &mut self.client else {
            return;
        };
        let topic = format!("im/ask/{method}/{rid}");
        self.asked.insert(rid, question);
        if client
            .send(&topic, body.to_string(), QoS::AtLeastOnce)
            .is_err()
        {
            return self.cut();
        }
        self.risk();
    }

    /// Whatever may happen to a device here.
    fn risk(&mut self) -> Option<Accident> {
        if !self.is_unlucky {
            return None;
        }
        let accidents = ACCIDENTS[usize::from(self.is_ready())];
        match self.random.below(2 * accidents) {
            0 => {
                self.cut();
                Some(Accident::Cut)
            }
            1 => {
                self.die();
                Some(Accident::Death)
            }
            _ => None,
        }
    }

    /// Takes in what comes, waiting for the first of it until a deadline, and sends what waits.
    pub(crate) fn turn(&mut self, mut deadline: Instant, ledger: &mut Ledger) {
        while self.phase != Phase::Away
            && let Some(client) = &mut self.client
        {
            match client.event(deadline) {
                Ok(Some(event)) => {
                    deadline = Instant::now();
                    self.event(&event, ledger);
                }
                Ok(None) => return self.send_waiting(),
                Err(_) => self.cut(),
            }
        }
    }

    fn event(&mut self, event: &Event, ledger: &mut Ledger) {
        let messages = self.client.as_mut().map(Client::take_inbox);
        for message in messages.into_iter().flatten() {
            if self.phase == Phase::Away {
                return;
            }
            self.take(&message, ledger);
        }
        match event {
            Event::Subscribed(packet_id, codes) if self.phase == Phase::Subscribing(*packet_id) => {
                assert!(codes.iter().all(|code| *code <= 2), "SUBACK: {codes:?}");
                self.phase = Phase::CatchingUp;
                self.sync();
            }
            Event::Acknowledged(acknowledgement) => self.acknowledged(acknowledgement, ledger),
            Event::Subscribed(..)
            | Event::Message
            | Event::Completed(_)
            | Event::Pong
            | Event::Flow => {}
        }
    }

    /// PUBACK for a `read`; of messages only `im/ack` counts.
    fn acknowledged(&mut self, acknowledgement: &Acknowledgement, ledger: &mut Ledger) {
        let Some((conv, seq)) = self.confirming.remove(&acknowledgement.packet_id) else {
            return;
        };
        let is_stored = acknowledgement.reason < 0x80 && self.kind.version == Version::V5;
        let key = (self.kind.account.to_owned(), conv.clone());
        if is_stored && !ledger.deleted.contains(&conv) {
            let confirmed = &mut ledger.reads.entry(key).or_default().0;
            *confirmed = seq.max(*confirmed);
        }
        if self
            .memory
            .reads
            .get(&conv)
            .is_some_and(|read| *read <= seq)
        {
            self.memory.reads.remove(&conv);
        }
    }

    fn take(&mut self, message: &Message, ledger: &mut Ledger) {
        let levels: Vec<&str> = message.topic.split('/').collect();
        match levels[..] {
            ["im", "in", conv] => self.live(conv, message.json()),
            ["im", "in", conv, "event"] => {
                let event = message.json();
                if event.get("pos").is_some() {
                    self.live(conv, event);
                } else {
                    self.receipt(conv, &event);
                }
            }
            ["im", "in", _, "typing"] => {}
            ["im", "me", "event"] => {
                if message.json()["kind"] == "left" {
                    self.sync();
                }
            }
            ["im", "about", conv] => {
                if !message.payload.is_empty() {
                    self.memory.describe(conv, &message.json());
                }
            }
            ["im", "ack", mid] => {
                if ledger.acknowledged(mid, &message.json()) {
                    self.memory.outbox.retain(|draft| draft.mid != mid);
                } else if let Some(draft) =
                    (self.memory.outbox.iter_mut()).find(|draft| draft.mid == mid)
                {
                    draft.sent_on = 0;
                }
            }
            ["im", "answer", rid] => {
                if let Some(question) = self.asked.remove(rid) {
                    self.answered(question, &message.json());
                }
            }
            _ => panic!("{}: not a topic of the documentation", message.topic),
        }
    }

    /// An entry that came live: it moves no cursor.
    fn live(&mut self, conv: &str, entry: Value) {
        let pos = place(&entry["pos"]);
        let has_joined = entry["action"] == "join" && names(&entry, self.kind.account);
        self.memory.take(self.kind.account, conv, entry);
        if let (Rules::LiveMovesCursor, Some(cursor)) = (self.rules, &self.memory.cursor) {
            // A bare `pos` would be taken for a cursor of ten seconds before, which is longer than a device is away here.
            let floor = cursor.split('-').next().unwrap_or_default();
            if u64::from_str_radix(floor, 16).is_ok_and(|floor| floor < pos) {
                self.memory.cursor = Some(format!("{pos:x}-"));
            }
            self.commit();
        }
        if has_joined {
            self.sync();
        }
    }

    fn receipt(&mut self, conv: &str, event: &Value) {
        let from = event["from"]
            .as_array()
            .expect("a receipt names whose it is");
        let is_of = |name: &str| from.iter().any(|one| one == name);
        let peer = conv.strip_prefix('@').filter(|peer| is_of(peer));
        let is_own = is_of(self.kind.account);
        let Some(known) = self.memory.conversations.get_mut(conv) else {
            return;
        };
        let seq = event["seq"].as_u64().expect("a receipt has a seq");
        let is_read = event["kind"] == "read";
        if is_own && is_read {
            known.read = seq.max(known.read);
        } else if peer.is_some() && is_read {
            known.peer_read = seq.max(known.peer_read);
        } else if peer.is_some() {
            known.peer_received = seq.max(known.peer_received);
        }
    }

    fn answered(&mut self, question: Question, answer: &Value) {
        if self.risk().is_some() {
            return;
        }
        let is_error = answer.get("error").is_some();
        match question {
            Question::Other => {}
            Question::Fill(conv, gap) => {
                let known = self.memory.conversations.get_mut(&conv);
                let entries = answer["entries"].as_array();
                if let (Some(known), Some(entries)) = (known, entries) {
                    for entry in entries {
                        let seq = entry["seq"].as_u64().unwrap_or(0);
                        if gap.0 < seq && seq < gap.1 {
                            known.filled.insert(seq, entry.clone());
                        }
                    }
                }
            }
            Question::Describe => self.described(answer),
            Question::List(..) | Question::Sync if is_error => self.sync(),
            Question::List(cursor, rows) => self.listed(cursor, rows, answer),
            Question::Sync if answer["reset"] == true => self.listed(None, Vec::new(), answer),
            Question::Sync => self.synced(answer),
        }
    }

    fn listed(&mut self, cursor: Option<String>, mut rows: Vec<Value>, answer: &Value) {
        let page = answer["conversations"].as_array().expect("a list has rows");
        rows.extend(page.iter().cloned());
        let cursor = cursor.unwrap_or_else(|| word(&answer["cursor"]));
        if answer["more"] == true {
            let limit = self.page_limit();
            let body = json!({"before": answer["next"], "limit": limit});
            let question = Question::List(Some(cursor), rows);
            return self.question("conversations", &body, question);
        }
        self.memory.begin(&rows, &cursor);
        self.write_down(cursor, false);
    }

    fn synced(&mut self, page: &Value) {
        self.memory.apply(self.kind.account, page);
        self.write_down(word(&page["cursor"]), page["more"] == true);
    }

    /// First the entries, then the cursor.
    fn write_down(&mut self, cursor: String, more: bool) {
        self.commit();
        if self.risk() == Some(Accident::Death) {
            return;
        }
        self.memory.cursor = Some(cursor);
        self.commit();
        match self.phase {
            Phase::Away => {}
            _ if more => self.sync(),
            _ => {
                self.phase = Phase::Ready;
                if self.memory.lacks_description() {
                    self.question("conversations", &json!({}), Question::Describe);
                }
            }
        }
    }

    fn described(&mut self, answer: &Value) {
        for row in answer["conversations"].as_array().into_iter().flatten() {
            let conv = row["conv"].as_str().expect("a conversation has a name");
            self.memory.describe(conv, row);
        }
        if answer["more"] == true {
            let body = json!({"before": answer["next"]});
            self.question("conversations", &body, Question::Describe);
        }
    }

    /// What waits, in order, each message once on each connection unless the server wants it again.
    fn send_waiting(&mut self) {
        let (Phase::Ready, Some(client)) = (self.phase, &mut self.client) else {
            return;
        };
        let mut is_lost = false;
        for draft in &mut self.memory.outbox {
            if draft.sent_on == self.connection || is_lost {
                continue;
            }
            draft.sent_on = self.connection;
            let topic = format!("im/to/{}", draft.conv);
            is_lost = client.send(&topic, draft.payload(), draft.qos).is_err();
        }
        for (conv, seq) in &self.memory.reads {
            let is_under_way = |(of, upto): &(String, u64)| of == conv && upto >= seq;
            if is_lost || self.confirming.values().any(is_under_way) {
                continue;
            }
            let topic = format!("im/to/{conv}/read");
            let body = json!({ "seq": seq }).to_string();
            match client.send(&topic, body, QoS::AtLeastOnce) {
                Ok(packet_id) => drop(self.confirming.insert(packet_id, (conv.clone(), *seq))),
                Err(_) => is_lost = true,
            }
        }
        if is_lost {
            self.cut();
        }
    }
}

impl Draft {
    fn payload(&self) -> String {
        json!({"mid": self.mid, "text": self.text}).to_string()
    }
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a word: {value}"))
        .to_owned()
}
