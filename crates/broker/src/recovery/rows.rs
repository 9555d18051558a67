//! What rows must say for shards to take them back. Their form has been read already; a damaged one may have kept it. A
//! row that could make a client get what is no MQTT, or the clock stand still, is told when the server starts.

use mqtt_codec::{QoS, publish, topic};
use records::{
    Claim, KeyError, Outgoing, OutgoingState, QueuedParts, RecordError, Session, Stamp,
    Subscription, Table,
};

use crate::message::is_stamp;
use crate::messenger::topics::is_chat;

/// The protocol levels of MQTT 3.1, 3.1.1 and 5.
const LEVELS: std::ops::RangeInclusive<u8> = 3..=5;
/// [5 MQTT-1.5.5-1]
const IDENTIFIER_MAX: u32 = 268_435_455;
/// Bits of subscription options that mean something.
const OPTION_BITS: u8 = 0x3F;
const NOTHING_MORE: &str = "it says what no client can have asked for";

pub(crate) fn check_session(session: &Session) -> Result<(), RecordError> {
    let stamps = session.queue_cursors.iter().copied();
    let sound = LEVELS.contains(&session.protocol_level)
        && is_stamp(Stamp::new(session.number.value()))
        && stamps.into_iter().all(is_stamp)
        && session
            .progress
            .under_way
            .iter()
            .all(|(_, packet_id)| *packet_id != 0);
    sound_or("session", sound)
}

pub(crate) fn check_subscription(
    filter: &str,
    subscription: &Subscription,
) -> Result<(), RecordError> {
    let until = &subscription.until;
    let mut former = subscription.former.iter();
    // Groups and the messenger match no message again.
    let matched = topic::shared(filter).is_none() && !is_chat(filter);
    let sound = is_filter(filter)
        && are_terms(subscription.options, subscription.identifier)
        && is_stamp(subscription.since)
        && until.iter().copied().all(is_stamp)
        && (matched || (until.is_empty() && subscription.former.is_empty()))
        && former.all(|terms| {
            are_terms(terms.options, terms.identifier)
                && is_stamp(terms.since)
                && terms.until.iter().copied().all(is_stamp)
        });
    sound_or("subscription", sound)
}

/// Whether a subscription can have been made with these options and identifier.
fn are_terms(options: u8, identifier: Option<u32>) -> bool {
    options & !OPTION_BITS == 0
        && QoS::from_bits(options & 3).is_some()
        && options >> 4 != 3
        && identifier.unwrap_or(0) <= IDENTIFIER_MAX
}

pub(crate) fn check_outgoing(outgoing: &Outgoing) -> Result<(), RecordError> {
    let identifiers = outgoing.identifiers.as_deref().unwrap_or_default();
    let known = |identifier| (1..=IDENTIFIER_MAX).contains(identifier);
    // One that is over has given its packet identifier back.
    let sound = (outgoing.packet_id != 0 || outgoing.state == OutgoingState::Done)
        && identifiers.iter().all(known);
    sound_or("outgoing", sound)
}

pub(crate) fn check_claim(claim: &Claim) -> Result<(), RecordError> {
    let group = topic::shared(&claim.group).is_some() && is_filter(&claim.group);
    sound_or("claim", group && is_stamp(claim.message))
}

/// A message of the queue, retained, or of a will.
pub(crate) fn check_message(
    record: &'static str,
    message: &QueuedParts<'_>,
) -> Result<(), RecordError> {
    let sound = is_string(message.topic)
        && topic::is_name(message.topic)
        && publish::are_forwarded(message.properties);
    sound_or(record, sound)
}

/// A value's stamp.
pub(crate) fn check_stamp(record: &'static str, stamp: Stamp) -> Result<(), RecordError> {
    sound_or(record, is_stamp(stamp))
}

/// A key's part that must not be zero, or a stamp that can be one.
pub(crate) fn check_key(table: Table, key: &[u8], sound: bool) -> Result<(), KeyError> {
    let bytes = key.len();
    if sound {
        Ok(())
    } else {
        Err(KeyError::Malformed { table, bytes })
    }
}

fn is_filter(filter: &str) -> bool {
    is_string(filter) && topic::is_filter(filter)
}

/// [5 MQTT-1.5.4-2] [3.1.1 MQTT-1.5.3-2]
fn is_string(text: &str) -> bool {
    u16::try_from(text.len()).is_ok() && !text.as_bytes().contains(&0)
}

fn sound_or(record: &'static str, sound: bool) -> Result<(), RecordError> {
    if sound {
        Ok(())
    } else {
        Err(RecordError::Malformed {
            record,
            detail: NOTHING_MORE,
        })
    }
}
