//! From rows back to the messenger: accounts, tokens, conversations, members, before the first input. What cannot be used stops
//! the start; what belongs to nothing is left out and told. No number that any row names is given again. Must not read entries
//! but the newest of each conversation.

use std::collections::BTreeSet;

use bytes::Bytes;
use records::{
    Account, AccountId, Conversation, ConversationId, ConversationKind, Entry, KeyRange, Member,
    Millis, Pos, Seq, Table, Token, key,
};

use crate::chat::Chat;
use crate::damaged::Damaged;
use crate::door::CredentialsChange;
use crate::ended::Ended;
use crate::source::{End, Source, Unreadable};
use crate::wire;

/// Rows read at once.
const SLICE: usize = 4_096;
/// Ids, numbers and positions that a server can have counted to: JavaScript's numbers are exact up to twice as many, and one more
/// every microsecond gets there in 142 years.
const COUNT_MAX: u64 = 1 << 52;
/// Entries of a conversation among which its newest message is looked for.
const NEWEST_MAX: usize = 8;
const NEWEST_BYTES_MAX: usize = 64 * 1024;

/// Why the messenger cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A row is damaged, and nothing can be done without it.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Takes back everything but the messages. `credentials` hears of every account and token there is.
///
/// # Errors
/// When the store or a row cannot be read. The messenger is of no use then.
pub fn recover(
    source: &dyn Source,
    chat: &mut Chat,
    mut credentials: impl FnMut(CredentialsChange),
    now: Millis,
) -> Result<(), RecoveryError> {
    let mut recovery = Recovery {
        source,
        chat,
        ended: Vec::new(),
        doubtful: BTreeSet::new(),
    };
    each(source, Table::Account, |key, value| {
        let (id, account) = recovery.account(key, value)?;
        credentials(CredentialsChange::Account { id, account });
        Ok(())
    })?;
    each(source, Table::Token, |key, value| {
        if let Some(change) = recovery.token(key, value)? {
            credentials(change);
        }
        Ok(())
    })?;
    let mut last = ConversationId::ZERO;
    each(source, Table::Conversation, |key, value| {
        let id = recovery.conversation(key, value)?;
        recovery.strays_between(last, id)?;
        last = id;
        Ok(())
    })?;
    recovery.strays_between(last, ConversationId::new(COUNT_MAX + 1))?;
    each(source, Table::Member, |key, value| {
        Ok(recovery.member(key, value)?)
    })?;
    recovery.settle_direct_chats();
    recovery.settle_empty_groups()?;
    let Recovery { chat, ended, .. } = recovery;
    chat.end_leftovers(&ended);
    chat.finish_recovery(now);
    Ok(())
}

impl Chat {
    /// An account that something outside of the messenger belongs to, though it may not exist any more: its id is not given to
    /// somebody else.
    pub fn reserve_account(&mut self, id: AccountId) {
        if id.value() <= COUNT_MAX {
            self.directory.reserve(id);
        }
    }
}

struct Recovery<'a> {
    source: &'a dyn Source,
    chat: &'a mut Chat,
    /// Groups that ended in earlier runs.
    ended: Vec<Ended>,
    /// Direct chats with a member who is neither of the two: whose they are cannot be told.
    doubtful: BTreeSet<ConversationId>,
}

impl Recovery<'_> {
    fn account(&mut self, key: &[u8], value: &Bytes) -> Result<(AccountId, Account), Damaged> {
        let id = key::parse_account(key).map_err(|error| Damaged::new(key, error))?;
        let account = Account::decode(value).map_err(|error| Damaged::new(key, error))?;
        check_count(key, id.value())?;
        if self.chat.directory.is_taken(account.name.as_str()) {
            return Err(Damaged::untrue(key, "another account has the same name"));
        }
        self.chat.directory.insert(id, account.clone());
        Ok((id, account))
    }

    fn token(&mut self, key: &[u8], value: &Bytes) -> Result<Option<CredentialsChange>, Damaged> {
        let sha256 = key::parse_token(key).map_err(|error| Damaged::new(key, error))?;
        let token = Token::decode(value).map_err(|error| Damaged::new(key, error))?;
        self.reserve(key, token.account)?;
        if !self.chat.directory.insert_token(sha256, &token) {
            self.leave_out(key, "its account does not exist");
            return Ok(None);
        }
        Ok(Some(CredentialsChange::Token {
            sha256,
            account: token.account,
            expires: token.expires,
        }))
    }

    fn conversation(&mut self, key: &[u8], value: &Bytes) -> Result<ConversationId, RecoveryError> {
        let id = key::parse_conversation(key).map_err(|error| Damaged::new(key, error))?;
        let record = Conversation::decode(value).map_err(|error| Damaged::new(key, error))?;
        check_count(key, id.value())?;
        self.reserve(key, record.created_by)?;
        let newest = self.newest(&key::entries(id), 1)?;
        let last_pos = last_pos(&newest)?;
        let last_seq = self.last_seq(id, &newest)?;
        self.chat.log.recover(last_pos);
        self.chat.rooms.reserve(id);
        match &record.kind {
            ConversationKind::Direct { low, high } => {
                self.reserve(key, *low)?;
                self.reserve(key, *high)?;
                let directory = &self.chat.directory;
                if low > high {
                    let what = "it is a direct chat of two accounts in the wrong order";
                    return Err(Damaged::untrue(key, what).into());
                }
                if directory.find(*low).is_none() || directory.find(*high).is_none() {
                    self.leave_out(key, "an account of it does not exist");
                    return Ok(id);
                }
            }
            ConversationKind::Group { slug, .. } => {
                if self.chat.rooms.group(slug.as_str()).is_some() {
                    let what = "another group has the same address";
                    return Err(Damaged::untrue(key, what).into());
                }
            }
            ConversationKind::Ended { newest } => {
                let newest = *newest;
                check_count(key, newest.value())?;
                self.chat.log.recover(newest);
                let remains = last_seq > Seq::ZERO || last_pos > Pos::ZERO;
                self.ended.push(Ended {
                    id,
                    newest,
                    remains,
                });
            }
        }
        self.chat.rooms.insert(id, record, last_seq, last_pos);
        Ok(id)
    }

    /// The highest number in a conversation, even if its row is lost and only the message is left.
    fn last_seq(
        &mut self,
        id: ConversationId,
        newest: &[(Bytes, Bytes)],
    ) -> Result<Seq, RecoveryError> {
        let mut last = Seq::ZERO;
        let numbers = self.newest(&key::seqs(id), 1)?;
        if let Some((key, value)) = numbers.first() {
            let (_, seq) = key::parse_seq(key).map_err(|error| Damaged::new(key, error))?;
            check_count(key, seq.value())?;
            last = seq;
            // Its entry may be lost, but sessions may have it: they would pass another one in the same place.
            if let Ok(pos) = key::decode_pos(value)
                && pos.value() <= COUNT_MAX
            {
                self.chat.log.recover(pos);
            }
        }
        // Mostly the newest entry is a message.
        let message = match newest_message(newest) {
            None if !newest.is_empty() => {
                newest_message(&self.newest(&key::entries(id), NEWEST_MAX)?)
            }
            found => found,
        };
        if let Some(seq) = message.filter(|seq| *seq > last) {
            let what = "it is missing, though its message is there";
            self.source
                .damaged(&Damaged::untrue(&key::seq(id, seq), what));
            last = seq;
        }
        Ok(last)
    }

    fn newest(&self, range: &KeyRange, count: usize) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        self.source.rows(range, End::Last, count, NEWEST_BYTES_MAX)
    }

    /// Entries and numbers of conversations between two, which therefore do not exist: what comes next must not take their place.
    fn strays_between(
        &mut self,
        after: ConversationId,
        before: ConversationId,
    ) -> Result<(), RecoveryError> {
        let (mut entry, mut number) = (after, after);
        while entry.next() < before {
            let range = KeyRange {
                from: key::entry(entry.next(), Pos::ZERO),
                to: key::entry(before, Pos::ZERO),
            };
            let Some((key, _)) = self.first(&range)? else {
                break;
            };
            let (id, _) = key::parse_entry(&key).map_err(|error| Damaged::new(&key, error))?;
            let last_pos = last_pos(&self.newest(&key::entries(id), 1)?)?;
            self.chat.log.recover(last_pos);
            self.stray_conversation(&key, id);
            entry = id;
        }
        while number.next() < before {
            let range = KeyRange {
                from: key::seq(number.next(), Seq::ZERO),
                to: key::seq(before, Seq::ZERO),
            };
            let Some((key, _)) = self.first(&range)? else {
                break;
            };
            let (id, _) = key::parse_seq(&key).map_err(|error| Damaged::new(&key, error))?;
            self.stray_conversation(&key, id);
            number = id;
        }
        Ok(())
    }

    fn first(&self, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, Unreadable> {
        let found = self.source.rows(range, End::First, 1, 1)?;
        Ok(found.into_iter().next())
    }

    fn stray_conversation(&mut self, key: &[u8], id: ConversationId) {
        self.chat.rooms.reserve(id);
        self.leave_out(key, "its conversation does not exist");
    }

    fn member(&mut self, key: &[u8], value: &Bytes) -> Result<(), Damaged> {
        let (id, account) = key::parse_member(key).map_err(|error| Damaged::new(key, error))?;
        let mut member = Member::decode(value).map_err(|error| Damaged::new(key, error))?;
        check_count(key, id.value())?;
        // Nobody has joined at a position that was not given.
        if member.joined.value() > COUNT_MAX {
            return Err(Damaged::untrue(key, BEYOND));
        }
        self.reserve(key, account)?;
        self.chat.rooms.reserve(id);
        self.chat.log.recover(member.joined);
        let Some(room) = self.chat.rooms.find_mut(id) else {
            match self.ended.binary_search_by_key(&id, |ended| ended.id) {
                Ok(at) => self.ended[at].remains = true,
                Err(_) => self.leave_out(key, "its conversation does not exist"),
            }
            return Ok(());
        };
        if self.chat.directory.find(account).is_none() {
            self.leave_out(key, "its account does not exist");
            return Ok(());
        }
        if let ConversationKind::Direct { low, high } = room.record.kind
            && account != low
            && account != high
        {
            self.doubtful.insert(id);
            return Ok(());
        }
        let last = room.last_seq;
        if member.read.max(member.received) > last {
            member.read = member.read.min(last);
            member.received = member.received.min(last);
            let what = "it has read messages that are not there";
            self.source.damaged(&Damaged::untrue(key, what));
        }
        self.chat.directory.join(account, id, &member);
        room.insert(account, member);
        Ok(())
    }

    /// A direct chat has the two members that it names, who have no other. Where one is missing or somebody else is there, any of
    /// these rows may be the damaged one: it might be anybody's, and is served to nobody.
    fn settle_direct_chats(&mut self) {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.extend(self.chat.rooms.incomplete());
        for id in doubtful {
            self.leave_out_chat(id, "it is a direct chat whose members are not its two");
        }
        for id in self.chat.rooms.pair_up() {
            self.leave_out_chat(id, "the same two accounts have another direct chat");
        }
    }

    fn leave_out_chat(&mut self, id: ConversationId, what: &'static str) {
        let members = self.chat.rooms.find(id).map(|room| room.members().to_vec());
        for (account, member) in members.unwrap_or_default() {
            self.chat.directory.leave(account, id, &member);
        }
        self.chat.rooms.end(id);
        self.leave_out(&key::conversation(id), what);
    }

    /// A group that everybody has left says so in its newest entry. One that has nobody without a word has lost them otherwise, and
    /// keeps what was said in it too.
    fn settle_empty_groups(&mut self) -> Result<(), Unreadable> {
        for id in self.chat.rooms.empty() {
            let newest = self.newest(&key::entries(id), 1)?;
            let newest = newest
                .first()
                .and_then(|(_, value)| Entry::decode(value).ok());
            let left =
                newest.filter(|entry| entry.seq.is_none() && wire::is_last_leave(&entry.wire));
            let last = left.map(|entry| entry.from);
            if last.is_none() {
                let what = "it is a group without members: kept, but nobody sees it";
                self.leave_out(&key::conversation(id), what);
            }
            self.chat.abandon(id, last);
        }
        Ok(())
    }

    fn reserve(&mut self, key: &[u8], account: AccountId) -> Result<(), Damaged> {
        check_count(key, account.value())?;
        self.chat.directory.reserve(account);
        Ok(())
    }

    fn leave_out(&mut self, key: &[u8], what: &'static str) {
        self.chat.counters.strays += 1;
        self.source.damaged(&Damaged::untrue(key, what));
    }
}

const BEYOND: &str = "it names a number that no server has counted to";

/// The newest position in a conversation. Its entry may be damaged: its key is enough.
fn last_pos(newest: &[(Bytes, Bytes)]) -> Result<Pos, Damaged> {
    let Some((key, _)) = newest.first() else {
        return Ok(Pos::ZERO);
    };
    let (_, pos) = key::parse_entry(key).map_err(|error| Damaged::new(key, error))?;
    check_count(key, pos.value())?;
    Ok(pos)
}

/// The number of the first message among entries.
fn newest_message(entries: &[(Bytes, Bytes)]) -> Option<Seq> {
    entries
        .iter()
        .filter_map(|(_, value)| Entry::decode(value).ok())
        .find_map(|entry| entry.seq)
        .filter(|seq| seq.value() <= COUNT_MAX)
}

/// A number that was counted from one on.
fn check_count(key: &[u8], number: u64) -> Result<(), Damaged> {
    if (1..=COUNT_MAX).contains(&number) {
        Ok(())
    } else {
        Err(Damaged::untrue(key, BEYOND))
    }
}

/// Every row of a table, in order and in slices.
fn each(
    source: &dyn Source,
    table: Table,
    mut take: impl FnMut(&[u8], &Bytes) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let mut rest = table.range();
    loop {
        let slice = source.rows(&rest, End::First, SLICE, usize::MAX)?;
        for (key, value) in &slice {
            take(key, value)?;
        }
        match slice.last() {
            Some((last, _)) if slice.len() == SLICE => rest.from = [last.as_ref(), &[0]].concat(),
            Some(_) | None => return Ok(()),
        }
    }
}
