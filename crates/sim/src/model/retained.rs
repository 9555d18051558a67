//! Retained messages: which one may have been a topic's, and which one surely was.

use super::delivery::{came, own_identifier};
use super::session::{Subscription, Version};
use super::{Message, MessageNumber, Model, Verdict};
use crate::wire::Publish;

impl Model {
    /// Whether the packet may be a retained message that followed a subscription.
    /// [3.1.1 MQTT-3.3.1-6] [3.1.1 MQTT-3.3.1-8] [5 MQTT-3.3.1-9]
    pub(super) fn check_retained(
        &self,
        subscription: &Subscription,
        number: MessageNumber,
        publish: &Publish,
    ) -> Verdict {
        let message = &self.messages[number];
        if !message.retain || message.refused {
            return Err("it is not retained".into());
        }
        let fits = subscription.versions.iter().any(|version| {
            version.handling != 2
                && message.qos.min(version.qos) == publish.qos
                && publish.identifiers == own_identifier(version)
                && self.may_be_retained(message, version)
        });
        if fits {
            Ok(())
        } else {
            Err("it is not what was retained when it was subscribed to".into())
        }
    }

    /// Whether no other message had surely taken its place.
    fn may_be_retained(&self, message: &Message, version: &Version) -> bool {
        !self.retained_of(&message.topic).any(|(_, other)| {
            // Nothing is promised of a QoS 0 message: a crash may bring back what it had replaced.
            let kept = other.qos > 0 || self.crashes_since(other.sent) == 0;
            other.sent > message.done && other.done < version.requested && !other.refused && kept
        })
    }

    /// The message that surely was its topic's when a subscription was asked for, and still is.
    pub(super) fn surely_retained(&self, topic: &str, version: &Version) -> Option<MessageNumber> {
        let (number, message) = self
            .retained_of(topic)
            .filter(|(_, message)| came(message.done) && !message.refused)
            .max_by_key(|(_, message)| message.sent)?;
        let alone = self.retained_of(topic).all(|(other, earlier)| {
            other == number || earlier.done < message.sent || earlier.refused
        });
        let stands = alone && message.done < version.requested && !message.payload.is_empty();
        stands.then_some(number)
    }

    fn retained_of<'a>(
        &'a self,
        topic: &'a str,
    ) -> impl Iterator<Item = (MessageNumber, &'a Message)> {
        self.messages
            .iter()
            .enumerate()
            .filter(move |(_, message)| message.retain && message.topic == topic)
    }
}
