//! The server's own figures under `$SYS/`: kept as they were told last and sent to new subscriptions like retained
//! messages, to established ones when they come. It counts nothing itself, and nothing of it is stored.

use std::sync::Arc;

use mqtt_codec::{QoS, topic};
use records::{Millis, SessionRef};

use crate::delivery::deliver::Publication;
use crate::message::{Message, Origin};
use crate::sessions::session::{Delivery, NO_SESSION};
use crate::shard::Shard;

/// First level of the tree.
const TREE: &str = "$SYS";

/// Whether a filter asks for the server's figures. Wildcards at the beginning never do
/// [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1].
pub(crate) fn is_system(filter: &str) -> bool {
    filter
        .strip_prefix(TREE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a topic name or filter begins in a tree that is the server's and in which it serves nothing. What nobody may
/// publish to, nobody need wait for.
pub(crate) fn is_reserved(filter: &str) -> bool {
    filter.starts_with('$') && !is_system(filter)
}

impl Shard {
    /// New figures; an empty one is gone.
    pub(crate) fn update_system_figures(&mut self, figures: &[Arc<Message>], now: Millis) {
        for figure in figures {
            if figure.payload.is_empty() {
                self.system.remove(&figure.topic);
                continue;
            }
            self.system.insert(figure.topic.clone(), figure.clone());
            let mut publication = Publication {
                view: figure.view(),
                shared: Some(figure.clone()),
                stamp: None,
                publisher: SessionRef {
                    shard: self.peers.own(),
                    slot: NO_SESSION,
                    generation: 0,
                },
                now,
            };
            self.deliver_here(&mut publication);
        }
    }

    /// The figures as they stand, for a new subscription.
    pub(crate) fn send_system(&mut self, slot: u32, filter: &str, identifier: u32, now: Millis) {
        let wanted: Vec<Arc<Message>> = self
            .system
            .values()
            .filter(|figure| topic::matches(filter, &figure.topic))
            .cloned()
            .collect();
        for message in wanted {
            let delivery = Delivery {
                message,
                qos: QoS::AtMostOnce,
                retain: true,
                origin: Origin::Memory,
                identifiers: (identifier != 0).then(|| [identifier].into()),
            };
            self.deliver_retained(slot, delivery, now);
        }
    }
}
