//! `[chat]`: The messenger's limits.

use super::MEGABYTE;
use crate::config::slot::{Key, live, number32, size};
use crate::config::values::Config;

pub(super) static KEYS: &[Key<Config>] = &[
    live(
        "text_bytes_max",
        size(|c| &mut c.chat.text_bytes_max, 256, MEGABYTE, "bytes"),
        "Bytes of one message's text.",
    ),
    live(
        "title_bytes_max",
        size(|c| &mut c.chat.title_bytes_max, 16, 4096, "bytes"),
        "Bytes of a group's title, a display name or a message's content type.",
    ),
    live(
        "extension_bytes_max",
        size(|c| &mut c.chat.extension_bytes_max, 0, MEGABYTE, "bytes"),
        "Bytes of the application's own `x`, of `att` and of the user properties in a message, each.",
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
        "stored_bytes_per_account_max",
        size(
            |c| &mut c.chat.stored_bytes_per_account_max,
            0,
            1 << 40,
            "bytes",
        ),
        "Bytes of messages that one account has stored in conversations. 0 is as many as the disk of the data directory has room for above `server.disk_free_min`.",
    ),
    live(
        "loaded_bytes_max",
        size(
            |c| &mut c.chat.loaded_bytes_max,
            64 * 1024,
            1 << 40,
            "bytes",
        ),
        "Bytes of conversations, without their messages, that are kept in memory. Those that were not used for longest are forgotten beyond it, and read again when they are needed.",
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
