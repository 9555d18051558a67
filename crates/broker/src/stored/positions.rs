//! How far a session has come with what is stored, and under which keys that stands on disk. It looks at one session at a time
//! and changes nothing.

use records::{AccountId, Cursor, SessionNumber, Stamp, Write, key};

use crate::message::Origin;
use crate::sessions::session::Session;

/// Per shard of origin, the newest stored message below which a session has nothing to do: of what it has been sent, up to
/// what it has not finished. Stamps of one shard arrive in order, those of different shards do not, hence one for each.
pub(crate) fn queue_cursors(session: &Session, sent: Vec<Stamp>) -> Vec<Stamp> {
    let mut cursors = sent;
    let flights = session.outbound.iter().flat_map(|outbound| outbound.iter());
    let begun = flights.filter_map(|flight| match flight.item.origin {
        Origin::Queue(stamp) => Some(stamp),
        Origin::Memory | Origin::Share { .. } | Origin::Chat { .. } | Origin::Claim { .. } => None,
    });
    stand_before(&mut cursors, begun);
    cursors.retain(|cursor| *cursor != Stamp::ZERO);
    cursors
}

/// Sets cursors before whichever of these messages their shards have stamped.
pub(crate) fn stand_before(cursors: &mut [Stamp], stamps: impl Iterator<Item = Stamp>) {
    for stamp in stamps {
        if let Some(cursor) = cursors.get_mut(usize::from(stamp.shard())) {
            *cursor = (*cursor).min(stamp.before());
        }
    }
}

/// Strikes out the claim that a delivery answers.
pub(crate) fn claim_delete(origin: Origin) -> Option<Write> {
    let Origin::Claim {
        stored: Some(stored),
        ..
    } = origin
    else {
        return None;
    };
    Some(Write::Delete {
        key: key::claim(stored.claim),
    })
}

/// Whether the cursors of a session are past a stored message.
pub(crate) fn is_covered(cursors: &[Stamp], stamp: Stamp) -> bool {
    cursors
        .iter()
        .any(|cursor| cursor.shard() == stamp.shard() && *cursor >= stamp)
}

/// The key of a session's record.
pub(crate) fn session_key(session: &Session) -> Vec<u8> {
    key::session(
        session.account.unwrap_or(AccountId::ZERO),
        &session.client_id,
    )
}

/// The messenger's entries with which a session has nothing to do any more: of what it has been sent, what it has finished, in each
/// partition up to what it has not. `latest` is how far the messenger has come.
pub(crate) fn chat_cursor(session: &Session, latest: &Cursor) -> Cursor {
    let Some(chat) = &session.chat else {
        return latest.clone();
    };
    let mut cursor = chat.sent.clone();
    for flight in session.outbound.iter().flat_map(|outbound| outbound.iter()) {
        match flight.item.origin {
            Origin::Chat { pos, .. } => cursor.withdraw(pos),
            Origin::Memory | Origin::Share { .. } | Origin::Queue(_) | Origin::Claim { .. } => {}
        }
    }
    cursor
}

/// Whether a session number stands for a stored session.
pub(crate) fn stored_number(number: SessionNumber) -> Option<SessionNumber> {
    (number != SessionNumber::ZERO).then_some(number)
}
