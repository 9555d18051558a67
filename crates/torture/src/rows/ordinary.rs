//! What ordinary MQTT is on disk: queued and retained messages, sessions and their subscriptions.

use bytes::Bytes;
use records::{
    AccountId, Cursor, Millis, Pos, QueuedMessage, QueuedParts, Retained, Session, SessionNumber,
    Stamp, Subscription, Write, key,
};

use super::text::{Text, mixed};

/// Subscriptions of a session.
const FILTERS: u64 = 6;
const SENSORS: u64 = 5_000;

/// A message that somebody waits for.
pub(crate) fn queued(stamp: u64, at: u64, payload_bytes: usize, text: &Text) -> Write {
    let topic = topic(mixed(stamp) % SENSORS);
    let parts = QueuedParts {
        publisher: None,
        topic: &topic,
        payload: text.piece(stamp, payload_bytes).as_bytes(),
        qos: 1,
        retain: false,
        properties: &[],
        expires_at: None,
        at: Millis::new(at),
    };
    Write::Put {
        key: key::queue(Stamp::new(stamp)),
        value: parts.encode(),
    }
}

/// The state of some sensor, which replaces the one before.
pub(crate) fn retained(
    sensor: u64,
    stamp: u64,
    at: u64,
    payload_bytes: usize,
    text: &Text,
) -> Write {
    let topic = topic(sensor);
    let message = QueuedMessage {
        publisher: None,
        topic: topic.as_str().into(),
        payload: Bytes::copy_from_slice(text.piece(stamp, payload_bytes).as_bytes()),
        qos: 1,
        retain: true,
        properties: Bytes::new(),
        expires_at: None,
        at: Millis::new(at),
    };
    let retained = Retained {
        stamp: Stamp::new(stamp),
        account: None,
        message,
    };
    Write::Put {
        key: key::retained(&topic),
        value: retained.encode(),
    }
}

/// A session as it stands after its queue has moved on to a stamp.
pub(crate) fn session_cursor(number: u64, stamp: u64) -> Write {
    let session = Session {
        number: SessionNumber::new(number),
        expiry_secs: 3600 * 24,
        disconnected_at: None,
        chat_cursor: Cursor::at(Pos::new(stamp)),
        queue_cursors: vec![Stamp::new(stamp); 2],
        protocol_level: 5,
        progress: Default::default(),
    };
    Write::Put {
        key: key::session(account(number), &client_id(number)),
        value: session.encode(),
    }
}

/// A client that comes, subscribes, and ends its session some day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// Its session.
    pub(crate) number: u64,
}

impl Visit {
    /// The session and its subscriptions.
    pub(crate) fn begun(self) -> Vec<Write> {
        let mut writes = vec![session_cursor(self.number, 0)];
        for nth in 0..FILTERS {
            let subscription = Subscription {
                options: 1,
                since: Stamp::new(self.number),
                ..Subscription::default()
            };
            writes.push(Write::Put {
                key: self.subscription(nth),
                value: subscription.encode(),
            });
        }
        writes
    }

    /// All of it goes.
    pub(crate) fn over(self) -> Vec<Write> {
        let session = key::session(account(self.number), &client_id(self.number));
        (0..FILTERS)
            .map(|nth| self.subscription(nth))
            .chain([session])
            .map(|key| Write::Delete { key })
            .collect()
    }

    fn subscription(self, nth: u64) -> Vec<u8> {
        let filter = topic(mixed(self.number * FILTERS + nth) % SENSORS);
        key::subscription(SessionNumber::new(self.number), &format!("{filter}/{nth}"))
    }
}

fn account(session: u64) -> AccountId {
    AccountId::new(mixed(session) % 20_000 + 1)
}

fn client_id(session: u64) -> String {
    format!("sensor-gateway-{:016x}", mixed(session))
}

fn topic(sensor: u64) -> String {
    format!(
        "site/{}/building/{}/sensor/{sensor}",
        sensor % 7,
        sensor % 61
    )
}
