//! One `[[acl]]`: its keys, and what is written before it becomes an `AccessRule`.

use super::check;
use super::slot::{Applies, Key, Slot};

/// One `[[acl]]` as written; the parser makes an `AccessRule` of it.
#[derive(Clone, Default)]
pub(super) struct RuleDraft {
    /// Index into `ACTIONS`, or none.
    pub(super) allow: Option<usize>,
    pub(super) deny: Option<usize>,
    pub(super) filter: String,
    pub(super) who: String,
}

/// What a rule may be about, as written.
pub(super) const ACTIONS: &[&str] = &["publish", "subscribe", "all"];

/// The keys of one `[[acl]]`.
pub(super) static RULE: &[Key<RuleDraft>] = &[
    Key {
        name: "allow",
        slot: Slot::Choice {
            words: ACTIONS,
            index: |r| r.allow.unwrap_or(0),
            choose: |r, index| r.allow = Some(index),
        },
        applies: Applies::OnReload,
        about: "What is allowed. A rule has either `allow` or `deny`.",
    },
    Key {
        name: "deny",
        slot: Slot::Choice {
            words: ACTIONS,
            index: |r| r.deny.unwrap_or(0),
            choose: |r, index| r.deny = Some(index),
        },
        applies: Applies::OnReload,
        about: "What is denied.",
    },
    Key {
        name: "filter",
        slot: Slot::Text {
            at: |r| &mut r.filter,
            check: check::topic_filter,
            expected: "a topic filter",
        },
        applies: Applies::OnReload,
        about: "Which topics: a topic filter. The level `%u` stands for the account's name, `%c` for the client id, as in `devices/%u/#`.",
    },
    Key {
        name: "who",
        slot: Slot::Text {
            at: |r| &mut r.who,
            check: check::who,
            expected: "an account name, `*` or `anonymous`",
        },
        applies: Applies::OnReload,
        about: "Whom it concerns: an account name, `*` for everybody (the default), or `anonymous` for clients without an account.",
    },
];
