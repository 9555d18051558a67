//! How an account is, and what was told of that.

use records::Millis;
use serde::{Deserialize, Serialize};

/// How an account is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Online,
    Away,
    Busy,
    #[default]
    Offline,
}

/// How an account is, and what it says about that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) text: Box<str>,
}

/// What is known and was told of an account that has a device, or had one a moment ago.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// What it said of itself.
    pub(super) status: Option<Shown>,
    pub(super) shown: Shown,
    pub(super) since: Option<Millis>,
    pub(super) told: Shown,
    /// Until when nothing more is told.
    pub(super) quiet_until: Option<Millis>,
    /// When the grace ends, and when the last device went.
    pub(super) gone: Option<(Millis, Millis)>,
}

impl Presence {
    /// Whether nothing is to be told any more of an account without devices.
    pub(super) fn is_settled(&self) -> bool {
        self.gone.is_none() && self.quiet_until.is_none() && self.shown == self.told
    }
}
