//! The form in which a retained message is kept. It knows nothing of topics' order, limits or delivery.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::QoS;
use records::{AccountId, Millis, Moment, Retained, Stamp, Write, key};

use crate::message::{Message, MessageView};
use crate::retained::usage::Charge;

/// Bytes before the rest: stamp, time, flags. Behind them stand, if the flags say so, the account, the expiry, and the length of the
/// properties with the properties; the payload is the rest.
const HEAD: usize = 8 + 8 + 1;
/// What the tables take for a topic beside its text and its message: allocations, references, a place in the tree.
const ENTRY_BYTES: usize = 96;
const QOS: u8 = 0b011;
const EXPIRES: u8 = 0b100;
const PROPERTIES: u8 = 0b1000;
const ACCOUNT: u8 = 0b1_0000;

/// What is retained for a topic, in one allocation that all shards share: there may be a million of them, and most are
/// never looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedMessage(Arc<[u8]>);

impl RetainedMessage {
    /// Packs a message; `stamp` orders those of one topic, and its share of what may be retained is the account's.
    pub fn new(stamp: Stamp, account: Option<AccountId>, message: &Message) -> Self {
        let mut flags = message.qos as u8;
        let mut bytes = Vec::with_capacity(
            packed_len(account, message.expires_at, message.properties.len())
                + message.payload.len(),
        );
        bytes.extend_from_slice(&stamp.value().to_le_bytes());
        bytes.extend_from_slice(&message.at.value().to_le_bytes());
        bytes.push(0);
        if let Some(account) = account {
            flags |= ACCOUNT;
            bytes.extend_from_slice(&account.value().to_le_bytes());
        }
        if let Some(at) = message.expires_at {
            flags |= EXPIRES;
            bytes.extend_from_slice(&at.value().to_le_bytes());
        }
        if !message.properties.is_empty() {
            flags |= PROPERTIES;
            let len = u32::try_from(message.properties.len());
            let len = len.expect("a packet is shorter than 256 MiB");
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(&message.properties);
        }
        bytes[HEAD - 1] = flags;
        bytes.extend_from_slice(&message.payload);
        Self(bytes.into())
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::new(self.number(0))
    }

    fn has(&self, flag: u8) -> bool {
        self.0[HEAD - 1] & flag != 0
    }

    fn account(&self) -> Option<AccountId> {
        self.has(ACCOUNT).then(|| AccountId::new(self.number(HEAD)))
    }

    /// Where the expiry stands, if there is one.
    fn behind_account(&self) -> usize {
        if self.has(ACCOUNT) { HEAD + 8 } else { HEAD }
    }

    fn expires_at(&self) -> Option<Millis> {
        let at = self.behind_account();
        self.has(EXPIRES).then(|| Millis::new(self.number(at)))
    }

    pub(crate) fn expired(&self, now: Millis) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    pub(crate) fn clears(&self) -> bool {
        self.properties_and_payload().1.is_empty()
    }

    fn properties_and_payload(&self) -> (&[u8], &[u8]) {
        let behind_account = self.behind_account();
        let expiry_bytes = if self.has(EXPIRES) { 8 } else { 0 };
        let rest = &self.0[behind_account + expiry_bytes..];
        match rest.split_first_chunk::<4>() {
            Some((len, rest)) if self.has(PROPERTIES) => {
                rest.split_at(u32::from_le_bytes(*len) as usize)
            }
            Some(_) | None => (&[], rest),
        }
    }

    /// Who is charged for it, and for how many bytes of memory: its own and its topic's, roughly.
    pub(crate) fn charge(&self, topic: &str) -> Charge {
        Charge {
            account: self.account(),
            bytes: ENTRY_BYTES + topic.len() + self.0.len(),
        }
    }

    /// The message again.
    pub(crate) fn unpack(&self, topic: &str) -> Message {
        let (properties, payload) = self.properties_and_payload();
        Message {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            properties: Bytes::copy_from_slice(properties),
            qos: QoS::from_bits(self.0[HEAD - 1] & QOS).expect("it was one"),
            retain: true,
            expires_at: self.expires_at(),
            at: Millis::new(self.number(8)),
            read_at: Moment::UNKNOWN,
        }
    }

    fn number(&self, at: usize) -> u64 {
        let bytes = self.0[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes"))
    }
}

/// What a message would be charged if it were retained.
pub(crate) fn charge(account: Option<AccountId>, view: MessageView<'_>) -> Charge {
    let packed = packed_len(account, view.expires_at, view.properties.len()) + view.payload.len();
    Charge {
        account,
        bytes: ENTRY_BYTES + view.topic.len() + packed,
    }
}

/// Bytes a message takes without its payload.
fn packed_len(account: Option<AccountId>, expires_at: Option<Millis>, properties: usize) -> usize {
    let account = account.map_or(0, |_| 8);
    let expiry = expires_at.map_or(0, |_| 8);
    let properties = if properties == 0 { 0 } else { 4 + properties };
    HEAD + account + expiry + properties
}

/// Writes what a message does to the retained one of its topic.
pub(crate) fn retained_write(message: &Message, stamp: Stamp, account: Option<AccountId>) -> Write {
    let key = key::retained(&message.topic);
    if message.payload.is_empty() {
        return Write::Delete { key };
    }
    Write::Put {
        key,
        value: Retained {
            stamp,
            account,
            message: message.to_record(None),
        }
        .encode(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let accounts = [None, Some(AccountId::new(3))];
        let expiries = [None, Some(Millis::new(5))];
        for (account, expires_at) in accounts
            .into_iter()
            .flat_map(|account| expiries.map(|at| (account, at)))
        {
            for properties in [&b""[..], b"\x03\x00\x01x"] {
                for payload in [&b""[..], b"p", &[7; 300]] {
                    let message = Message {
                        topic: "a/b".into(),
                        payload: Bytes::copy_from_slice(payload),
                        properties: Bytes::copy_from_slice(properties),
                        qos: QoS::ExactlyOnce,
                        retain: true,
                        expires_at,
                        at: Millis::new(9),
                        read_at: Moment::UNKNOWN,
                    };
                    let packed = RetainedMessage::new(Stamp::new(77), account, &message);
                    assert_eq!(packed.unpack("a/b"), message);
                    assert_eq!(packed.stamp(), Stamp::new(77));
                    assert_eq!(packed.clears(), payload.is_empty());
                    assert_eq!(packed.expired(Millis::new(5)), expires_at.is_some());
                    assert_eq!(packed.account(), account);
                    let (told, expected) = (packed.charge("a/b"), charge(account, message.view()));
                    assert_eq!((told.account, told.bytes), (account, expected.bytes));
                }
            }
        }
    }
}
