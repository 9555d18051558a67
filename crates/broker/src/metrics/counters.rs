//! What a shard has done and holds, as plain numbers the server turns into metrics.

use crate::metrics::drops::ClientName;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Totals since the shard began; each one only grows.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Name and help text of every counter, in the order of [`Counters::values`].
            pub const NAMES: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),+))),+];

            /// The values, in the order of [`Counters::NAMES`].
            pub fn values(&self) -> Vec<u64> {
                vec![$(self.$name),+]
            }
        }

        impl std::ops::Add for Counters {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self { $($name: self.$name + other.$name,)+ }
            }
        }
    };
}

// A macro here saves keeping four lists of the same names in step.
counters! {
    /// Connections accepted.
    connections_accepted,
    /// Sessions opened by a CONNECT.
    connects_accepted,
    /// CONNECTs refused.
    connects_refused,
    /// CONNECTs refused because their client id is too long.
    client_ids_too_long,
    /// Connections sent to another server.
    redirected,
    /// Clients that have authenticated anew.
    reauthentications,
    /// Clients that failed to authenticate anew; each was disconnected.
    reauthentications_refused,
    /// Exchanges of enhanced authentication refused because of too many steps, or too much data in one.
    exchanges_too_long,
    /// Connections refused because clients that have not been let in held too many bytes.
    unauthenticated_refused,
    /// Connections closed because no CONNECT came in time.
    connect_timeouts,
    /// Connections closed because the client fell silent.
    keepalive_timeouts,
    /// Connections taken over by the same client.
    takeovers,
    /// Bytes received.
    bytes_received,
    /// Bytes sent.
    bytes_sent,
    /// Packets received.
    packets_received,
    /// Packets sent.
    packets_sent,
    /// Bytes of the payloads of received PUBLISH packets.
    payload_bytes_received,
    /// Bytes of the payloads of sent PUBLISH packets.
    payload_bytes_sent,
    /// PUBLISH packets received.
    publishes_received,
    /// PUBLISH packets sent.
    publishes_sent,
    /// Publishes refused by the access list or the contract.
    publishes_refused,
    /// Subscriptions that the access list no longer allows and that were ended.
    subscriptions_revoked,
    /// Wills that the access list no longer allows and that were withdrawn.
    wills_revoked,
    /// Sessions of clients without an account that were ended because such clients are no longer let in.
    sessions_revoked,
    /// Subscriptions refused.
    subscriptions_refused,
    /// Packets that were malformed or broke the protocol; each closed its connection.
    protocol_errors,
    /// Packets larger than allowed.
    packets_too_large,
    /// Times a client was not read because it did not take what it was owed.
    choked,
    /// Deliveries that had to wait in memory because a window or a socket was full.
    held,
    /// QoS 0 messages dropped because a consumer was slow.
    dropped_qos0,
    /// Times a client was not read for a while because its account published too fast.
    publishers_slowed,
    /// QoS 1 and 2 messages dropped because a session's queue was full.
    dropped_queued,
    /// Messages whose expiry interval passed before delivery.
    expired,
    /// Messages not sent because they exceed the client's maximum packet size.
    dropped_too_large,
    /// Bytes of topics that were not sent because an alias stood for them.
    alias_bytes_saved,
    /// Bytes of messages and their keys written to disk to wait there, however many sessions they wait for.
    queue_bytes_stored,
    /// Publishes refused because too much waits on disk.
    storage_refused,
    /// Times a client was not read because too much was on its way to the disk or the messenger.
    publishers_stalled,
    /// Retained messages refused by a limit.
    retained_refused,
    /// Sessions whose expiry interval passed.
    sessions_expired,
    /// Sessions refused by a limit.
    sessions_refused,
    /// Lasting sessions ended because their own account wanted another one.
    sessions_displaced,
    /// Sessions ended because too many were without a connection; each had been offline longest of those that held no message.
    sessions_dropped,
    /// Wills published.
    wills_published,
}

/// A connected client that does not keep up with what it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowClient {
    /// Which.
    pub client: ClientName,
    /// Messages that wait for it, not counting what is under way to it or in its output buffer.
    pub messages: u64,
    /// Bytes of them and of its output buffer.
    pub bytes: u64,
}

impl SlowClient {
    /// The most that are told of.
    pub const MAX: usize = 5;
    /// Who has less waiting keeps up.
    pub(crate) const BYTES_MIN: u64 = 64 * 1024;

    /// Puts one in its place among the slowest, the slowest first.
    pub fn rank(slowest: &mut Vec<Self>, one: Self) {
        let place = slowest.partition_point(|other| other.bytes >= one.bytes);
        if place < Self::MAX {
            slowest.insert(place, one);
            slowest.truncate(Self::MAX);
        }
    }
}

/// How much a shard holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Population {
    /// Connections.
    pub connections: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Bytes of retained messages.
    pub retained_bytes: usize,
    /// Appends that wait for the disk.
    pub appends_pending: usize,
    /// Sessions without a connection.
    pub offline: usize,
    /// Of the subscriptions, those that are shared.
    pub shared_subscriptions: usize,
    /// Deliveries that wait for sessions or are under way, when [`crate::Shard::seek_low_water`] was last answered.
    pub waiting_messages: u64,
    /// What their messages weigh.
    pub waiting_bytes: u64,
}

impl Population {
    /// Together with another shard: retained messages are the same on each.
    pub fn with(&self, other: &Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            sessions: self.sessions + other.sessions,
            subscriptions: self.subscriptions + other.subscriptions,
            retained: self.retained.max(other.retained),
            retained_bytes: self.retained_bytes.max(other.retained_bytes),
            appends_pending: self.appends_pending + other.appends_pending,
            offline: self.offline + other.offline,
            shared_subscriptions: self.shared_subscriptions + other.shared_subscriptions,
            waiting_messages: self.waiting_messages + other.waiting_messages,
            waiting_bytes: self.waiting_bytes + other.waiting_bytes,
        }
    }
}
