//! From rows back to the messenger: accounts and tokens, and how far positions had come, before the first input. What cannot be used
//! stops the start; what belongs to nothing is left out and told. Conversations are read when they are needed.

use bytes::Bytes;
use records::{Account, AccountId, KeyRange, Millis, Table, Token, key};

use crate::accounts::is_count;
use crate::chat::Chat;
use crate::io::CredentialsChange;
use crate::stored::damaged::Damaged;
use crate::stored::source::{End, Source, Unreadable};

/// Rows read at once.
const SLICE: usize = 4_096;
/// Damaged keys that are passed over where the last sound one is looked for.
const DAMAGED_MAX: usize = 64;
const BEYOND: &str = "it names a number that no server has counted to";

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

/// Takes back accounts and tokens; `credentials` hears of every one there is.
///
/// # Errors
/// When the store or a row cannot be read. The messenger is of no use then.
pub fn recover(
    source: &dyn Source,
    chat: &mut Chat,
    mut credentials: impl FnMut(CredentialsChange),
    now: Millis,
) -> Result<(), RecoveryError> {
    let mut strays = 0;
    each(source, Table::Account.range(), |key, value| {
        let (id, account) = recover_account(chat, key, value)?;
        credentials(CredentialsChange::Account { id, account });
        Ok(())
    })?;
    each(source, Table::Token.range(), |key, value| {
        match recover_token(chat, key, value)? {
            Some(change) => credentials(change),
            None => {
                strays += 1;
                let what = "its account does not exist";
                source.damaged(&Damaged::untrue(key, what));
            }
        }
        Ok(())
    })?;
    chat.accounts.count_strays(strays);
    reserve_joined(source, chat)?;
    each(source, key::all_positions(), |key, value| {
        let ceiling =
            key::decode_number(Table::Meta, value).map_err(|error| Damaged::new(key, error))?;
        if ceiling >= records::Pos::END.tick() {
            return Err(Damaged::untrue(key, BEYOND).into());
        }
        chat.conversations.recover_positions(ceiling);
        Ok(())
    })?;
    let mut ended = Vec::new();
    each(source, key::all_ended(), |key, _| {
        match key::parse_ended(key) {
            Ok(id) => ended.push(id),
            Err(error) => source.damaged(&Damaged::new(key, error)),
        }
        Ok(())
    })?;
    chat.finish_recovery(&ended, source, now);
    Ok(())
}

/// An account whose row is lost took part in something: who got its number would get that.
fn reserve_joined(source: &dyn Source, chat: &mut Chat) -> Result<(), RecoveryError> {
    let mut range = Table::Joined.range();
    for _ in 0..DAMAGED_MAX {
        let Some(last) = source.keys(&range, End::Last, 1)?.pop() else {
            return Ok(());
        };
        let damaged = match key::parse_joined(&last) {
            Ok((account, _)) if is_count(account.value()) => {
                chat.accounts.reserve(account);
                return Ok(());
            }
            Ok(_) => Damaged::untrue(&last, BEYOND),
            Err(error) => Damaged::new(&last, error),
        };
        source.damaged(&damaged);
        range.to = last.to_vec();
    }
    Ok(())
}

fn recover_account(
    chat: &mut Chat,
    key: &[u8],
    value: &Bytes,
) -> Result<(AccountId, Account), Damaged> {
    let id = key::parse_account(key).map_err(|error| Damaged::new(key, error))?;
    let account = Account::decode(value).map_err(|error| Damaged::new(key, error))?;
    if !is_count(id.value()) {
        return Err(Damaged::untrue(key, BEYOND));
    }
    if !chat.accounts.recover(id, account.clone()) {
        return Err(Damaged::untrue(key, "another account has the same name"));
    }
    Ok((id, account))
}

/// `None` if its account does not exist.
fn recover_token(
    chat: &mut Chat,
    key: &[u8],
    value: &Bytes,
) -> Result<Option<CredentialsChange>, Damaged> {
    let sha256 = key::parse_token(key).map_err(|error| Damaged::new(key, error))?;
    let token = Token::decode(value).map_err(|error| Damaged::new(key, error))?;
    if !is_count(token.account.value()) {
        return Err(Damaged::untrue(key, BEYOND));
    }
    chat.accounts.reserve(token.account);
    Ok(chat
        .accounts
        .recover_token(sha256, &token)
        .then_some(CredentialsChange::Token {
            sha256,
            account: token.account,
            expires: token.expires,
        }))
}

/// Every row of a range, in order and in slices.
fn each(
    source: &dyn Source,
    mut rest: KeyRange,
    mut take: impl FnMut(&[u8], &Bytes) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
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
