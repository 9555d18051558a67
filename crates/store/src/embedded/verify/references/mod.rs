//! Whether every row can be read and what it names is there: of the records alone, without a rule of the messenger.

mod conversations;
mod entries;

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use records::{
    Account, AccountId, AuditRow, Claim, ConversationId, FORMAT_VERSION, Incoming, Outgoing,
    QueuedParts, Retained, Sent, Session, Subscription, Table, Token, Will, describe, key,
};

use conversations::Known;

use super::Check;
use crate::embedded::family::Family;
use crate::embedded::view::View;
use crate::merge::Merge;
use crate::row::Bounds;
use crate::table::TableError;

/// Findings of one kind that are told; more are counted. One block that is lost costs hundreds of rows.
const TOLD_OF_A_KIND: u64 = 20;

/// Why a row is not as it should be, or `Ok`.
type Judged = Result<(), Wrong>;

enum Wrong {
    /// Something is missing, or not what should stand there.
    Fault { kind: &'static str, detail: String },
    /// It belongs to something that has ended.
    Leftover,
}

impl Wrong {
    fn fault(kind: &'static str) -> Self {
        Self::Fault {
            kind,
            detail: String::new(),
        }
    }
}

fn fault(kind: &'static str) -> Judged {
    Err(Wrong::fault(kind))
}

impl<E: std::error::Error> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self::Fault {
            kind: "it cannot be read",
            detail: error.to_string(),
        }
    }
}

/// Checks all rows.
pub(super) fn check(views: &[View], check: &mut Check<'_>) {
    let mut references = References {
        views,
        check,
        told: BTreeMap::new(),
        accounts: HashSet::new(),
        names: HashSet::new(),
        conversations: HashMap::new(),
        slugs: HashMap::new(),
        sessions: HashSet::new(),
    };
    if references.meta() {
        references.accounts();
        references.conversations();
        references.entries();
        references.dedups();
        references.sessions();
        references.queue();
        references.tell_untold();
    }
}

struct References<'a, 'b> {
    views: &'a [View],
    check: &'a mut Check<'b>,
    /// Findings of each kind.
    told: BTreeMap<(Table, &'static str), u64>,
    accounts: HashSet<AccountId>,
    names: HashSet<Box<str>>,
    conversations: HashMap<ConversationId, Known>,
    /// Which group has a slug.
    slugs: HashMap<Box<str>, ConversationId>,
    sessions: HashSet<u64>,
}

impl<'a> References<'a, '_> {
    /// Whether the rows are of the format that this release reads: of others there is nothing to say.
    fn meta(&mut self) -> bool {
        let mut readable = true;
        self.each(Table::Meta, |_, key, value| match key::parse_meta(key)? {
            key::META_FORMAT => {
                readable = value.as_ref() == FORMAT_VERSION.to_be_bytes();
                match readable {
                    true => Ok(()),
                    false => fault("this release does not read this format: rows are not checked"),
                }
            }
            key::META_SECRET if value.len() != 32 => fault("it is no secret of 32 bytes"),
            name if name.starts_with(key::META_POSITIONS) && value.len() != 8 => {
                fault("it is no number of eight bytes")
            }
            _ => Ok(()),
        });
        readable
    }

    fn accounts(&mut self) {
        self.each(Table::Account, |all, key, value| {
            let id = key::parse_account(key)?;
            all.accounts.insert(id);
            let account = Account::decode(value)?;
            match all.names.insert(account.name.as_str().into()) {
                true => Ok(()),
                false => fault("another account has the same name"),
            }
        });
        self.each(Table::Token, |all, key, value| {
            key::parse_token(key)?;
            all.has_account(Token::decode(value)?.account)
        });
        self.each(Table::Usage, |all, key, value| {
            let account = key::parse_usage(key)?;
            key::decode_number(Table::Usage, value)?;
            all.has_account(account)
        });
        self.each(Table::Audit, |_, key, value| {
            key::parse_audit(key)?;
            AuditRow::decode(value)?;
            Ok(())
        });
    }

    fn has_account(&self, id: AccountId) -> Judged {
        match self.accounts.contains(&id) {
            true => Ok(()),
            false => fault("its account does not exist"),
        }
    }

    fn sessions(&mut self) {
        self.each(Table::Session, |all, key, value| {
            key::parse_session(key)?;
            let session = Session::decode(value)?;
            match all.sessions.insert(session.number.value()) {
                true => Ok(()),
                false => fault("another session has the same number"),
            }
        });
        self.each(Table::Subscription, |all, key, value| {
            let (session, _) = key::parse_subscription(key)?;
            Subscription::decode(value)?;
            // Those of a session that has hundreds follow it in pieces.
            match all.sessions.contains(&session.value()) {
                true => Ok(()),
                false => Err(Wrong::Leftover),
            }
        });
        self.each(Table::Outgoing, |all, key, value| {
            let (session, _) = key::parse_outgoing(key)?;
            Outgoing::decode(value)?;
            all.has_session(session.value())
        });
        self.each(Table::Sent, |all, key, value| {
            let (session, _) = key::parse_sent(key)?;
            Sent::decode(value)?;
            // What a session had on its way when it ended.
            match all.sessions.contains(&session.value()) {
                true => Ok(()),
                false => Err(Wrong::Leftover),
            }
        });
        self.each(Table::SentWill, |_, key, value| {
            key::parse_sent_will(key)?;
            Sent::decode(value)?;
            Ok(())
        });
        self.each(Table::Incoming, |all, key, value| {
            let (session, _) = key::parse_incoming(key)?;
            Incoming::decode(value)?;
            all.has_session(session.value())
        });
        self.each(Table::Will, |_, key, value| {
            key::parse_will(key)?;
            Will::decode(value)?;
            Ok(())
        });
    }

    fn has_session(&self, number: u64) -> Judged {
        match self.sessions.contains(&number) {
            true => Ok(()),
            false => fault("its session does not exist"),
        }
    }

    fn queue(&mut self) {
        self.each(Table::Queue, |_, key, value| {
            key::parse_queue(key)?;
            QueuedParts::decode(value)?;
            Ok(())
        });
        self.each(Table::Retained, |_, key, value| {
            key::parse_retained(key)?;
            Retained::decode(value)?;
            Ok(())
        });
        let messages = &self.views[Family::Queue as usize];
        self.each(Table::Claim, |_, key, value| {
            key::parse_claim(key)?;
            let claim = Claim::decode(value)?;
            // Claims of a message that was dropped are struck out together.
            match messages.find(&key::queue(claim.message)) {
                Ok(None) => Err(Wrong::Leftover),
                Ok(Some(_)) | Err(_) => Ok(()),
            }
        });
    }

    /// Judges every row of a table.
    fn each(&mut self, table: Table, mut judge: impl FnMut(&mut Self, &[u8], &Bytes) -> Judged) {
        let mut cursor = Cursor::new(self.views, table);
        while let Some((key, value)) = self.next(&mut cursor) {
            let judged = judge(self, &key, &value);
            self.judge(table, &key, judged);
        }
    }

    /// The next row that can be read: what cannot was told of when its table was read.
    fn next(&mut self, cursor: &mut Cursor) -> Option<(Bytes, Bytes)> {
        loop {
            match cursor.0.next() {
                Ok(None) => return None,
                Ok(Some((row, _))) => {
                    self.check.took(row.bytes() as u64);
                    if let Some(value) = row.value {
                        self.check.outcome.rows += 1;
                        return Some((row.key, value));
                    }
                }
                Err(TableError::Damaged(_)) => {}
                Err(error @ TableError::Io { .. }) => {
                    self.check.finding(error.to_string());
                    return None;
                }
            }
        }
    }

    fn judge(&mut self, table: Table, key: &[u8], judged: Judged) {
        let (kind, detail) = match judged {
            Ok(()) => return,
            Err(Wrong::Leftover) => {
                self.check.outcome.leftovers += 1;
                return;
            }
            Err(Wrong::Fault { kind, detail }) => (kind, detail),
        };
        let count = self.told.entry((table, kind)).or_default();
        *count += 1;
        if *count > TOLD_OF_A_KIND {
            self.check.untold_finding();
            return;
        }
        let row = describe(key);
        self.check.finding(match detail.as_str() {
            "" => format!("{row}: {kind}"),
            detail => format!("{row}: {kind}: {detail}"),
        });
    }

    /// Says of how many rows it was not told.
    fn tell_untold(&mut self) {
        for ((table, kind), count) in std::mem::take(&mut self.told) {
            if let Some(more @ 1..) = count.checked_sub(TOLD_OF_A_KIND) {
                // They are counted already.
                self.check.outcome.findings -= 1;
                self.check
                    .finding(format!("{more} more of the table {table:?}: {kind}"));
            }
        }
    }
}

/// A place among the rows of a table.
struct Cursor(Merge);

impl Cursor {
    fn new(views: &[View], table: Table) -> Self {
        let range = table.range();
        let family = Family::of(&range.from);
        let (rows, _ages) = views[family as usize].merge(&Bounds {
            from: range.from,
            to: range.to,
            reverse: false,
        });
        Self(rows)
    }
}
