//! The log of what was changed and by whom: accounts, roles, passwords, tokens and limits, one line for each change, with the
//! target `audit`. A line is written when the change is on disk. Never a password nor a token.

use std::net::IpAddr;

use crate::config::Changes;
use crate::handle::{AccountRole, Actor};

/// A change under way.
pub(super) struct Change {
    pub(super) by: Actor,
    pub(super) what: What,
    /// The name of the account that is changed.
    pub(super) account: String,
}

/// What is changed.
pub(super) enum What {
    Added(AccountRole),
    Password,
    Disabled,
    Enabled,
    Removed,
    /// A login has made a token for this device.
    TokenMade(String),
    TokenRevoked,
}

impl What {
    pub(super) fn of_disabled(disabled: bool) -> Self {
        if disabled {
            Self::Disabled
        } else {
            Self::Enabled
        }
    }
}

impl Change {
    /// Says it in the log.
    pub(super) fn tell(&self) {
        let Self { by, what, account } = self;
        let (by, from) = words(by);
        let what = match what {
            What::Added(role) => {
                let role = match role {
                    AccountRole::Admin => "admin",
                    AccountRole::Member => "member",
                };
                return tracing::info!(target: "audit", by, from, account, role, "account added");
            }
            What::TokenMade(device) => {
                return tracing::info!(target: "audit", by, from, account, device, "token made");
            }
            What::Password => "password changed, tokens revoked",
            What::Disabled => "account disabled",
            What::Enabled => "account enabled",
            What::Removed => "account removed",
            What::TokenRevoked => "token revoked",
        };
        tracing::info!(target: "audit", by, from, account, "{what}");
    }
}

/// Says in the log which values a reload has changed.
pub(super) fn tell_reload(changes: &Changes) {
    for change in &changes.values {
        let (key, before, after) = (&change.key, &change.before, &change.after);
        tracing::info!(target: "audit", by = "SIGHUP", key, before, after, "configuration changed");
    }
}

/// Who, and from where.
fn words(actor: &Actor) -> (&str, String) {
    let from = |address: &IpAddr| address.to_canonical().to_string();
    match actor {
        Actor::Account { name, address } => (name.as_str(), from(address)),
        Actor::SetupLink { address } => ("one-time link", from(address)),
        Actor::ControlSocket { user } => ("control socket", format!("user {user}")),
        Actor::CommandLine => ("command line", "this machine".to_owned()),
    }
}
