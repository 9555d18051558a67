//! What devices keep of what reaches them, as the documentation says.

use std::collections::{BTreeMap, BTreeSet};

use records::{Cursor, Pos, SessionRef};
use serde_json::Value;

use crate::run::Verdict;

/// Where a device is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connected {
    pub(super) node: usize,
    pub(super) session: SessionRef,
}

/// A device of an account.
pub(super) struct Device {
    /// Its account, by number.
    pub(super) who: usize,
    pub(super) connected: Option<Connected>,
    pub(super) keeps: Keeps,
    connections: usize,
    /// How many entries had come to the store when it connected.
    pub(super) since: usize,
    /// Nobody looks at it.
    pub(super) is_inactive: bool,
    /// How others are, as it was told since it has connected.
    pub(super) presences: BTreeMap<String, String>,
    /// What it was told.
    pub(super) got: Vec<Got>,
}

/// An entry as it was told.
pub(super) struct Got {
    pub(super) connection: usize,
    pub(super) conv: String,
    pub(super) pos: Pos,
    pub(super) seq: Option<u64>,
}

/// What a device keeps.
pub(super) enum Keeps {
    Cache(Cache),
    Session(Session),
}

/// A client with a clean session that keeps a cache, and the cursor of the last answer.
pub(super) struct Cache {
    pub(super) cursor: String,
    pub(super) is_asking: bool,
    /// By what it calls the conversation, and by position.
    pub(super) entries: BTreeMap<(String, Pos), Value>,
    pub(super) left: BTreeSet<(String, Pos)>,
    pub(super) gaps: Vec<(String, u64, u64)>,
}

/// A session that lasts: what it got, and how far it has come, goes with it from node to node.
#[derive(Default)]
pub(super) struct Session {
    pub(super) cursor: Cursor,
    /// What has come live while it catches up.
    pub(super) catching_up: Option<Vec<(String, Value)>>,
    /// It may have missed something since it has asked.
    pub(super) again: bool,
}

/// Where an entry stands.
pub(super) fn pos_of(json: &Value) -> Option<Pos> {
    json["pos"].as_str().and_then(|pos| pos.parse().ok())
}

/// What an entry's topic says of its conversation.
pub(super) fn conv_of(topic: &str) -> Option<&str> {
    let rest = topic.strip_prefix("im/in/")?;
    let conv = rest.strip_suffix("/event").unwrap_or(rest);
    (!conv.contains('/')).then_some(conv)
}

impl Device {
    pub(super) fn new(who: usize, keeps: Keeps) -> Self {
        Self {
            who,
            connected: None,
            keeps,
            connections: 0,
            since: 0,
            is_inactive: false,
            presences: BTreeMap::new(),
            got: Vec::new(),
        }
    }

    /// What it listens to.
    pub(super) fn filters(&self) -> &'static [&'static str] {
        match self.keeps {
            Keeps::Cache(_) => &["im/in/#", "im/answer/#", "im/presence/#"],
            Keeps::Session(_) => &["im/in/#"],
        }
    }

    pub(super) fn connect(&mut self, connected: Connected, stored: usize) {
        self.since = stored;
        self.connected = Some(connected);
        self.connections += 1;
        self.is_inactive = false;
        self.presences.clear();
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = None;
        match &mut self.keeps {
            Keeps::Cache(cache) => cache.is_asking = false,
            Keeps::Session(session) => {
                session.catching_up = None;
                session.again = false;
            }
        }
    }

    /// How often an entry has reached it since it connected.
    pub(super) fn count(&self, pos: Pos) -> usize {
        let got = self.got.iter();
        got.filter(|got| got.connection == self.connections && got.pos == pos)
            .count()
    }

    /// An entry reaches a session.
    pub(super) fn accept(&mut self, conv: &str, json: &Value) {
        let (Keeps::Session(session), Some(pos)) = (&mut self.keeps, pos_of(json)) else {
            return;
        };
        if !session.cursor.covers(pos) {
            session.cursor.advance(pos);
            let (seq, connection) = (json["seq"].as_u64(), self.connections);
            let conv = conv.to_owned();
            self.got.push(Got {
                connection,
                conv,
                pos,
                seq,
            });
        }
    }

    /// Everything up to here was told: a session that is not behind has had it.
    pub(super) fn has_come_to(&mut self, floor: Pos) {
        if let Keeps::Session(session) = &mut self.keeps
            && session.catching_up.is_none()
        {
            session.cursor.raise(floor);
        }
    }

    /// An entry reaches a client.
    pub(super) fn note_live(&mut self, conv: &str, pos: Pos, seq: Option<u64>) {
        self.got.push(Got {
            connection: self.connections,
            conv: conv.to_owned(),
            pos,
            seq,
        });
    }
}

impl Cache {
    /// It has nothing yet, and wants everything.
    pub(super) fn new() -> Self {
        Self {
            cursor: Cursor::default().to_string(),
            is_asking: false,
            entries: BTreeMap::new(),
            left: BTreeSet::new(),
            gaps: Vec::new(),
        }
    }

    /// An answer's entries and then its cursor are written down.
    pub(super) fn write(&mut self, answer: &Value) -> Verdict {
        self.is_asking = false;
        if answer.get("error").is_some() {
            return match answer["error"].as_str() {
                Some("unavailable") => Ok(()),
                _ => Err(format!("sync is answered {answer}")),
            };
        }
        let since = self.cursor.clone();
        let wrong = || format!("{since} is answered {answer}");
        if answer.get("reset").is_some() {
            return Err(wrong());
        }
        let entries = answer["entries"].as_array().ok_or_else(wrong)?;
        if !entries.iter().map(pos_of).is_sorted() {
            return Err(wrong());
        }
        for entry in entries {
            let (Some(conv), Some(pos)) = (entry["conv"].as_str(), pos_of(entry)) else {
                return Err(wrong());
            };
            let conv = conv.to_owned();
            if entry["kind"] == "left" {
                if entry["deleted"] == true {
                    self.gaps.retain(|(of, ..)| *of != conv);
                }
                self.left.insert((conv, pos));
                continue;
            }
            self.add(conv, pos, entry)?;
        }
        for gap in answer["gaps"].as_array().into_iter().flatten() {
            let number = |key: &str| gap[key].as_u64().unwrap_or_default();
            let conv = gap["conv"].as_str().unwrap_or_default().to_owned();
            self.gaps
                .push((conv, number("after_seq"), number("before_seq")));
        }
        answer["cursor"]
            .as_str()
            .ok_or_else(wrong)?
            .clone_into(&mut self.cursor);
        Ok(())
    }

    /// An entry is written down; the same entry always says the same.
    pub(super) fn add(&mut self, conv: String, pos: Pos, entry: &Value) -> Verdict {
        let mut entry = entry.clone();
        // Answers say it, topics have it in their name.
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("conv");
        }
        match self.entries.insert((conv, pos), entry.clone()) {
            Some(before) if before != entry => Err(format!("{before} has become {entry}")),
            Some(_) | None => Ok(()),
        }
    }
}
