//! What a device keeps, as `docs/topics.md` says it may: entries, markers, gaps, one cursor, and what waits to be sent. It knows
//! payloads and no connection.

use std::collections::{BTreeMap, VecDeque};

use harness::QoS;
use serde_json::Value;

/// Everything that a device writes down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    pub(crate) cursor: Option<String>,
    /// Where the cursor stood with which it began. For the judge: to a client a cursor is opaque.
    pub(crate) begun: u64,
    pub(crate) conversations: BTreeMap<String, Conversation>,
    pub(crate) outbox: VecDeque<Draft>,
    /// How far its user has read what the server has not confirmed yet.
    pub(crate) reads: BTreeMap<String, u64>,
}

/// A message that waits for its `im/ack` or its echo.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) mid: String,
    pub(crate) conv: String,
    pub(crate) text: String,
    pub(crate) qos: QoS,
    /// The connection on which it was sent last.
    pub(crate) sent_on: u64,
}

/// One conversation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    /// By `seq`, as they came live or with `sync`.
    pub(crate) messages: BTreeMap<u64, Value>,
    /// By `pos`.
    pub(crate) events: BTreeMap<u64, Value>,
    /// What `history` has given to fill gaps, by `seq`.
    pub(crate) filled: BTreeMap<u64, Value>,
    /// Between which messages `sync` has said that there is a gap.
    pub(crate) gaps: Vec<(u64, u64)>,
    /// What is not newer than this was in the list that the device began with, and its entries were not asked for.
    pub(crate) listed: u64,
    /// The number of the newest message.
    pub(crate) last: u64,
    pub(crate) read: u64,
    pub(crate) peer_read: u64,
    pub(crate) peer_received: u64,
    /// Whether a list or `im/about` has said how it is.
    pub(crate) is_described: bool,
    /// Whether the account is a member, by the newest entry that says so.
    pub(crate) standing: (u64, bool),
    /// What is not newer than this was deleted.
    pub(crate) forgotten: u64,
}

/// Where a `pos` stands.
pub(crate) fn place(pos: &Value) -> u64 {
    let word = pos
        .as_str()
        .unwrap_or_else(|| panic!("a pos that is no word: {pos}"));
    u64::from_str_radix(word, 16).unwrap_or_else(|error| panic!("{error}: {pos}"))
}

/// Whether an event is about an account.
pub(crate) fn names(event: &Value, account: &str) -> bool {
    let accounts = event["accounts"].as_array();
    accounts.is_some_and(|accounts| accounts.iter().any(|name| name == account))
}

impl Cache {
    /// An entry, whichever way it came; drops what is there already. Of a kind that is not known nothing is kept.
    pub(crate) fn take(&mut self, account: &str, conv: &str, entry: Value) {
        let pos = place(&entry["pos"]);
        let known = self.conversations.entry(conv.to_owned()).or_default();
        if pos <= known.forgotten {
            return;
        }
        match entry["kind"].as_str() {
            Some("message") => {
                if conv.starts_with('@') {
                    // Nobody joins or leaves a direct chat.
                    known.stands(pos, true);
                }
                let own = entry["from"] == account;
                if let (true, Some(mid)) = (own, entry["mid"].as_str()) {
                    self.outbox
                        .retain(|draft| draft.mid != mid || draft.conv != conv);
                }
                known.take_message(own, entry);
            }
            Some("member") => known.take_event(account, pos, entry),
            Some("left") => {
                known.stands(pos, false);
                if entry["deleted"] == true {
                    *known = Conversation {
                        forgotten: pos,
                        ..Conversation::default()
                    };
                }
            }
            _ => {}
        }
    }

    /// What `conversations`, `im/about` or the `state` of `sync` say of a conversation.
    pub(crate) fn describe(&mut self, conv: &str, row: &Value) {
        let known = self.conversations.entry(conv.to_owned()).or_default();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let last = &row["last"];
        if last.is_object() {
            let pos = place(&last["pos"]);
            if pos <= known.forgotten {
                return;
            }
            known.stands(pos, true);
            known.is_described = true;
        }
        let read = number(&row["read"]);
        known.last = known.last.max(read + number(&row["unread_count"]));
        known.read = known.read.max(read);
        let peer = &row["peer"];
        known.peer_read = known.peer_read.max(number(&peer["read"]));
        known.peer_received = known.peer_received.max(number(&peer["received"]));
    }

    /// What one begins with, or begins anew with.
    pub(crate) fn begin(&mut self, rows: &[Value], cursor: &str) {
        // A group may have been deleted, and another one of that address made.
        (self.conversations).retain(|conv, _| conv.starts_with('@'));
        let floor = cursor.split('-').next().unwrap_or_default();
        self.begun = u64::from_str_radix(floor, 16).expect("a cursor begins with a pos");
        for row in rows {
            let conv = row["conv"].as_str().expect("a conversation has a name");
            self.describe(conv, row);
            if let Some(known) = self.conversations.get_mut(conv) {
                known.listed = known.listed.max(place(&row["last"]["pos"]));
            }
        }
    }

    /// Whether entries have come of a conversation of which nothing else is known.
    pub(crate) fn lacks_description(&self) -> bool {
        let lacks = |known: &Conversation| {
            let has_entries = !known.messages.is_empty() || !known.events.is_empty();
            let was_left = !known.is_member() && known.standing.0 > 0;
            has_entries && !was_left && !known.is_described
        };
        self.conversations.values().any(lacks)
    }

    /// A page of `sync`.
    pub(crate) fn apply(&mut self, account: &str, page: &Value) {
        for entry in page["entries"].as_array().expect("a page has entries") {
            let mut entry = entry.clone();
            let conv = entry["conv"].take();
            let object = entry.as_object_mut().expect("an entry is an object");
            object.remove("conv");
            let conv = conv.as_str().expect("an entry names its conversation");
            self.take(account, conv, entry);
        }
        for gap in page["gaps"].as_array().into_iter().flatten() {
            let conv = gap["conv"].as_str().expect("a gap names its conversation");
            let known = self.conversations.entry(conv.to_owned()).or_default();
            let edge = |key: &str| gap[key].as_u64().expect("a gap has two edges");
            let between = (edge("after_seq"), edge("before_seq"));
            known.last = known.last.max(between.1 - 1);
            if !known.gaps.contains(&between) {
                known.gaps.push(between);
            }
        }
        for row in page["states"].as_array().into_iter().flatten() {
            let conv = row["conv"]
                .as_str()
                .expect("a state names its conversation");
            self.describe(conv, row);
        }
    }
}

impl Conversation {
    fn take_message(&mut self, own: bool, entry: Value) {
        let seq = entry["seq"].as_u64().expect("a message has a seq");
        self.last = self.last.max(seq);
        if own {
            self.read = self.read.max(seq);
        }
        self.messages.entry(seq).or_insert(entry);
    }

    fn take_event(&mut self, account: &str, pos: u64, entry: Value) {
        if names(&entry, account) {
            match entry["action"].as_str() {
                Some("join") => self.stands(pos, true),
                Some("leave") => self.stands(pos, false),
                _ => {}
            }
        }
        self.events.entry(pos).or_insert(entry);
    }

    fn stands(&mut self, pos: u64, is_member: bool) {
        if pos >= self.standing.0 {
            self.standing = (pos, is_member);
        }
    }

    pub(crate) fn is_member(&self) -> bool {
        self.standing.1
    }
}
