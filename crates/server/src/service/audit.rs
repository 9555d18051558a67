//! What was changed and by whom: accounts, roles, passwords, tokens and limits, and groups that an administrator deleted. Each change is a line of the log, with the target
//! `audit`, and a row of the audit table, both once the change is on disk. Never a password nor a token.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use records::{AuditRow, Millis, Table, Write, key};
use store::{Append, CommitterHandle, Outcome, Range, Sink, Store, Submitter, Ticket};

use super::describe;
use crate::config::{Changes, ServerConfig};
use crate::handle::{AccountRole, Actor};
use crate::mailbox::Mailbox;
use crate::post::ServiceEvent;

/// How often old rows are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Rows that one append deletes; the rest follows at the next look.
const DELETED_MAX: usize = 1_000;
/// Bytes of one text of a row: a value of the configuration may be a long list.
const TEXT_BYTES_MAX: usize = 1_024;

/// A change under way.
pub(super) struct Change {
    pub(super) by: Actor,
    pub(super) what: What,
    /// The name of the account that is changed, or the address of the group.
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
    GroupDeleted,
}

/// The audit table, as far as it is in memory.
pub(super) struct Audit {
    rows: Rows,
    submitter: Submitter,
    next_ticket: u64,
    next_look: Instant,
    dropped: metrics::Counter,
}

impl Audit {
    /// Of what stands in the store.
    pub(super) fn new(
        store: &dyn Store,
        committer: &CommitterHandle,
        service: Mailbox<ServiceEvent>,
    ) -> Self {
        metrics::describe_counter!(
            "magpie_audit_rows_dropped_total",
            "Rows of the audit table deleted because there were too many, not because of their age."
        );
        Self {
            rows: Rows::read(store),
            submitter: committer.submitter(Arc::new(AuditSink(service))),
            next_ticket: 0,
            next_look: Instant::now(),
            dropped: metrics::counter!("magpie_audit_rows_dropped_total"),
        }
    }

    /// A change is on disk: it is said in the log, and kept.
    pub(super) fn change(&mut self, change: &Change, limits: &ServerConfig, now: Millis) {
        let row = change.row();
        let AuditRow {
            by, from, detail, ..
        } = &row;
        let account = &change.account;
        match &change.what {
            What::Added(_) => {
                tracing::info!(target: "audit", by, from, account, role = detail, "account added");
            }
            What::TokenMade(_) => {
                tracing::info!(target: "audit", by, from, account, device = detail, "token made");
            }
            What::GroupDeleted => {
                tracing::info!(target: "audit", by, from, group = account, "group deleted");
            }
            What::Password
            | What::Disabled
            | What::Enabled
            | What::Removed
            | What::TokenRevoked => {
                tracing::info!(target: "audit", by, from, account, "{}", row.what);
            }
        }
        self.keep(&row, limits, now);
    }

    /// A reload has changed values; `limits` are the new ones.
    pub(super) fn reload(&mut self, changes: &Changes, limits: &ServerConfig, now: Millis) {
        const BY: &str = "SIGHUP";
        const WHAT: &str = "configuration changed";
        for change in &changes.values {
            let (key, before, after) = (&change.key, &change.before, &change.after);
            tracing::info!(target: "audit", by = BY, key, before, after, "{WHAT}");
            let row = AuditRow {
                by: BY.to_owned(),
                from: "this machine".to_owned(),
                what: WHAT.to_owned(),
                about: key.clone(),
                detail: format!("{before} -> {after}"),
            };
            self.keep(&row, limits, now);
        }
    }

    /// Deletes what is too old, every once in a while.
    pub(super) fn look(&mut self, limits: &ServerConfig, now: Millis) {
        if Instant::now() < self.next_look {
            return;
        }
        self.next_look = Instant::now() + LOOK_INTERVAL;
        let deleted = self.deletions(limits, now);
        if !deleted.is_empty() {
            self.submit(deleted);
        }
    }

    fn keep(&mut self, row: &AuditRow, limits: &ServerConfig, now: Millis) {
        let mut row = row.clone();
        for text in [&mut row.about, &mut row.detail] {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        let (at, number) = self.rows.add(now);
        let mut writes = self.deletions(limits, now);
        writes.push(Write::Put {
            key: key::audit(at, number),
            value: row.encode(),
        });
        self.submit(writes);
    }

    fn deletions(&mut self, limits: &ServerConfig, now: Millis) -> Vec<Write> {
        let Surplus { keys, too_many } = self.rows.surplus(limits, now);
        self.dropped.increment(too_many);
        let delete = |(at, number)| Write::Delete {
            key: key::audit(at, number),
        };
        keys.into_iter().map(delete).collect()
    }

    fn submit(&mut self, writes: Vec<Write>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let append = Append {
            ticket,
            preconditions: Vec::new(),
            writes,
        };
        // Refused only when the committer has ended, and the server with it.
        drop(self.submitter.submit(append));
    }
}

/// The keys of the table, the oldest first.
struct Rows(VecDeque<(Millis, u64)>);

/// Rows that are no longer kept.
struct Surplus {
    keys: Vec<(Millis, u64)>,
    /// How many of them for their number, not for their age.
    too_many: u64,
}

impl Rows {
    fn read(store: &dyn Store) -> Self {
        match store.keys(&Range::forward(Table::Audit.range(), usize::MAX)) {
            Ok(keys) => Self(keys.iter().flat_map(|key| key::parse_audit(key)).collect()),
            Err(error) => {
                tracing::error!(%error, "the audit table cannot be read; its rows stay as they are");
                Self(VecDeque::new())
            }
        }
    }

    /// The key of one more, behind all others whatever the clock says.
    fn add(&mut self, now: Millis) -> (Millis, u64) {
        let key = match self.0.back() {
            Some((at, number)) if *at >= now => (*at, number + 1),
            Some(_) | None => (now, 0),
        };
        self.0.push_back(key);
        key
    }

    /// Takes out what is too old or too many, some at a time.
    fn surplus(&mut self, limits: &ServerConfig, now: Millis) -> Surplus {
        let oldest = Millis::new(
            now.value()
                .saturating_sub(limits.audit_age_max.as_millis() as u64),
        );
        let mut surplus = Surplus {
            keys: Vec::new(),
            too_many: 0,
        };
        while surplus.keys.len() < DELETED_MAX
            && let Some(key) = self.0.front().copied()
        {
            let is_old = key.0 < oldest;
            if !is_old && self.0.len() <= limits.audit_rows_max {
                break;
            }
            self.0.pop_front();
            surplus.keys.push(key);
            surplus.too_many += u64::from(!is_old);
        }
        surplus
    }
}

/// Tells the service if a row cannot be written: nothing can be then.
struct AuditSink(Mailbox<ServiceEvent>);

impl Sink for AuditSink {
    fn appended(&self, _: &[Ticket], outcome: &Outcome) {
        match outcome {
            Outcome::Committed => {}
            failure => {
                self.0.send(ServiceEvent::Failed(describe(failure)));
            }
        }
    }
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
    fn row(&self) -> AuditRow {
        let (by, from) = words(&self.by);
        let (what, detail) = match &self.what {
            What::Added(AccountRole::Admin) => ("account added", "admin"),
            What::Added(AccountRole::Member) => ("account added", "member"),
            What::Password => ("password changed, tokens revoked", ""),
            What::Disabled => ("account disabled", ""),
            What::Enabled => ("account enabled", ""),
            What::Removed => ("account removed", ""),
            What::TokenMade(device) => ("token made", device.as_str()),
            What::TokenRevoked => ("token revoked", ""),
            What::GroupDeleted => ("group deleted", ""),
        };
        AuditRow {
            by: by.to_owned(),
            from,
            what: what.to_owned(),
            about: self.account.clone(),
            detail: detail.to_owned(),
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn the_audit_is_bounded_in_rows_and_in_age() {
        let day = |day: u64| Millis::new(day * 24 * 3600 * 1000);
        let limits = ServerConfig {
            audit_rows_max: 3,
            ..ServerConfig::default()
        };
        let mut rows = Rows(VecDeque::new());
        let keys: Vec<_> = [100, 100, 101, 99, 150]
            .map(|at| rows.add(day(at)))
            .to_vec();
        // A clock that goes back does not put a row in front of others.
        let expected = [(100, 0), (100, 1), (101, 0), (101, 1), (150, 0)];
        assert_eq!(keys, expected.map(|(at, number)| (day(at), number)));
        let surplus = rows.surplus(&limits, day(150));
        assert_eq!((surplus.keys, surplus.too_many), (keys[..2].to_vec(), 2));
        assert!(
            rows.surplus(&limits, day(191)).keys.is_empty(),
            "90 days to the day"
        );
        let surplus = rows.surplus(&limits, day(192));
        assert_eq!((surplus.keys, surplus.too_many), (keys[2..4].to_vec(), 0));
        assert_eq!(rows.0.len(), 1);
        // Some at a time.
        for at in 0..2_000 {
            rows.add(Millis::new(day(192).value() + at));
        }
        assert_eq!(rows.surplus(&limits, day(192)).keys.len(), DELETED_MAX);
        assert_eq!(rows.surplus(&limits, day(192)).keys.len(), 998);
        assert_eq!(rows.0.len(), 3);
    }
}
