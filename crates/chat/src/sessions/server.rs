//! `im/ask/server`: which contract this server speaks, what it can do, and within which limits.

use bytes::Bytes;
use serde::Serialize;

use crate::format::draft::{EXTENSION_DEPTH_MAX, MID_BYTES_MAX};
use crate::format::wire;
use crate::io::Publish;
use crate::sessions::group_questions::ACCOUNTS_NAMED_MAX;
use crate::sessions::reply::PAGE_BYTES_MAX;
use crate::sessions::{Context, Sessions};

/// Of `docs/topics.md`. It grows when a client that was written for the one before would be wrong.
const CONTRACT: u32 = 1;

/// What there is besides direct chats and groups, each under the name of its section or topic in `docs/topics.md`.
const FEATURES: &[&str] = &[
    "auto", "device", "history", "presence", "profile", "receipts", "received", "refused",
    "status", "sync", "text", "ttl", "typing",
];

#[derive(Serialize)]
struct Server<'a> {
    contract: u32,
    version: &'static str,
    /// Who asks, and with which device.
    account: &'a str,
    device: String,
    features: &'static [&'static str],
    limits: Limits,
}

/// Under the names of the keys of `[chat]`, where they are some.
#[derive(Serialize)]
struct Limits {
    text_bytes_max: usize,
    extension_bytes_max: usize,
    extension_depth_max: usize,
    title_bytes_max: usize,
    mid_bytes_max: usize,
    group_members_max: usize,
    accounts_named_max: usize,
    conversations_per_account_max: usize,
    messages_per_second_max: u32,
    messages_burst_max: u32,
    page_entries_max: usize,
    page_bytes_max: usize,
    filters_max: usize,
}

impl Sessions {
    pub(super) fn describe_server(&self, publish: &Publish, context: Context<'_>) -> Bytes {
        let settings = &self.settings;
        wire::json(&Server {
            contract: CONTRACT,
            version: env!("CARGO_PKG_VERSION"),
            account: context.accounts.name(publish.account),
            device: self.device_of(publish).to_string(),
            features: FEATURES,
            limits: Limits {
                text_bytes_max: settings.text_bytes_max,
                extension_bytes_max: settings.extension_bytes_max,
                extension_depth_max: EXTENSION_DEPTH_MAX,
                title_bytes_max: settings.title_bytes_max,
                mid_bytes_max: MID_BYTES_MAX,
                group_members_max: settings.group_members_max,
                accounts_named_max: ACCOUNTS_NAMED_MAX,
                conversations_per_account_max: settings.conversations_per_account_max,
                messages_per_second_max: settings.messages_per_second_max,
                messages_burst_max: settings.messages_burst_max,
                page_entries_max: settings.page_entries_max,
                page_bytes_max: PAGE_BYTES_MAX,
                filters_max: settings.filters_max,
            },
        })
    }
}
