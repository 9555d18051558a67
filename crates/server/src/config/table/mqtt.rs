//! `[mqtt]`: Connections, sessions and messages of MQTT.

use broker::SHARDS_MAX;

use super::{BYTES_MAX, MEGABYTE};
use crate::config::check;
use crate::config::slot::{COUNT_MAX, Key, Slot, fixed, live, number16, number32, seconds, size};
use crate::config::values::{Config, RedirectMode};

pub(super) static KEYS: &[Key<Config>] = &[
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
        "unauthenticated_bytes_max",
        size(
            |c| &mut c.mqtt.unauthenticated_bytes_max,
            MEGABYTE,
            BYTES_MAX,
            "bytes",
        ),
        "Bytes of all connections that have not been let in: beginnings of CONNECTs, TLS and WebSocket handshakes, and CONNECTs whose credentials are checked. 512 of each are not counted. A connection that goes beyond them is refused.",
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
        "Bytes of messages that may wait on disk in the whole server, each counted once however many sessions wait for it, and without what the store itself needs. Beyond it the accounts that hold most lose what has waited longest, which is counted; while that is under way, at an eighth more, what would have to wait is refused (0x97; MQTT 3 clients are disconnected without an acknowledgement).",
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
        "sessions_per_account_max",
        size(
            |c| &mut c.mqtt.sessions_per_account_max,
            1,
            COUNT_MAX,
            "sessions",
        ),
        "Sessions of one account that outlive their connection. For one more the account loses one of its own that is away: one that holds no message, or the one away longest; if none is away, the new one is refused (0x97).",
    ),
    live(
        "filter_bytes_per_account_max",
        size(
            |c| &mut c.mqtt.filter_bytes_per_account_max,
            1024,
            BYTES_MAX,
            "bytes",
        ),
        "Bytes of the filters of all sessions of an account, 64 more for each, beyond the first 4 KiB of each session.",
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
        "Sessions of the whole server without a connection; one more ends the one that has been away longest and holds no message, which is counted; if there is none, new lasting sessions are refused (0x97).",
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
        "retained_messages_per_account_max",
        size(
            |c| &mut c.mqtt.retained_messages_per_account_max,
            0,
            COUNT_MAX,
            "messages",
        ),
        "Retained messages of one account, and of all clients without an account together. 0 is as many as are still free for the others, so one account has at most half.",
    ),
    live(
        "retained_bytes_per_account_max",
        size(
            |c| &mut c.mqtt.retained_bytes_per_account_max,
            0,
            BYTES_MAX,
            "bytes",
        ),
        "Bytes of them. 0 is as many as are still free for the others.",
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
