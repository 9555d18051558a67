//! What the users of all devices have done, and what they were told became of it. It outlives every crash of a device.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// See the file's header.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By mid.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// The highest confirmed and the highest attempted `read`, by account and conversation.
    pub(crate) reads: BTreeMap<(String, String), (u64, u64)>,
    /// Slugs that somebody has tried to delete.
    pub(crate) deleted: BTreeSet<String>,
    /// Answers to a mid that are not what was answered before.
    pub(crate) contradictions: Vec<String>,
}

/// A message.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) account: String,
    pub(crate) conv: String,
    pub(crate) text: String,
    /// Its `seq`, once somebody has said it.
    pub(crate) seq: Option<u64>,
    /// Why the user was told that it was not sent.
    pub(crate) refused: Option<String>,
}

impl Ledger {
    /// An `im/ack`. Answers whether the message need not be sent again.
    pub(crate) fn acknowledged(&mut self, mid: &str, ack: &Value) -> bool {
        let sent = (self.sent.get_mut(mid)).unwrap_or_else(|| panic!("im/ack/{mid}: {ack}"));
        if ack["ok"] == true {
            assert_eq!(ack["conv"], *sent.conv, "im/ack/{mid}: {ack}");
            let seq = ack["seq"].as_u64();
            if sent.seq.is_some_and(|before| Some(before) != seq)
                && !self.deleted.contains(&sent.conv)
            {
                self.contradictions
                    .push(format!("{mid} of {sent:?}: {ack}"));
            }
            // Its author may have forgotten that it was refused before, and sent it again.
            (sent.seq, sent.refused) = (seq, None);
            return true;
        }
        let error = ack["error"].as_str().expect("a refusal has a code");
        if matches!(error, "quota" | "disk_full" | "unavailable") {
            return false;
        }
        if sent.seq.is_none() {
            sent.refused = Some(error.to_owned());
        } else if !self.deleted.contains(&sent.conv) {
            self.contradictions
                .push(format!("{mid} of {sent:?}: {ack}"));
        }
        true
    }
}
