//! The messenger's limits as numbers; where they come from is the configuration's business.

/// Limits; replaced as a whole when the configuration is reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of one message's text.
    pub text_bytes_max: usize,
    /// Bytes of a group's title, a display name or a message's content type.
    pub title_bytes_max: usize,
    /// Bytes of the application's own `x`, of `att` and of the user properties in a message, each.
    pub extension_bytes_max: usize,
    /// Members of one group.
    pub group_members_max: usize,
    /// Conversations of one account.
    pub conversations_per_account_max: usize,
    /// Bytes of messages that one account has stored in conversations; 0 is as many as the disk still has room for.
    pub stored_bytes_per_account_max: u64,
    /// Bytes of conversations, without their messages, that are kept in memory; then those that were not used for long are
    /// forgotten and read again when they are needed.
    pub loaded_bytes_max: usize,
    /// Entries in one answer of `history` or `sync`.
    pub page_entries_max: usize,
    /// Accounts on this server.
    pub accounts_max: usize,
    /// Messages an account may send per second in the long run.
    pub messages_per_second_max: u32,
    /// Messages an account may send at once after a pause.
    pub messages_burst_max: u32,
    /// Filters under `im/about` and `im/presence` that are kept of one session.
    pub filters_max: usize,
    /// Questions of one session that wait for the one that is being read.
    pub questions_waiting_max: usize,
    /// Tokens of one account; a new one then ends the oldest.
    pub tokens_max: usize,
    /// Groups an account may make per minute in the long run, and twice as many after a pause.
    pub groups_per_minute_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            text_bytes_max: 64 * 1024,
            title_bytes_max: 256,
            extension_bytes_max: 16 * 1024,
            group_members_max: 10_000,
            conversations_per_account_max: 10_000,
            stored_bytes_per_account_max: 0,
            loaded_bytes_max: 64 * 1024 * 1024,
            page_entries_max: 200,
            accounts_max: 1_000_000,
            messages_per_second_max: 50,
            messages_burst_max: 200,
            filters_max: 256,
            questions_waiting_max: 8,
            tokens_max: 1_000,
            groups_per_minute_max: 10,
        }
    }
}
