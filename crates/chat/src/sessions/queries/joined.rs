//! The conversations of an account as the store lists them. Runs where a disk may be waited for.

use records::{AccountId, ConversationId, Joined, KeyRange, Place, key};

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
    let mut slices = Slices::of(account);
    while let Some(slice) = slices.next(source)? {
        for (id, row) in slice {
            take(id, row)?;
        }
    }
    Ok(())
}

/// The same, so many at a time.
pub(crate) struct Slices {
    /// What has not been read; `None` at the end.
    left: Option<KeyRange>,
}

impl Slices {
    pub(crate) fn of(account: AccountId) -> Self {
        let left = Some(key::joined_by(account));
        Self { left }
    }

    pub(crate) fn next(
        &mut self,
        source: &dyn Source,
    ) -> Result<Option<Vec<(ConversationId, Joined)>>, Unreadable> {
        let Some(mut range) = self.left.take() else {
            return Ok(None);
        };
        let rows = source.rows(&range, End::First, SLICE, usize::MAX)?;
        if let Some((last, _)) = rows.last()
            && rows.len() == SLICE
        {
            range.from = [last, &[0][..]].concat();
            self.left = Some(range);
        }
        let mut slice = Vec::with_capacity(rows.len());
        for (at, value) in &rows {
            let row = match key::parse_joined(at) {
                Ok((_, id)) => Joined::decode(value)
                    .map(|row| (id, row))
                    .map_err(|error| Damaged::new(at, error)),
                Err(error) => Err(Damaged::new(at, error)),
            };
            match row {
                Ok(row) => slice.push(row),
                Err(damaged) => source.damaged(&damaged),
            }
        }
        Ok(Some(slice))
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
