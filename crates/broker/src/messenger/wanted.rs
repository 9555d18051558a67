//! Which of a session's filters under `im/` a packet of the messenger meets, and how the session wants it. `im/` topics are relative
//! to the session and never enter the shard's index.

use std::sync::Arc;

use mqtt_codec::{QoS, topic};

use crate::delivery::waiting::Delivery;
use crate::message::{Message, Origin};
use crate::sessions::session::{ChatFilter, Session};
use crate::stored::queue::Identifiers;

/// How a session wants a packet of the messenger.
pub(crate) struct Wanted {
    pub(crate) qos: QoS,
    identifiers: Identifiers,
}

impl Wanted {
    pub(crate) fn delivery(&self, message: Arc<Message>, origin: Origin) -> Delivery {
        Delivery {
            message,
            qos: self.qos,
            retain: false,
            origin,
            identifiers: self.identifiers.clone(),
        }
    }
}

/// The highest QoS, up to the message's own, and all identifiers of those matching filters that count.
/// [5 MQTT-3.3.4-2] [5 MQTT-3.3.4-4]
pub(crate) fn wanted(
    session: &Session,
    message: &Message,
    counts: impl Fn(&ChatFilter) -> bool,
) -> Option<Wanted> {
    let chat = session.chat.as_ref()?;
    let name = &*message.topic;
    let mut qos = None;
    let mut identifiers = Vec::new();
    for known in chat
        .filters
        .iter()
        .filter(|known| counts(known) && topic::matches(&known.filter, name))
    {
        let granted = QoS::from_bits(known.options & 3).unwrap_or(QoS::AtMostOnce);
        qos = qos.max(Some(granted));
        if known.identifier != 0 {
            identifiers.push(known.identifier);
        }
    }
    let identifiers = (!identifiers.is_empty()).then(|| identifiers.into());
    qos.map(|granted: QoS| Wanted {
        qos: granted.min(message.qos),
        identifiers,
    })
}
