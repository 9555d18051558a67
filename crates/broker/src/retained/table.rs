//! The retained messages of a shard, and what they count for whom. Each shard keeps all of them.

use std::sync::Arc;

use records::{AccountId, Millis};
use routing::{RetainedCursor, RetainedIndex};

use crate::message::{Message, MessageView};
use crate::retained::message::{RetainedMessage, charge};
use crate::retained::usage::RetainedUsage;
use crate::settings::Limits;

/// The retained messages.
#[derive(Debug)]
pub(crate) struct RetainedMessages {
    index: RetainedIndex<RetainedMessage>,
    /// Of all that are in the index.
    usage: RetainedUsage,
}

/// Some of what is retained under a filter.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) found: Vec<Arc<Message>>,
    /// How many were looked at, with those that had expired.
    pub(crate) looked_at: usize,
    /// Whether there may be others.
    pub(crate) more: bool,
}

impl RetainedMessages {
    pub(crate) fn new() -> Self {
        Self {
            index: RetainedIndex::new(),
            usage: RetainedUsage::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.usage.total().bytes
    }

    /// Whether an account may have this message retained; the topic's present one counts as gone.
    pub(crate) fn may_retain(
        &self,
        account: Option<AccountId>,
        view: MessageView<'_>,
        limits: &Limits,
    ) -> bool {
        let new = charge(account, view);
        let known = self.index.get(view.topic);
        let previous = known.map(|known| known.charge(view.topic));
        self.usage.fits(new, previous, limits)
    }

    /// Makes the message the topic's retained one unless a later one is known; an empty one clears.
    /// [3.1.1 MQTT-3.3.1-5] [3.1.1 MQTT-3.3.1-10] [3.1.1 MQTT-3.3.1-11] [5 MQTT-3.3.1-5]
    pub(crate) fn retain(&mut self, topic: &str, message: RetainedMessage) {
        let known = self.index.get(topic);
        if known.is_some_and(|known| known.stamp() > message.stamp()) {
            return;
        }
        let previous = if message.clears() {
            self.index.remove(topic)
        } else {
            self.usage.add(message.charge(topic));
            self.index.insert(topic, message)
        };
        if let Some(previous) = previous {
            self.usage.remove(previous.charge(topic));
        }
    }

    /// The next messages under a filter, at most so many. What has expired is forgotten: its record stays until a later message
    /// replaces it or recovery passes it over.
    pub(crate) fn next_slice(
        &mut self,
        filter: &str,
        cursor: &mut RetainedCursor,
        most: usize,
        now: Millis,
    ) -> Slice {
        let mut found = Vec::with_capacity(most);
        let mut expired: Vec<Box<str>> = Vec::new();
        let more = self
            .index
            .matching(filter, cursor, most, |topic, retained| {
                if retained.expired(now) {
                    expired.push(topic.into());
                } else {
                    found.push(Arc::new(retained.unpack(topic)));
                }
            });
        let looked_at = found.len() + expired.len();
        for topic in expired {
            if let Some(retained) = self.index.remove(&topic) {
                self.usage.remove(retained.charge(&topic));
            }
        }
        Slice {
            found,
            looked_at,
            more,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mqtt_codec::QoS;
    use records::{Moment, Stamp};

    use super::*;

    const NOW: Millis = Millis::new(1_766_000_000_000);

    fn retained(stamp: u64, payload: &'static str, expires_at: Option<Millis>) -> RetainedMessage {
        let message = Message {
            topic: "a/b".into(),
            payload: Bytes::from(payload),
            properties: Bytes::new(),
            qos: QoS::AtLeastOnce,
            retain: true,
            expires_at,
            at: NOW,
            read_at: Moment::UNKNOWN,
        };
        RetainedMessage::new(Stamp::of(stamp, 0), Some(AccountId::new(7)), &message)
    }

    fn payloads(messages: &mut RetainedMessages) -> Vec<Bytes> {
        let mut cursor = RetainedCursor::default();
        let slice = messages.next_slice("a/#", &mut cursor, 10, NOW);
        let found = slice.found.iter();
        found.map(|message| message.payload.clone()).collect()
    }

    /// Whatever order shards hear of messages in, they agree on the newest; and what is counted is what is there.
    #[test]
    fn the_newest_message_stays_and_is_counted_once() {
        let mut messages = RetainedMessages::new();
        messages.retain("a/b", retained(2, "new", None));
        let bytes = messages.bytes();
        messages.retain("a/b", retained(1, "old and longer", None));
        assert_eq!((messages.len(), messages.bytes()), (1, bytes));
        assert_eq!(payloads(&mut messages), ["new"]);
        messages.retain("a/b", retained(1, "", None));
        assert_eq!(messages.len(), 1, "it was cleared before");
        messages.retain("a/b", retained(3, "", None));
        assert_eq!((messages.len(), messages.bytes()), (0, 0));
    }

    #[test]
    fn what_has_expired_is_no_longer_counted() {
        let mut messages = RetainedMessages::new();
        messages.retain("a/b", retained(1, "late", Some(NOW)));
        assert!(messages.bytes() > 0);
        assert!(payloads(&mut messages).is_empty());
        assert_eq!((messages.len(), messages.bytes()), (0, 0));
    }
}
