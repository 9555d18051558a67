//! The server's figures on their way to clients: to new subscriptions like retained messages, to established ones when
//! they come.

use std::sync::Arc;

use mqtt_codec::QoS;
use records::{Millis, SessionRef};

use crate::delivery::publication::Publication;
use crate::delivery::waiting::Delivery;
use crate::message::{Message, Origin};
use crate::sessions::session::NO_SESSION;
use crate::shard::Shard;

impl Shard {
    /// New figures; an empty one is gone.
    pub(crate) fn update_system_figures(&mut self, figures: &[Arc<Message>], now: Millis) {
        for figure in figures {
            if !self.metrics.system.update(figure) {
                continue;
            }
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
        for message in self.metrics.system.matching(filter) {
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
