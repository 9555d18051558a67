//! The conversations of an account as the store lists them. Runs where a disk may be waited for.

use records::{AccountId, ConversationId, Joined, Place, key};

use crate::format::wire;
use crate::sessions::queries::names::Names;
use crate::stored::damaged::Damaged;
use crate::stored::source::{End, Source, Unreadable};

/// Rows read at once.
const SLICE: usize = 1_024;

/// Every conversation that an account takes part in, or once did; damaged rows are told of and left out.
pub(crate) fn each(
    source: &dyn Source,
    account: AccountId,
    mut take: impl FnMut(ConversationId, Joined) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut range = key::joined_by(account);
    loop {
        let rows = source.rows(&range, End::First, SLICE, usize::MAX)?;
        for (at, value) in &rows {
            let row = match key::parse_joined(at) {
                Ok((_, id)) => Joined::decode(value)
                    .map(|row| (id, row))
                    .map_err(|error| Damaged::new(at, error)),
                Err(error) => Err(Damaged::new(at, error)),
            };
            match row {
                Ok((id, row)) => take(id, row)?,
                Err(damaged) => source.damaged(&damaged),
            }
        }
        match rows.last() {
            Some((last, _)) if rows.len() == SLICE => range.from = [last, &[0][..]].concat(),
            Some(_) | None => return Ok(()),
        }
    }
}

/// One of them.
pub(crate) fn find(
    source: &dyn Source,
    account: AccountId,
    conversation: ConversationId,
) -> Result<Option<Joined>, Unreadable> {
    let at = key::joined(account, conversation);
    let Some(value) = source.value(&at)? else {
        return Ok(None);
    };
    match Joined::decode(&value) {
        Ok(row) => Ok(Some(row)),
        Err(error) => {
            source.damaged(&Damaged::new(&at, error));
            Err(Unreadable)
        }
    }
}

/// What the account calls it.
pub(crate) fn conv(
    place: &Place,
    names: &Names,
    source: &dyn Source,
) -> Result<Option<Box<str>>, Unreadable> {
    match place {
        Place::Group { slug } => Ok(Some(slug.as_str().into())),
        Place::Direct { peer } => {
            let shown = names.find(*peer, source)?;
            Ok(shown.map(|shown| wire::direct(&shown.name)))
        }
    }
}
