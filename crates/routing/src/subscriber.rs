//! One subscription as the index keeps it, and what other shards need to know of a filter.

const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;

/// One session's subscription to a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscriber {
    /// Slot of the session in its shard.
    pub session: u32,
    /// Subscription identifier; zero for none.
    pub identifier: u32,
    /// Subscription options as MQTT 5 writes them (section 3.8.3.1): QoS, no local, retain as published, retain
    /// handling. MQTT 3.1.1 uses the QoS bits only.
    pub options: u8,
    /// Whether messages wait for this session while it is offline, and must be on disk.
    pub durable: bool,
}

impl Subscriber {
    /// Maximum QoS granted, 0 to 2.
    pub fn qos(&self) -> u8 {
        self.options & QOS
    }

    /// Whether the session's own messages are kept from it.
    pub fn no_local(&self) -> bool {
        self.options & NO_LOCAL != 0
    }

    /// Whether RETAIN is forwarded as it was published.
    pub fn retain_as_published(&self) -> bool {
        self.options & RETAIN_AS_PUBLISHED != 0
    }
}

/// Options of one delivery for two subscriptions of a session that match the same topic: the higher QoS
/// [3.1.1 MQTT-3.3.5-1] [5 MQTT-3.3.4-2], RETAIN as published if either asks for it, and no local only if both do.
pub(crate) fn merged_options(one: u8, other: u8) -> u8 {
    (one & QOS).max(other & QOS) | (one & other & NO_LOCAL) | ((one | other) & RETAIN_AS_PUBLISHED)
}

/// What one shard has for a filter; other shards forward by it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Whether it has subscribers.
    pub live: bool,
    /// Whether a durable one is among them.
    pub durable: bool,
}
