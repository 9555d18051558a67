//! One delivery per session where several of its subscriptions match the same topic. It does not look anything
//! up.

use smallvec::SmallVec;

use crate::subscriber::{Subscriber, merged_options};

/// A session that receives a topic, once, whatever the number of its matching subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Slot of the session in its shard.
    pub session: u32,
    options: u8,
    durable: bool,
    identifiers: SmallVec<[u32; 4]>,
}

impl Match {
    /// The highest QoS granted, 0 to 2. [3.1.1 MQTT-3.3.5-1] [5 MQTT-3.3.4-2]
    pub fn qos(&self) -> u8 {
        self.as_subscriber().qos()
    }

    /// Whether every matching subscription keeps the session's own messages from it.
    pub fn no_local(&self) -> bool {
        self.as_subscriber().no_local()
    }

    /// Whether any matching subscription wants RETAIN as it was published.
    pub fn retain_as_published(&self) -> bool {
        self.as_subscriber().retain_as_published()
    }

    /// Whether any matching subscription is durable.
    pub fn durable(&self) -> bool {
        self.durable
    }

    /// Identifiers of all matching subscriptions that have one; equal ones are repeated, as the specification
    /// has it (section 3.3.4). [5 MQTT-3.3.4-4]
    pub fn identifiers(&self) -> &[u32] {
        &self.identifiers
    }

    fn as_subscriber(&self) -> Subscriber {
        Subscriber {
            session: self.session,
            identifier: 0,
            options: self.options,
            durable: self.durable,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.options = merged_options(self.options, other.options);
        self.durable |= other.durable;
        self.identifiers.extend_from_slice(&other.identifiers);
    }
}

impl From<&Subscriber> for Match {
    fn from(subscriber: &Subscriber) -> Self {
        let mut identifiers = SmallVec::new();
        if subscriber.identifier != 0 {
            identifiers.push(subscriber.identifier);
        }
        Self {
            session: subscriber.session,
            // Retain handling matters when subscribing only.
            options: merged_options(subscriber.options, subscriber.options),
            durable: subscriber.durable,
            identifiers,
        }
    }
}

/// Joins the matches of each session into one; afterwards they are ordered by session.
pub(crate) fn join_sessions(matches: &mut Vec<Match>) {
    matches.sort_unstable_by_key(|found| found.session);
    matches.dedup_by(|later, kept| {
        let same = later.session == kept.session;
        if same {
            kept.merge(later);
        }
        same
    });
}
