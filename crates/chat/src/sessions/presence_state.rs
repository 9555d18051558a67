//! How an account is, and what was told of that.

use std::collections::BTreeMap;

use records::Millis;
use serde::{Deserialize, Serialize};

use crate::nodes::view::NodeId;

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

/// Devices of an account on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Devices {
    #[default]
    None,
    /// Nobody looks at any of them.
    Inactive,
    Active,
}

/// What one node tells the others of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PresenceRow {
    pub(super) devices: Devices,
    /// What it said of itself there, and when.
    pub(super) status: Option<(Millis, Shown)>,
}

impl PresenceRow {
    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known and was told of an account that has a device, or had one a moment ago.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// What it said of itself on this node, and when.
    pub(super) status: Option<(Millis, Shown)>,
    /// What it has on other nodes.
    pub(super) elsewhere: BTreeMap<NodeId, PresenceRow>,
    pub(super) shown: Shown,
    pub(super) since: Option<Millis>,
    pub(super) told: Shown,
    /// Whether somebody was told something else since, who then has to be told again.
    pub(super) is_told_otherwise: bool,
    /// Until when nothing more is told.
    pub(super) quiet_until: Option<Millis>,
    /// When the grace ends, and when the last device went.
    pub(super) gone: Option<(Millis, Millis)>,
}

impl Presence {
    /// Devices on other nodes, those that somebody looks at before others.
    pub(super) fn devices_elsewhere(&self) -> Devices {
        let rows = self.elsewhere.values();
        rows.map(|row| row.devices).max().unwrap_or_default()
    }

    /// What it said of itself last, wherever that was.
    pub(super) fn newest_status(&self) -> Option<&Shown> {
        let others = self.elsewhere.iter().filter_map(|(node, row)| {
            let (at, shown) = row.status.as_ref()?;
            Some((at, Some(node), shown))
        });
        let own = self.status.iter().map(|(at, shown)| (at, None, shown));
        let newest = others.chain(own).max_by_key(|(at, node, _)| (*at, *node));
        newest.map(|(_, _, shown)| shown)
    }

    /// Whether everybody who may know was told how it is.
    pub(super) fn is_told(&self) -> bool {
        self.shown == self.told && !self.is_told_otherwise
    }

    /// Whether nothing is to be told any more of an account without devices.
    pub(super) fn is_settled(&self) -> bool {
        self.gone.is_none() && self.quiet_until.is_none() && self.is_told()
    }
}
