//! The same `mid` of an account in a conversation within seven days is the same message: where its fate is kept on disk.

use records::{AccountId, ConversationId, Dedup, KeyRange, Millis, Sent, SessionMid, key};
use xxhash_rust::xxh3::xxh3_64;

use crate::stored::damaged::Damaged;
use crate::stored::entries::{self, Place};
use crate::stored::source::{Source, Unreadable};

/// Milliseconds of a week, which is how long a mid is remembered.
const WEEK_MILLIS: u64 = 7 * 24 * 3600 * 1000;

/// The week since the epoch under which a moment's mids are kept.
pub(crate) fn week(at: Millis) -> u32 {
    u32::try_from(at.value() / WEEK_MILLIS).unwrap_or(u32::MAX)
}

/// Records that are too old to be asked for: a mid of the week before last is at least seven days old.
pub(crate) fn stale(now: Millis) -> KeyRange {
    key::dedups_before(week(now).saturating_sub(1))
}

/// What tells a payload from another one under the same mid.
pub(crate) fn content(payload: &[u8]) -> u64 {
    xxh3_64(payload)
}

/// What became of a message that has no mid of its own but must not be sent twice.
pub(crate) fn find_sent(
    source: &dyn Source,
    conversation: ConversationId,
    mid: &SessionMid,
) -> Result<Option<Dedup>, Unreadable> {
    let at = mid.key();
    let Some(value) = source.value(&at)? else {
        return Ok(None);
    };
    match Sent::decode(&value) {
        Ok(sent) => Ok((sent.conversation == conversation).then_some(sent.message)),
        Err(error) => {
            source.damaged(&Damaged::new(&at, error));
            Err(Unreadable)
        }
    }
}

/// What became of a mid that was used within the last seven days. One that is damaged is as good as a store that cannot be read:
/// whether the message is stored, nobody can tell.
pub(crate) fn find(
    source: &dyn Source,
    conversation: ConversationId,
    account: AccountId,
    mid: &str,
    now: Millis,
) -> Result<Option<Dedup>, Unreadable> {
    let this_week = week(now);
    for week in [Some(this_week), this_week.checked_sub(1)]
        .into_iter()
        .flatten()
    {
        let at = key::dedup(week, conversation, account, mid);
        let Some(value) = source.value(&at)? else {
            continue;
        };
        let dedup = Dedup::decode(&value).map_err(|error| {
            source.damaged(&Damaged::new(&at, error));
            Unreadable
        })?;
        if now.since(dedup.at) >= WEEK_MILLIS {
            continue;
        }
        let place = Place {
            seq: dedup.seq,
            pos: dedup.pos,
        };
        let there = entries::places(source, conversation, (place, place.next()), 1)?;
        if there.is_empty() {
            source.damaged(&Damaged::untrue(
                &at,
                "it tells of a message that is not there",
            ));
            return Err(Unreadable);
        }
        return Ok(Some(dedup));
    }
    Ok(None)
}
