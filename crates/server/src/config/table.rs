//! The one table of configuration keys: name, allowed values, when a change applies, meaning. The parser, the
//! reload and `docs/configuration.md` all read it; defaults come from `values`.

use broker::SHARDS_MAX;

use super::check;
use super::slot::{COUNT_MAX, Key, Slot, TimeUnit, fixed, live, number16, number32, seconds, size};
use super::values::{Config, Durability, LogFormat, RedirectMode};

/// One `[section]` of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key<Config>],
}

const MEGABYTE: usize = 1024 * 1024;
const BYTES_MAX: usize = 1 << 40;

/// Every section, in the order of the reference.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "server",
        about: "The data directory and what an acknowledgement promises.",
        keys: SERVER,
    },
    Section {
        name: "mqtt",
        about: "Who may connect over MQTT and how much a client may ask for.",
        keys: MQTT,
    },
    Section {
        name: "http",
        about: "The web client, REST, MQTT over WebSocket at `/mqtt`, `/metrics` and `/healthz`.",
        keys: HTTP,
    },
    Section {
        name: "auth",
        about: "How wrong passwords are slowed down and right ones remembered.",
        keys: AUTH,
    },
    Section {
        name: "chat",
        about: "The messenger's limits.",
        keys: CHAT,
    },
    Section {
        name: "log",
        about: "What is written to standard error.",
        keys: LOG,
    },
];

static SERVER: &[Key<Config>] = &[
    fixed(
        "data",
        Slot::Path(|c| &mut c.server.data),
        "The data directory; made on the first start, used by one server at a time.",
    ),
    fixed(
        "durability",
        Slot::Choice {
            words: &["always", "interval"],
            index: |c| match c.server.durability {
                Durability::Always => 0,
                Durability::Interval => 1,
            },
            choose: |c, index| {
                c.server.durability = if index == 0 {
                    Durability::Always
                } else {
                    Durability::Interval
                }
            },
        },
        "`always`: an acknowledged message is on disk (fsync). `interval`: it is within `durability_interval_ms`; a power cut may lose that much.",
    ),
    fixed(
        "durability_interval_ms",
        Slot::Time {
            at: |c| &mut c.server.durability_interval,
            range: (1, 60_000),
            unit: TimeUnit::Milliseconds,
        },
        "How often the disk is synchronised when `durability` is `interval`.",
    ),
    live(
        "disk_free_min",
        size(|c| &mut c.server.disk_free_min, 0, BYTES_MAX, "bytes"),
        "With fewer bytes free where the data directory is, nothing is taken that would have to be stored (0x97) until there is a quarter more. The store writes up to an eighth of its size for a while when it tidies up: give a disk that it shares more. 0 switches this off.",
    ),
];

static MQTT: &[Key<Config>] = &[
    live(
        "allow_anonymous",
        Slot::Flag(|c| &mut c.mqtt.allow_anonymous),
        "Clients without a user name, or with an empty one, may connect, and ordinary topics are open to all.",
    ),
    live(
        "max_packet_size",
        number32(|c| &mut c.mqtt.max_packet_size, 1024, 8_388_608, "bytes"),
        "Largest packet, both ways; announced to MQTT 5 clients. A larger one closes the connection (0x95).",
    ),
    live(
        "connect_bytes_max",
        number32(|c| &mut c.mqtt.connect_bytes_max, 1024, 1_048_576, "bytes"),
        "Largest CONNECT: what may be sent before the client is known. A larger one is refused (0x95; 3.1.1: closed).",
    ),
    live(
        "client_id_bytes_max",
        size(|c| &mut c.mqtt.client_id_bytes_max, 23, 65_500, "bytes"),
        "Longest client id. A longer one is refused (0x85; 3.1.1: 2).",
    ),
    live(
        "connect_timeout_secs",
        seconds(|c| &mut c.mqtt.connect_timeout, 1, 600),
        "How long a connection may take to send its CONNECT before it is closed.",
    ),
    live(
        "keepalive_max_secs",
        number16(|c| &mut c.mqtt.keepalive_max_secs, 0, 65_535, "seconds"),
        "Longest keep-alive; a longer one is overruled for MQTT 5 clients (Server Keep Alive). 0 leaves it to the client.",
    ),
    live(
        "session_expiry_max_secs",
        number32(
            |c| &mut c.mqtt.session_expiry_max_secs,
            0,
            u32::MAX,
            "seconds",
        ),
        "Longest time a session outlives its connection; also that of MQTT 3 clients without a clean session. 4294967295 is for ever.",
    ),
    live(
        "receive_maximum",
        number16(|c| &mut c.mqtt.receive_maximum, 1, 65_535, "messages"),
        "QoS 1 and 2 messages a client may have unacknowledged; announced to MQTT 5 clients.",
    ),
    live(
        "topic_alias_maximum",
        number16(|c| &mut c.mqtt.topic_alias_maximum, 0, 65_535, "aliases"),
        "Topic aliases a client may set; announced to MQTT 5 clients.",
    ),
    live(
        "topic_aliases_sent_max",
        number16(|c| &mut c.mqtt.topic_aliases_sent_max, 0, 1024, "aliases"),
        "Topic aliases the server sets on one connection, up to what an MQTT 5 client allows (Topic Alias Maximum). A topic gets one when it comes again; the one used least recently is replaced.",
    ),
    live(
        "inflight_max",
        number16(|c| &mut c.mqtt.inflight_max, 1, 65_535, "messages"),
        "Unacknowledged deliveries to one session, whatever its own Receive Maximum says.",
    ),
    live(
        "queued_messages_max",
        size(
            |c| &mut c.mqtt.queued_messages_max,
            1,
            COUNT_MAX,
            "messages",
        ),
        "Messages that may wait for one session; beyond it the oldest is dropped and counted.",
    ),
    live(
        "queued_bytes_max",
        size(|c| &mut c.mqtt.queued_bytes_max, 1024, BYTES_MAX, "bytes"),
        "Bytes of messages that may wait in memory for one session; beyond it QoS 1 and 2 are read from the disk again.",
    ),
    live(
        "queued_disk_bytes_max",
        size(
            |c| &mut c.mqtt.queued_disk_bytes_max,
            1024,
            BYTES_MAX,
            "bytes",
        ),
        "Bytes of messages that may wait for one session on disk; beyond it the oldest is dropped and counted.",
    ),
    live(
        "stored_bytes_max",
        size(
            |c| &mut c.mqtt.stored_bytes_max,
            16 * MEGABYTE,
            BYTES_MAX,
            "bytes",
        ),
        "Bytes of messages that may wait on disk in the whole server, each counted once however many sessions wait for it, and without what the store itself needs. Beyond it what has waited longest is dropped and counted; while that is under way, at an eighth more, what would have to wait is refused (0x97; MQTT 3 clients are disconnected without an acknowledgement).",
    ),
    live(
        "appends_max",
        size(|c| &mut c.mqtt.appends_max, 1, 1_000_000, "publishes"),
        "Publishes of one thread of `shards` that may be on their way to the disk or the messenger; while there are as many, who publishes is not read.",
    ),
    live(
        "outgoing_bytes_max",
        size(|c| &mut c.mqtt.outgoing_bytes_max, 4096, BYTES_MAX, "bytes"),
        "Encoded bytes that may wait for one connection; beyond it messages wait in the session's queue.",
    ),
    live(
        "publishes_per_second_max",
        number32(
            |c| &mut c.mqtt.publishes_per_second_max,
            0,
            1_000_000,
            "messages",
        ),
        "Messages an account may publish to ordinary topics per second in the long run, and twice as many at once after a pause; anonymous clients each have their own count. Beyond it the connection is not read until the next is due: nothing is lost. 0 is without limit.",
    ),
    live(
        "subscriptions_max",
        size(
            |c| &mut c.mqtt.subscriptions_max,
            1,
            COUNT_MAX,
            "subscriptions",
        ),
        "Subscriptions of one session; one more is refused (0x97).",
    ),
    live(
        "topic_length_max",
        size(|c| &mut c.mqtt.topic_length_max, 16, 65_535, "bytes"),
        "Bytes of a topic name or filter.",
    ),
    live(
        "topic_levels_max",
        size(|c| &mut c.mqtt.topic_levels_max, 4, 65_535, "levels"),
        "Levels of a topic name or filter.",
    ),
    live(
        "user_properties_max",
        number16(|c| &mut c.mqtt.user_properties_max, 0, 65_535, "properties"),
        "User properties in one packet.",
    ),
    live(
        "connections_max",
        size(|c| &mut c.mqtt.connections_max, 1, COUNT_MAX, "connections"),
        "Connections of the whole server; one more is refused. There are never more than the process has file descriptors for.",
    ),
    live(
        "connections_per_address_max",
        size(
            |c| &mut c.mqtt.connections_per_address_max,
            0,
            COUNT_MAX,
            "connections",
        ),
        "Connections from one address; one more is refused. 0 is half of what there may be: of `connections_max`, or of the process's file descriptors.",
    ),
    live(
        "connections_per_second_per_address",
        number32(
            |c| &mut c.mqtt.connections_per_second_per_address,
            0,
            1_000_000,
            "connections",
        ),
        "Connections from one address in a second in the long run, and five times as many at once after a pause; one more is closed. 0 is without limit.",
    ),
    fixed(
        "quic_handshakes_max",
        size(
            |c| &mut c.mqtt.quic_handshakes_max,
            1,
            1_000_000,
            "handshakes",
        ),
        "Handshakes under way on one QUIC address; one more is refused.",
    ),
    fixed(
        "quic_handshakes_unproven_max",
        size(
            |c| &mut c.mqtt.quic_handshakes_unproven_max,
            0,
            1_000_000,
            "handshakes",
        ),
        "Handshakes under way on one QUIC address above which a peer has to show that it receives at the address it sends from (Retry, one more round trip). 0 asks everybody.",
    ),
    live(
        "sessions_max",
        size(|c| &mut c.mqtt.sessions_max, 1, COUNT_MAX, "sessions"),
        "Sessions of the whole server, connected or not.",
    ),
    live(
        "offline_sessions_max",
        size(
            |c| &mut c.mqtt.offline_sessions_max,
            0,
            COUNT_MAX,
            "sessions",
        ),
        "Sessions of the whole server without a connection; one more ends the one that has been away longest, which is counted.",
    ),
    live(
        "retained_messages_max",
        size(
            |c| &mut c.mqtt.retained_messages_max,
            0,
            COUNT_MAX,
            "messages",
        ),
        "Retained messages; one more is refused (0x97).",
    ),
    live(
        "retained_bytes_max",
        size(|c| &mut c.mqtt.retained_bytes_max, 0, BYTES_MAX, "bytes"),
        "Bytes of all retained messages.",
    ),
    live(
        "sys_interval_secs",
        seconds(|c| &mut c.mqtt.sys_interval, 0, 3600),
        "How often the server's own figures are published under `$SYS/broker/`. 0 is never.",
    ),
    live(
        "redirect",
        Slot::Choice {
            words: &["off", "temporary", "permanent"],
            index: |c| match c.mqtt.redirect {
                RedirectMode::Off => 0,
                RedirectMode::Temporary => 1,
                RedirectMode::Permanent => 2,
            },
            choose: |c, index| {
                c.mqtt.redirect = match index {
                    0 => RedirectMode::Off,
                    1 => RedirectMode::Temporary,
                    _ => RedirectMode::Permanent,
                }
            },
        },
        "Sends clients to the server named in `server_reference`: MQTT 5 clients are told so (0x9C `temporary`, 0x9D `permanent`), at CONNECT and, when the configuration is reloaded, on their open connections. MQTT 3 has no word for it: those clients are refused (3), and disconnected.",
    ),
    live(
        "server_reference",
        Slot::Text {
            at: |c| &mut c.mqtt.server_reference,
            check: check::server_reference,
            expected: "`host` or `host:port`, several separated by single spaces",
        },
        "Where `redirect` sends clients.",
    ),
    fixed(
        "shards",
        number16(|c| &mut c.mqtt.shards, 0, SHARDS_MAX, "threads"),
        "Threads that carry connections. 0 is one per core.",
    ),
];

static HTTP: &[Key<Config>] = &[
    fixed(
        "address",
        Slot::Address(|c| &mut c.http.address),
        "Where HTTP is served.",
    ),
    fixed(
        "certificate",
        Slot::OptionalPath(|c| &mut c.http.certificate),
        "With a certificate and its key, HTTPS is served instead, and MQTT over secure WebSocket at `/mqtt`. PEM; read again when it changes and on SIGHUP.",
    ),
    fixed(
        "key",
        Slot::OptionalPath(|c| &mut c.http.key),
        "The certificate's private key, PEM, not encrypted. Read again like the certificate.",
    ),
    fixed(
        "connections_max",
        size(|c| &mut c.http.connections_max, 1, 1_000_000, "connections"),
        "Connections at once, not counting WebSockets; one more is answered 503. At most half of what the process has file descriptors for.",
    ),
    fixed(
        "connections_per_address_max",
        size(
            |c| &mut c.http.connections_per_address_max,
            0,
            1_000_000,
            "connections",
        ),
        "Of them, from one address (IPv6: /64). 0 is half of what there may be.",
    ),
    fixed(
        "write_timeout_secs",
        seconds(|c| &mut c.http.write_timeout, 1, 600),
        "How long a client may read nothing of an answer before its connection is closed.",
    ),
    fixed(
        "header_timeout_secs",
        seconds(|c| &mut c.http.header_timeout, 1, 600),
        "How long a request's header may take to arrive.",
    ),
    fixed(
        "header_bytes_max",
        size(|c| &mut c.http.header_bytes_max, 8192, MEGABYTE, "bytes"),
        "Bytes of a request's first line and header; a larger one is answered 431.",
    ),
    fixed(
        "body_bytes_max",
        size(|c| &mut c.http.body_bytes_max, 1024, 16 * MEGABYTE, "bytes"),
        "Bytes of a request's body; a larger one is answered 413.",
    ),
];

static AUTH: &[Key<Config>] = &[
    live(
        "failures_per_minute_per_address",
        number32(
            |c| &mut c.auth.failures_per_minute_per_address,
            1,
            1_000_000,
            "failures",
        ),
        "Wrong passwords one address may send in a minute before it has to wait.",
    ),
    live(
        "failures_per_minute_per_account",
        number32(
            |c| &mut c.auth.failures_per_minute_per_account,
            1,
            1_000_000,
            "failures",
        ),
        "Wrong passwords one account may be tried with in a minute before it has to wait.",
    ),
    live(
        "cache_secs",
        seconds(|c| &mut c.auth.cache, 0, 86_400),
        "How long a verified password is remembered, so that a reconnect is cheap. 0 is never.",
    ),
    live(
        "cache_entries_max",
        size(|c| &mut c.auth.cache_entries_max, 0, COUNT_MAX, "logins"),
        "Verified passwords remembered at once; beyond it the oldest is forgotten.",
    ),
    live(
        "checks_per_second_per_address",
        number32(
            |c| &mut c.auth.checks_per_second_per_address,
            0,
            1_000_000,
            "logins",
        ),
        "Logins of one address in a second, in the long run, whose password is not remembered and has to be checked, and ten times as many at once after a pause; more are refused (0x9F). 0 is without limit.",
    ),
    live(
        "scram",
        Slot::Flag(|c| &mut c.auth.scram),
        "MQTT 5 clients may prove their password by SCRAM-SHA-256 instead of sending it. Off, the method is refused (0x8C), and of a password that is set only its argon2 hash is kept.",
    ),
    live(
        "scram_iterations",
        number32(
            |c| &mut c.auth.scram_iterations,
            4096,
            10_000_000,
            "iterations",
        ),
        "How often a password is stretched (PBKDF2) for SCRAM: what a guess costs whoever has stolen the data directory, and a login costs a client. Accounts take a new value over with their next checked password.",
    ),
    live(
        "exchange_steps_max",
        number16(|c| &mut c.auth.exchange_steps_max, 1, 1000, "packets"),
        "CONNECT and AUTH packets of a client in one exchange of enhanced authentication; one more is refused (0x97). SCRAM needs 2.",
    ),
    live(
        "exchange_bytes_max",
        size(|c| &mut c.auth.exchange_bytes_max, 256, 65_535, "bytes"),
        "Bytes of authentication data in one of them; more is refused (0x97).",
    ),
    fixed(
        "waiting_max",
        size(|c| &mut c.auth.waiting_max, 1, 1_000_000, "logins"),
        "Logins that may wait for their password check; more are told that the server is busy.",
    ),
];

static CHAT: &[Key<Config>] = &[
    live(
        "text_bytes_max",
        size(|c| &mut c.chat.text_bytes_max, 256, MEGABYTE, "bytes"),
        "Bytes of one message's text.",
    ),
    live(
        "title_bytes_max",
        size(|c| &mut c.chat.title_bytes_max, 16, 4096, "bytes"),
        "Bytes of a group's title or a display name.",
    ),
    live(
        "extension_bytes_max",
        size(|c| &mut c.chat.extension_bytes_max, 0, MEGABYTE, "bytes"),
        "Bytes of the application's own `x` in a message.",
    ),
    live(
        "group_members_max",
        size(|c| &mut c.chat.group_members_max, 2, 1_000_000, "members"),
        "Members of one group.",
    ),
    live(
        "conversations_per_account_max",
        size(
            |c| &mut c.chat.conversations_per_account_max,
            1,
            1_000_000,
            "conversations",
        ),
        "Conversations of one account.",
    ),
    live(
        "page_entries_max",
        size(|c| &mut c.chat.page_entries_max, 1, 1000, "entries"),
        "Entries in one answer of `history` or `sync`.",
    ),
    live(
        "accounts_max",
        size(|c| &mut c.chat.accounts_max, 1, 100_000_000, "accounts"),
        "Accounts on this server.",
    ),
    live(
        "messages_per_second_max",
        number32(
            |c| &mut c.chat.messages_per_second_max,
            1,
            1_000_000,
            "messages",
        ),
        "Messages and questions an account may send per second in the long run; beyond it they are refused (0x97).",
    ),
    live(
        "messages_burst_max",
        number32(|c| &mut c.chat.messages_burst_max, 1, 1_000_000, "messages"),
        "Messages and questions an account may send at once after a pause.",
    ),
    live(
        "filters_max",
        size(|c| &mut c.chat.filters_max, 16, 10_000, "filters"),
        "Filters under `im/` of one session; one more is refused (0x97). Every delivery of the messenger asks each of them.",
    ),
    live(
        "shares_max",
        size(|c| &mut c.chat.shares_max, 0, 1000, "filters"),
        "Shared filters (`$share/…/im/…`) of all devices of one account; one more is refused (0x97).",
    ),
    live(
        "questions_waiting_max",
        size(|c| &mut c.chat.questions_waiting_max, 0, 1000, "questions"),
        "Questions of one session that wait for the one that is being read; one more is answered `unavailable`.",
    ),
    live(
        "tokens_max",
        size(|c| &mut c.chat.tokens_max, 1, 100_000, "tokens"),
        "Tokens of one account; a new one then ends the oldest.",
    ),
    live(
        "groups_per_minute_max",
        number32(
            |c| &mut c.chat.groups_per_minute_max,
            1,
            1_000_000,
            "groups",
        ),
        "Groups an account may make per minute in the long run, and twice as many after a pause; beyond it the answer is `quota`.",
    ),
];

static LOG: &[Key<Config>] = &[
    live(
        "level",
        Slot::Text {
            at: |c| &mut c.log.level,
            check: check::log_level,
            expected: "`error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs separated by commas",
        },
        "How much is written; a level, or levels by part as in `info,net=debug`. The environment variable `RUST_LOG` goes first.",
    ),
    fixed(
        "format",
        Slot::Choice {
            words: &["text", "json"],
            index: |c| match c.log.format {
                LogFormat::Text => 0,
                LogFormat::Json => 1,
            },
            choose: |c, index| {
                c.log.format = if index == 0 {
                    LogFormat::Text
                } else {
                    LogFormat::Json
                }
            },
        },
        "`text` for people, `json` for one object per line.",
    ),
];
