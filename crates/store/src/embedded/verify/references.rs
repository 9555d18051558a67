//! Whether every row can be read and what it names is there: of the records alone, without a rule of the messenger.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use records::{
    Account, Claim, Conversation, ConversationKind, Dedup, Entry, FORMAT_VERSION, Incoming, Member,
    Outgoing, QueuedParts, Retained, Session, Subscription, Table, Token, Will, describe, key,
};

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

/// A conversation, as far as others name it.
#[derive(Clone, Copy)]
enum Known {
    Direct { low: u64, high: u64 },
    Group,
    Ended,
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
        slugs: HashSet::new(),
        sessions: HashSet::new(),
    };
    references.meta();
    references.accounts();
    references.conversations();
    references.entries();
    references.dedups();
    references.sessions();
    references.queue();
    references.tell_untold();
}

struct References<'a, 'b> {
    views: &'a [View],
    check: &'a mut Check<'b>,
    /// Findings of each kind.
    told: BTreeMap<(Table, &'static str), u64>,
    accounts: HashSet<u64>,
    names: HashSet<Box<str>>,
    conversations: HashMap<u64, Known>,
    slugs: HashSet<Box<str>>,
    sessions: HashSet<u64>,
}

impl<'a> References<'a, '_> {
    fn meta(&mut self) {
        self.each(Table::Meta, |_, key, value| match key::parse_meta(key)? {
            key::META_FORMAT => {
                let found = value.as_ref().try_into().map(u32::from_be_bytes);
                match found {
                    Ok(1..=FORMAT_VERSION) => Ok(()),
                    Ok(_) | Err(_) => fault("it is no version of this release"),
                }
            }
            key::META_SECRET if value.len() != 32 => fault("it is no secret of 32 bytes"),
            _ => Ok(()),
        });
    }

    fn accounts(&mut self) {
        self.each(Table::Account, |all, key, value| {
            let id = key::parse_account(key)?;
            all.accounts.insert(id.value());
            let account = Account::decode(value)?;
            match all.names.insert(account.name.as_str().into()) {
                true => Ok(()),
                false => fault("another account has the same name"),
            }
        });
        self.each(Table::Token, |all, key, value| {
            key::parse_token(key)?;
            all.has_account(Token::decode(value)?.account.value())
        });
    }

    fn has_account(&self, id: u64) -> Judged {
        match self.accounts.contains(&id) {
            true => Ok(()),
            false => fault("its account does not exist"),
        }
    }

    fn conversations(&mut self) {
        self.each(Table::Conversation, |all, key, value| {
            let id = key::parse_conversation(key)?.value();
            let known = match Conversation::decode(value) {
                Ok(conversation) => conversation.kind,
                Err(error) => {
                    // It is there: what is in it is not without a conversation.
                    all.conversations.insert(id, Known::Group);
                    return Err(error.into());
                }
            };
            let (known, judged) = match known {
                ConversationKind::Ended { .. } => (Known::Ended, Ok(())),
                ConversationKind::Group { slug, .. } => {
                    let judged = match all.slugs.insert(slug.as_str().into()) {
                        true => Ok(()),
                        false => fault("another group has the same address"),
                    };
                    (Known::Group, judged)
                }
                ConversationKind::Direct { low, high } => {
                    let (low, high) = (low.value(), high.value());
                    let judged = if low > high {
                        fault("it is a direct chat of two accounts in the wrong order")
                    } else {
                        all.has_account(low).and_then(|()| all.has_account(high))
                    };
                    (Known::Direct { low, high }, judged)
                }
            };
            all.conversations.insert(id, known);
            judged
        });
        self.members();
    }

    fn members(&mut self) {
        let mut of_direct: HashMap<u64, HashSet<u64>> = HashMap::new();
        self.each(Table::Member, |all, key, value| {
            let (conversation, account) = key::parse_member(key)?;
            let (conversation, account) = (conversation.value(), account.value());
            let known = all.conversations.get(&conversation).copied();
            if let Some(Known::Direct { .. }) = known {
                of_direct.entry(conversation).or_default().insert(account);
            }
            Member::decode(value)?;
            match known {
                None => return fault("its conversation does not exist"),
                Some(Known::Ended) => return fault("its conversation has ended"),
                Some(Known::Direct { low, high }) if account != low && account != high => {
                    return fault("it is in a direct chat of two others");
                }
                Some(Known::Direct { .. } | Known::Group) => {}
            }
            all.has_account(account)
        });
        let mut lacking: Vec<u64> = Vec::new();
        for (id, known) in &self.conversations {
            if let Known::Direct { low, high } = known {
                let members = of_direct.get(id);
                let is_there = |account| members.is_some_and(|members| members.contains(account));
                if !is_there(low) || !is_there(high) {
                    lacking.push(*id);
                }
            }
        }
        lacking.sort_unstable();
        for id in lacking {
            let key = key::conversation(records::ConversationId::new(id));
            let judged = fault("one of its two members is missing");
            self.judge(Table::Conversation, &key, judged);
        }
    }

    /// Messages and their numbers, side by side: both stand in one order.
    fn entries(&mut self) {
        let mut entries = Cursor::new(self.views, Table::Entry);
        let mut numbers = Cursor::new(self.views, Table::Seq);
        let mut message = self.next_message(&mut entries);
        let mut number = self.next_number(&mut numbers);
        loop {
            let order = match (&message, &number) {
                (None, None) => return,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(message), Some(number)) => {
                    (message.conversation, message.seq).cmp(&(number.conversation, number.seq))
                }
            };
            match order {
                std::cmp::Ordering::Equal => {
                    if let (Some(message), Some(number)) = (&message, &number)
                        && message.pos != number.pos
                    {
                        let judged = fault("it names another entry than its message's");
                        self.judge(Table::Seq, &number.key, judged);
                    }
                    message = self.next_message(&mut entries);
                    number = self.next_number(&mut numbers);
                }
                std::cmp::Ordering::Less => {
                    if let Some(message) = message.take() {
                        let judged =
                            self.unless_ended(message.conversation, "its number is missing");
                        self.judge(Table::Entry, &message.key, judged);
                    }
                    message = self.next_message(&mut entries);
                }
                std::cmp::Ordering::Greater => {
                    if let Some(number) = number.take() {
                        let judged =
                            self.unless_ended(number.conversation, "its message is missing");
                        self.judge(Table::Seq, &number.key, judged);
                    }
                    number = self.next_number(&mut numbers);
                }
            }
        }
    }

    /// What is in a conversation that has ended goes in pieces.
    fn unless_ended(&self, conversation: u64, kind: &'static str) -> Judged {
        match self.conversations.get(&conversation) {
            Some(Known::Ended) => Err(Wrong::Leftover),
            Some(Known::Direct { .. } | Known::Group) => fault(kind),
            None => fault("its conversation does not exist"),
        }
    }

    fn next_message(&mut self, entries: &mut Cursor) -> Option<Numbered> {
        loop {
            let (key, value) = self.next(entries)?;
            let read = || -> Result<Option<Numbered>, Wrong> {
                let (conversation, pos) = key::parse_entry(&key)?;
                let entry = Entry::decode(&value)?;
                if entry.pos != pos {
                    return Err(Wrong::fault("it says another position than its key"));
                }
                Ok(entry.seq.map(|seq| Numbered {
                    key: key.clone(),
                    conversation: conversation.value(),
                    seq: seq.value(),
                    pos: pos.value(),
                }))
            };
            match read() {
                Ok(Some(message)) => return Some(message),
                // Events have no number.
                Ok(None) => {}
                Err(wrong) => self.judge(Table::Entry, &key, Err(wrong)),
            }
        }
    }

    fn next_number(&mut self, numbers: &mut Cursor) -> Option<Numbered> {
        loop {
            let (key, value) = self.next(numbers)?;
            let read = || -> Result<Numbered, Wrong> {
                let (conversation, seq) = key::parse_seq(&key)?;
                Ok(Numbered {
                    key: key.clone(),
                    conversation: conversation.value(),
                    seq: seq.value(),
                    pos: key::decode_pos(&value)?.value(),
                })
            };
            match read() {
                Ok(number) => return Some(number),
                Err(wrong) => self.judge(Table::Seq, &key, Err(wrong)),
            }
        }
    }

    fn dedups(&mut self) {
        let entries = &self.views[Family::Entry as usize];
        self.each(Table::Dedup, |all, key, value| {
            key::parse_dedup(key)?;
            let dedup = Dedup::decode(value)?;
            // A mid outlives its message: what is no longer there is not missing.
            if !all.conversations.contains_key(&dedup.conversation.value()) {
                return Err(Wrong::Leftover);
            }
            let Ok(Some(entry)) = entries.find(&key::entry(dedup.conversation, dedup.pos)) else {
                return Ok(());
            };
            match Entry::decode(&entry).map(|entry| entry.seq) {
                Ok(seq) if seq != Some(dedup.seq) => fault("it names another message's place"),
                Ok(_) | Err(_) => Ok(()),
            }
        });
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

/// A message, or the row that says where it stands.
struct Numbered {
    key: Bytes,
    conversation: u64,
    seq: u64,
    pos: u64,
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
