//! Encodes a message once for all recipients that get the same bytes: one frame per (protocol family, QoS,
//! RETAIN, use of an alias); recipients differ in the packet identifier and the topic alias only, which are patched
//! into each copy.

use std::sync::Arc;

use ahash::RandomState;
use mqtt_codec::{QoS, Version, publish};
use mqtt_session::Alias;
use records::Millis;

use crate::message::{Message, MessageView};

/// Version, QoS and RETAIN in the lower four bits, the kind of alias above them.
const LAYOUTS: usize = 48;

/// Frames of the message at hand; the buffers are kept from message to message.
#[derive(Debug)]
pub(crate) struct FrameCache {
    frames: [Frame; LAYOUTS],
    built: u64,
    /// The message the frames are of, when it is a shared one.
    message: Option<Arc<Message>>,
    /// The message's topic, once somebody keeps it under an alias, and its hash, once somebody asks.
    topic: Option<Arc<str>>,
    topic_hash: Option<u32>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Frame {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    alias_at: Option<usize>,
}

/// How one recipient gets a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) alias: Alias,
    pub(crate) identifiers: &'a [u32],
}

impl FrameCache {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            frames: std::array::from_fn(|_| Frame::default()),
            built: 0,
            message: None,
            topic: None,
            topic_hash: None,
            hasher,
        }
    }

    /// Forgets the last message.
    pub(crate) fn clear(&mut self) {
        self.built = 0;
        self.message = None;
        self.topic = None;
        self.topic_hash = None;
    }

    /// The topic's hash, and the topic to be kept: found out once for all recipients.
    pub(crate) fn topic(&mut self, topic: &str) -> (u32, impl FnOnce() -> Arc<str>) {
        let hasher = &self.hasher;
        let hash = self.topic_hash;
        let hash = hash.unwrap_or_else(|| hasher.hash_one(topic) as u32);
        self.topic_hash = Some(hash);
        let kept = &mut self.topic;
        (hash, move || match kept {
            Some(known) if **known == *topic => known.clone(),
            _ => kept.insert(topic.into()).clone(),
        })
    }

    /// Turns to a message; its frames are kept if it is the last one's, unless they tell a time that is left.
    pub(crate) fn select(&mut self, message: &Arc<Message>) {
        let same = self
            .message
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, message));
        if !same || message.expires_at.is_some() {
            self.clear();
            self.message = Some(message.clone());
        }
    }

    /// Appends the message's frame to `out` under `packet_id` and returns its length.
    pub(crate) fn write(
        &mut self,
        message: MessageView<'_>,
        layout: Layout<'_>,
        packet_id: Option<u16>,
        now: Millis,
        out: &mut Vec<u8>,
    ) -> usize {
        let start = out.len();
        if layout.dup || !layout.identifiers.is_empty() {
            encode(message, layout, packet_id, now, out);
            return out.len() - start;
        }
        let frame = self.frame(message, layout, now);
        out.extend_from_slice(&frame.bytes);
        if let (Some(at), Some(id)) = (frame.packet_id_at, packet_id) {
            out[start + at..start + at + 2].copy_from_slice(&id.to_be_bytes());
        }
        if let (Some(at), Some(alias)) = (frame.alias_at, number(layout.alias)) {
            out[start + at..start + at + 2].copy_from_slice(&alias.to_be_bytes());
        }
        out.len() - start
    }

    /// Bytes the message takes for such a recipient. [5 MQTT-3.1.2-24]
    pub(crate) fn length(
        &mut self,
        message: MessageView<'_>,
        layout: Layout<'_>,
        now: Millis,
    ) -> usize {
        if layout.identifiers.is_empty() {
            return self.frame(message, layout, now).bytes.len();
        }
        let placeholder = (layout.qos != QoS::AtMostOnce).then_some(1);
        let mut bytes = Vec::new();
        encode(message, layout, placeholder, now, &mut bytes);
        bytes.len()
    }

    fn frame(&mut self, message: MessageView<'_>, layout: Layout<'_>, now: Millis) -> &Frame {
        let kind = match layout.alias {
            Alias::None => 0,
            Alias::Set(_) => 1,
            Alias::Use(_) => 2,
        };
        let index = (kind << 4)
            | (usize::from(layout.version == Version::V5) << 3)
            | ((layout.qos as usize) << 1)
            | usize::from(layout.retain);
        let frame = &mut self.frames[index];
        if self.built & (1 << index) == 0 {
            self.built |= 1 << index;
            frame.bytes.clear();
            let plain = Layout {
                dup: false,
                identifiers: &[],
                ..layout
            };
            let placeholder = (layout.qos != QoS::AtMostOnce).then_some(1);
            let places = encode(message, plain, placeholder, now, &mut frame.bytes);
            (frame.packet_id_at, frame.alias_at) = (places.packet_id_at, places.alias_at);
        }
        frame
    }
}

fn encode(
    message: MessageView<'_>,
    layout: Layout<'_>,
    packet_id: Option<u16>,
    now: Millis,
    out: &mut Vec<u8>,
) -> publish::PublishLayout {
    // [5 MQTT-3.3.2-6]: what is left of the interval, rounded up so that a live message never shows zero.
    let expiry = message.expires_at.map(|at| {
        let left = at.value().saturating_sub(now.value()).div_ceil(1000).max(1);
        u32::try_from(left).unwrap_or(u32::MAX)
    });
    let head = publish::PublishHead {
        dup: layout.dup,
        qos: layout.qos,
        retain: layout.retain,
        // [5 MQTT-3.3.2-12]
        topic: match layout.alias {
            Alias::None | Alias::Set(_) => message.topic,
            Alias::Use(_) => "",
        },
        packet_id,
        expiry,
        alias: number(layout.alias),
        subscription_identifiers: layout.identifiers,
        forwarded: message.properties,
    };
    publish::encode(layout.version, head, message.payload, out)
}

fn number(alias: Alias) -> Option<u16> {
    match alias {
        Alias::None => None,
        Alias::Set(alias) | Alias::Use(alias) => Some(alias),
    }
}
