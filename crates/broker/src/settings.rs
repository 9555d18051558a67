//! What the operator may decide about one shard: limits with their defaults, who may be anonymous, and
//! the access list. Values only; the shard applies them.

use std::sync::Arc;

use mqtt_codec::ReasonCode;

use crate::access::list::AccessList;
use crate::publishing::allowances::Allowances;

/// Every limit of the broker core. The defaults are the product's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Seconds a connection may take to send its CONNECT.
    pub connect_timeout_secs: u16,
    /// Bytes a connection may send before it is authenticated.
    pub connect_bytes_max: u32,
    /// Lasting sessions of one account on all shards; for one more the account loses one that is offline, or it is refused (0x97).
    pub sessions_per_account_max: usize,
    /// Bytes of filters of one account on all shards, each with 64 more, beyond 4 KiB of each session (0x97).
    pub filter_bytes_per_account_max: usize,
    /// Bytes of all connections of the shard that have not been let in; one that goes beyond them is refused (0x97).
    pub unauthenticated_bytes_max: usize,
    /// Bytes of a client id; a longer one is refused (0x85).
    pub client_id_bytes_max: usize,
    /// Steps of a client in one exchange of enhanced authentication; one more is refused (0x97).
    pub exchange_steps_max: u16,
    /// Bytes of authentication data in one step; more is refused (0x97).
    pub exchange_bytes_max: usize,
    /// Largest packet in bytes, both ways; announced as Maximum Packet Size.
    pub packet_bytes_max: u32,
    /// Longest keep-alive in seconds; longer ones are overruled by Server Keep Alive. 0 = no limit.
    pub keepalive_max_secs: u16,
    /// Longest time in seconds a session is kept after its connection.
    pub session_expiry_max_secs: u32,
    /// Publishes a client may have unacknowledged; announced as Receive Maximum.
    pub receive_maximum: u16,
    /// Topic aliases a client may set; announced as Topic Alias Maximum.
    pub topic_alias_maximum: u16,
    /// Topic aliases the server sets on one connection, whatever more the client allows.
    pub topic_aliases_sent_max: u16,
    /// Deliveries under way per session, whatever the client's Receive Maximum.
    pub inflight_max: u16,
    /// Messages waiting in memory per session.
    pub queued_messages_max: usize,
    /// Bytes of messages waiting in memory per session.
    pub queued_bytes_max: usize,
    /// Stored messages a persistent session may have waiting; the oldest is dropped.
    pub stored_messages_max: usize,
    /// Bytes of stored messages a persistent session may have waiting; the oldest is dropped.
    pub stored_bytes_max: u64,
    /// Encoded bytes waiting for one socket before messages wait unencoded.
    pub outgoing_bytes_max: usize,
    /// Publishes of one account to ordinary topics in a second; 0 = no limit.
    pub publishes_per_second_max: u32,
    /// Subscriptions per session.
    pub subscriptions_max: usize,
    /// Filters under `im/` of one session: every delivery of the messenger asks each of them.
    pub chat_filters_max: usize,
    /// Shared filters under `im/` of all devices of one account.
    pub chat_shares_max: usize,
    /// Bytes of a topic name or filter.
    pub topic_bytes_max: usize,
    /// Levels of a topic name or filter.
    pub topic_levels_max: usize,
    /// User properties per packet.
    pub user_properties_max: u16,
    /// Connections of this shard.
    pub connections_max: usize,
    /// Sessions of this shard, connected or not.
    pub sessions_max: usize,
    /// Sessions of this shard without a connection; the one that has been offline longest ends.
    pub offline_sessions_max: usize,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Bytes of retained messages.
    pub retained_bytes_max: usize,
    /// Retained messages of one account; 0 is as many as are still free.
    pub retained_messages_per_account_max: usize,
    /// Their bytes; 0 is as many as are still free.
    pub retained_bytes_per_account_max: usize,
    /// Recipients of one message that get it at once; to more of them it goes in pieces.
    pub deliveries_at_once_max: usize,
    /// Appends that may wait for the disk before publishers are no longer read.
    pub appends_max: usize,
}

/// What a CONNECT has by the specification and the other limits: a will of 65,535 bytes, its topic of 4 KiB and a client id of
/// 256 bytes; and 12,033 bytes more for lengths, a name, a password or token, and properties.
const CONNECT_BYTES_MAX: u32 = 80 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout_secs: 10,
            connect_bytes_max: CONNECT_BYTES_MAX,
            sessions_per_account_max: 100,
            filter_bytes_per_account_max: 4 * 1024 * 1024,
            unauthenticated_bytes_max: 32 * 1024 * 1024,
            client_id_bytes_max: 256,
            exchange_steps_max: 8,
            exchange_bytes_max: 4096,
            packet_bytes_max: 1024 * 1024,
            keepalive_max_secs: 0,
            session_expiry_max_secs: 7 * 24 * 3600,
            receive_maximum: 1024,
            topic_alias_maximum: 32,
            topic_aliases_sent_max: 16,
            inflight_max: 1024,
            queued_messages_max: 100_000,
            queued_bytes_max: 16 * 1024 * 1024,
            stored_messages_max: 100_000,
            stored_bytes_max: 1024 * 1024 * 1024,
            outgoing_bytes_max: 256 * 1024,
            publishes_per_second_max: 0,
            subscriptions_max: 10_000,
            chat_filters_max: 256,
            chat_shares_max: 16,
            topic_bytes_max: 4096,
            topic_levels_max: 64,
            user_properties_max: 256,
            connections_max: 1_000_000,
            sessions_max: 2_000_000,
            offline_sessions_max: 1_000_000,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 1024 * 1024 * 1024,
            retained_messages_per_account_max: 0,
            retained_bytes_per_account_max: 0,
            deliveries_at_once_max: 4096,
            appends_max: 16_384,
        }
    }
}

/// Limits and permissions of a shard; replaced as a whole when the configuration is reloaded.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The limits.
    pub limits: Limits,
    /// Whether clients without a user name may connect, and ordinary topics are open to all.
    pub allow_anonymous: bool,
    /// Who may use which ordinary topics.
    pub access: AccessList,
    /// Whether clients are sent to another server.
    pub redirect: Redirect,
    /// What accounts have used up of their publish rate; all shards of a server are given the same.
    pub allowances: Arc<Allowances>,
    /// Listeners with limits of their own, from number 1 on; for every other number the whole shard's hold.
    pub listeners: Vec<ListenerSettings>,
}

/// Whether clients are sent to another server, for now or for good, and where that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Redirect {
    /// They are served here.
    #[default]
    Off,
    /// 0x9C: this once.
    Temporary(Arc<str>),
    /// 0x9D: from this time on.
    Permanent(Arc<str>),
}

impl Redirect {
    /// What clients are told.
    pub(crate) fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Off => None,
            Self::Temporary(_) => Some(ReasonCode::USE_ANOTHER_SERVER),
            Self::Permanent(_) => Some(ReasonCode::SERVER_MOVED),
        }
    }

    /// Where they shall go.
    pub(crate) fn reference(&self) -> Option<&Arc<str>> {
        match self {
            Self::Off => None,
            Self::Temporary(reference) | Self::Permanent(reference) => Some(reference),
        }
    }
}

/// What holds for the connections that come through one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Largest packet in bytes, as [`Limits::packet_bytes_max`].
    pub packet_bytes_max: u32,
    /// Seconds a connection may take to send its CONNECT.
    pub connect_timeout_secs: u16,
    /// Whether clients without a user name may connect.
    pub allow_anonymous: bool,
}

impl Settings {
    /// What holds for a listener.
    pub fn listener(&self, number: u8) -> ListenerSettings {
        let own = usize::from(number)
            .checked_sub(1)
            .and_then(|index| self.listeners.get(index));
        own.copied().unwrap_or(ListenerSettings {
            packet_bytes_max: self.limits.packet_bytes_max,
            connect_timeout_secs: self.limits.connect_timeout_secs,
            allow_anonymous: self.allow_anonymous,
        })
    }
}
