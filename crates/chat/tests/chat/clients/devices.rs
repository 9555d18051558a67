//! What devices keep of what reaches them, as the documentation says.

use std::collections::{BTreeMap, BTreeSet};

use records::{Cursor, Pos};
use serde_json::Value;

use super::pos_of;

/// A device that keeps a cache and asks `sync`, connected all the time. It writes down what comes with a cursor, and only that.
pub(super) struct Client {
    pub(super) device: usize,
    pub(super) cursor: String,
    pub(super) asked: bool,
    /// By what it calls the conversation, and by position.
    pub(super) entries: BTreeMap<(String, Pos), Value>,
    pub(super) left: BTreeSet<(String, Pos)>,
    pub(super) gaps: Vec<(String, u64, u64)>,
    /// Since it has connected: what came live, and how much had come to the disk before.
    pub(super) live: Vec<(String, Pos)>,
    pub(super) numbers: BTreeMap<String, u64>,
    pub(super) connected: usize,
}

/// A persistent session, which comes and goes.
pub(super) struct Session {
    pub(super) device: usize,
    pub(super) away: bool,
    pub(super) cursor: Cursor,
    /// What has come live while it catches up.
    pub(super) catching_up: Option<Vec<(String, Value)>>,
    pub(super) got: Vec<(String, Pos, Option<u64>)>,
}

impl Client {
    /// An answer's entries and then its cursor are written down.
    pub(super) fn written(&mut self, answer: &Value) {
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
    pub(super) fn accept(&mut self, conv: &str, json: &Value) {
        let pos = pos_of(json).unwrap();
        if !self.cursor.covers(pos) {
            self.cursor.advance(pos);
            self.got.push((conv.to_owned(), pos, json["seq"].as_u64()));
        }
    }
}
