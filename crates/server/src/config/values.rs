//! The configuration's values, parsed and in range, with their defaults. What each means to an operator and
//! which values are allowed stands in `table`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::network::Network;
use crate::secret::Secret;

pub use super::listen_values::{
    AccountFrom, ClientCertificate, ListenAddress, ListenerConfig, ListenerKind, ListenerLimits,
    TlsConfig, TlsMin, WebSocketConfig,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Everything an operator may decide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[mqtt]`
    pub mqtt: MqttConfig,
    /// `[http]`
    pub http: HttpConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[[acl]]`, most important first; what no rule names is denied.
    pub acl: Vec<AccessRule>,
    /// `[chat]`
    pub chat: ChatConfig,
    /// `[log]`
    pub log: LogConfig,
}

/// `[server]`: the data directory and what an acknowledgement promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The data directory.
    pub data: PathBuf,
    /// When an acknowledged message is on disk.
    pub durability: Durability,
    /// How often the disk is synchronised with `Durability::Interval`.
    pub durability_interval: Duration,
    /// How long a change of accounts and limits is kept in the audit.
    pub audit_age_max: Duration,
    /// Changes that are kept there.
    pub audit_rows_max: usize,
    /// Free bytes of the disk below which nothing is taken that would have to be stored; 0 is never.
    pub disk_free_min: usize,
    /// How long the machine's clock has to stay ahead of the server's before it is believed.
    pub clock_believed: Duration,
}

/// When an acknowledged message is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Always,
    /// At most an interval after it is acknowledged: a power cut may lose that much.
    Interval,
}

/// `[mqtt]`: who may connect and how much they may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttConfig {
    /// `[[mqtt.listener]]`: where MQTT is spoken.
    pub listeners: Vec<ListenerConfig>,
    /// Clients without an account may connect and use every ordinary topic.
    pub allow_anonymous: bool,
    /// Largest packet in bytes, both ways.
    pub max_packet_size: u32,
    /// Largest CONNECT in bytes.
    pub connect_bytes_max: u32,
    /// Bytes of all connections that have not been let in.
    pub unauthenticated_bytes_max: usize,
    /// Bytes of a client id.
    pub client_id_bytes_max: usize,
    /// How long a connection may take to send its CONNECT.
    pub connect_timeout: Duration,
    /// Longest keep-alive in seconds; 0 leaves it to the client.
    pub keepalive_max_secs: u16,
    /// Longest time in seconds a session outlives its connection.
    pub session_expiry_max_secs: u32,
    /// Publishes a client may have unacknowledged.
    pub receive_maximum: u16,
    /// Topic aliases a client may set.
    pub topic_alias_maximum: u16,
    /// Topic aliases the server sets on one connection.
    pub topic_aliases_sent_max: u16,
    /// Deliveries under way per session.
    pub inflight_max: u16,
    /// Messages waiting per session.
    pub queued_messages_max: usize,
    /// Bytes of messages waiting in memory per session.
    pub queued_bytes_max: usize,
    /// Bytes of messages waiting on disk per session.
    pub queued_disk_bytes_max: usize,
    /// Bytes of messages waiting on disk for all sessions together.
    pub stored_bytes_max: usize,
    /// Publishes on their way to the disk or the messenger, by thread.
    pub appends_max: usize,
    /// Encoded bytes waiting for one socket.
    pub outgoing_bytes_max: usize,
    /// Publishes of one account in a second, to ordinary topics; 0 is without limit.
    pub publishes_per_second_max: u32,
    /// Subscriptions per session.
    pub subscriptions_max: usize,
    /// Bytes of a topic name or filter.
    pub topic_length_max: usize,
    /// Levels of a topic name or filter.
    pub topic_levels_max: usize,
    /// User properties per packet.
    pub user_properties_max: u16,
    /// Connections of the whole server.
    pub connections_max: usize,
    /// Connections from one address; 0 is half of what there may be.
    pub connections_per_address_max: usize,
    /// Connections from one address in a second; 0 is without limit.
    pub connections_per_second_per_address: u32,
    /// QUIC handshakes under way on one address.
    pub quic_handshakes_max: usize,
    /// QUIC handshakes under way on one address, above which a peer has to prove its own first.
    pub quic_handshakes_unproven_max: usize,
    /// Lasting sessions of one account.
    pub sessions_per_account_max: usize,
    /// Bytes of filters of one account.
    pub filter_bytes_per_account_max: usize,
    /// Sessions of the whole server, connected or not.
    pub sessions_max: usize,
    /// Sessions of the whole server without a connection.
    pub offline_sessions_max: usize,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Bytes of retained messages.
    pub retained_bytes_max: usize,
    /// Retained messages of one account; 0 is as many as are still free.
    pub retained_messages_per_account_max: usize,
    /// Their bytes; 0 is as many as are still free.
    pub retained_bytes_per_account_max: usize,
    /// How often `$SYS` is published; zero is never.
    pub sys_interval: Duration,
    /// Whether clients are sent to another server.
    pub redirect: RedirectMode,
    /// Where they are sent: `host` or `host:port`, several separated by spaces.
    pub server_reference: String,
    /// Threads that carry connections; 0 is one per core.
    pub shards: u16,
}

/// Whether clients are sent to another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectMode {
    /// They are served here.
    Off,
    /// To another server, this once.
    Temporary,
    /// To another server, from this time on.
    Permanent,
}

/// `[http]`: web client, REST, WebSocket hand-over, metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// The server's names beside loopback and the address that a connection came to; `*` is any.
    pub hosts: Vec<String>,
    /// Proxies that are believed about their clients' addresses.
    pub proxy_from: Vec<Network>,
    /// Where metrics and health are served apart from everything else.
    pub metrics_address: Option<SocketAddr>,
    /// The token with which the metrics may be read from other machines.
    pub metrics_token: Option<Secret>,
    /// The certificate in PEM form; with it comes `key`, and HTTPS in place of HTTP.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key in PEM form.
    pub key: Option<PathBuf>,
    /// Connections at once, not counting WebSockets that have been handed over.
    pub connections_max: usize,
    /// Of them, from one address; 0 is half of what there may be.
    pub connections_per_address_max: usize,
    /// How long a client may read nothing of an answer.
    pub write_timeout: Duration,
    /// How long a request's header may take to arrive.
    pub header_timeout: Duration,
    /// Pages of the list of accounts that one account may ask for in a second; 0 is without limit.
    pub account_lists_per_second_max: u32,
    /// Bytes of a request's first line and header.
    pub header_bytes_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
}

/// `[auth]`: how wrong passwords are slowed down and right ones remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Wrong passwords one address may send in a minute.
    pub failures_per_minute_per_address: u32,
    /// Wrong passwords one account may be tried with in a minute.
    pub failures_per_minute_per_account: u32,
    /// Wrong passwords one address may send for one account in a minute.
    pub failures_per_minute_per_address_and_account: u32,
    /// How long a token lasts behind its last use; zero is for ever.
    pub token_expiry: Duration,
    /// How long an address counts as known to an account after a login; zero is never.
    pub known_address: Duration,
    /// How long a verified password is remembered, so that a reconnect costs no argon2.
    pub cache: Duration,
    /// Verified passwords remembered at once.
    pub cache_entries_max: usize,
    /// Logins of one address in a second whose password has to be checked; 0 is without limit.
    pub checks_per_second_per_address: u32,
    /// Whether accounts may prove their password by SCRAM-SHA-256.
    pub scram: bool,
    /// How often a password is stretched for it.
    pub scram_iterations: u32,
    /// Steps of a client in one exchange of enhanced authentication.
    pub exchange_steps_max: u16,
    /// Bytes of authentication data in one step.
    pub exchange_bytes_max: usize,
    /// Logins that may wait for a password check; more are told that the server is busy.
    pub waiting_max: usize,
    /// Of them, from one address.
    pub waiting_per_address_max: usize,
}

/// `[[acl]]`: one rule of the access list for ordinary topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Whether it allows or denies.
    pub verdict: AccessVerdict,
    /// What it is about.
    pub actions: AccessActions,
    /// The topics, as a filter in which the levels `%u` and `%c` stand for account and client id.
    pub filter: String,
    /// Whom it concerns.
    pub who: AccessWho,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessVerdict {
    /// The action is allowed.
    Allow,
    /// The action is refused.
    Deny,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessActions {
    /// Publishing to a topic.
    Publish,
    /// Subscribing to a filter.
    Subscribe,
    /// Both.
    All,
}

/// Whom a rule concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessWho {
    /// `"*"`: accounts and anonymous clients.
    Everyone,
    /// `"anonymous"`: clients without an account.
    Anonymous,
    /// One account, by its name.
    Account(String),
}

/// `[chat]`: the messenger's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatConfig {
    /// Bytes of one message's text.
    pub text_bytes_max: usize,
    /// Bytes of a group's title or a display name.
    pub title_bytes_max: usize,
    /// Bytes of the application's own `x` in a message.
    pub extension_bytes_max: usize,
    /// Members of one group.
    pub group_members_max: usize,
    /// Conversations of one account.
    pub conversations_per_account_max: usize,
    /// Bytes of messages that one account has stored in conversations; 0 is as many as the disk still has room for.
    pub stored_bytes_per_account_max: usize,
    /// Bytes of conversations, without their messages, that are kept in memory.
    pub loaded_bytes_max: usize,
    /// Entries in one answer of `history` or `sync`.
    pub page_entries_max: usize,
    /// Accounts on this server.
    pub accounts_max: usize,
    /// Messages and questions an account may send per second in the long run.
    pub messages_per_second_max: u32,
    /// Messages and questions an account may send at once after a pause.
    pub messages_burst_max: u32,
    /// Filters under `im/` of one session.
    pub filters_max: usize,
    /// Shared filters under `im/` of one account.
    pub shares_max: usize,
    /// Questions of one session that wait for the one that is being read.
    pub questions_waiting_max: usize,
    /// Tokens of one account.
    pub tokens_max: usize,
    /// Groups an account may make per minute in the long run.
    pub groups_per_minute_max: u32,
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or `target=level` directives separated by commas.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, with colours on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./magpie-data"),
            durability: Durability::Always,
            durability_interval: Duration::from_millis(100),
            audit_age_max: Duration::from_secs(90 * 24 * 3600),
            audit_rows_max: 100_000,
            disk_free_min: 256 * MIB,
            clock_believed: Duration::from_secs(600),
        }
    }
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerConfig::default()],
            allow_anonymous: false,
            max_packet_size: 1024 * 1024,
            connect_bytes_max: 80 * 1024,
            unauthenticated_bytes_max: 32 * MIB,
            client_id_bytes_max: 256,
            connect_timeout: Duration::from_secs(10),
            keepalive_max_secs: 0,
            session_expiry_max_secs: 30 * 24 * 3600,
            receive_maximum: 1024,
            topic_alias_maximum: 32,
            topic_aliases_sent_max: 16,
            inflight_max: 1024,
            queued_messages_max: 100_000,
            queued_bytes_max: 16 * MIB,
            queued_disk_bytes_max: 1024 * MIB,
            stored_bytes_max: 64 * 1024 * MIB,
            appends_max: 16_384,
            outgoing_bytes_max: 256 * KIB,
            publishes_per_second_max: 0,
            subscriptions_max: 10_000,
            topic_length_max: 4096,
            topic_levels_max: 64,
            user_properties_max: 256,
            connections_max: 1_000_000,
            connections_per_address_max: 0,
            connections_per_second_per_address: 10_000,
            quic_handshakes_max: 1024,
            quic_handshakes_unproven_max: 128,
            sessions_per_account_max: 100,
            filter_bytes_per_account_max: 4 * MIB,
            sessions_max: 2_000_000,
            offline_sessions_max: 1_000_000,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 1024 * MIB,
            retained_messages_per_account_max: 0,
            retained_bytes_per_account_max: 0,
            sys_interval: Duration::from_secs(10),
            redirect: RedirectMode::Off,
            server_reference: String::new(),
            shards: 0,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            hosts: Vec::new(),
            proxy_from: Vec::new(),
            metrics_address: None,
            metrics_token: None,
            certificate: None,
            key: None,
            connections_max: 4096,
            connections_per_address_max: 0,
            write_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            account_lists_per_second_max: 10,
            header_bytes_max: 32 * KIB,
            body_bytes_max: 64 * KIB,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            failures_per_minute_per_address: 60,
            failures_per_minute_per_account: 50,
            failures_per_minute_per_address_and_account: 5,
            token_expiry: Duration::from_secs(90 * 24 * 3600),
            known_address: Duration::from_secs(30 * 24 * 3600),
            cache: Duration::from_secs(300),
            cache_entries_max: 100_000,
            checks_per_second_per_address: 100,
            scram: true,
            scram_iterations: 10_000,
            exchange_steps_max: 8,
            exchange_bytes_max: 4096,
            waiting_max: 10_000,
            waiting_per_address_max: 1000,
        }
    }
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            text_bytes_max: 64 * KIB,
            title_bytes_max: 256,
            extension_bytes_max: 16 * KIB,
            group_members_max: 10_000,
            conversations_per_account_max: 10_000,
            stored_bytes_per_account_max: 0,
            loaded_bytes_max: 64 * MIB,
            page_entries_max: 200,
            accounts_max: 1_000_000,
            messages_per_second_max: 50,
            messages_burst_max: 200,
            filters_max: 256,
            shares_max: 16,
            questions_waiting_max: 8,
            tokens_max: 1000,
            groups_per_minute_max: 10,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}
