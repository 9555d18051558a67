//! What the messenger has done and refused, as plain numbers the server turns into metrics.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Totals since the messenger began; each one only grows.
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

            /// The sum of two parts.
            pub(crate) fn plus(&self, other: &Self) -> Self {
                Self { $($name: self.$name + other.$name),+ }
            }
        }
    };
}

// A macro here saves keeping four lists of the same names in step.
counters! {
    /// Messages taken.
    messages,
    /// Messages that were the same as an earlier one by their mid.
    messages_repeated,
    /// Messages refused because their mid stands for another one.
    mids_reused,
    /// Conversations that were read because a command needed them.
    conversations_loaded,
    /// Conversations that were forgotten because others were used since.
    conversations_forgotten,
    /// Partitions that were dropped because somebody else owns them.
    partitions_fenced,
    /// Commands refused because too many waited for the rows of their conversation.
    commands_refused,
    /// Publishes refused, for whatever reason.
    publishes_refused,
    /// Publishes and questions refused because an account sent too many.
    quota_refused,
    /// Publishes refused because too many appends wait for the disk.
    appends_refused,
    /// Messages and questions refused because the disk is almost full.
    disk_full_refused,
    /// Messages refused because an account has stored too much.
    stored_bytes_refused,
    /// Questions answered, errors included.
    asks,
    /// Questions answered with an error.
    asks_failed,
    /// Look-ups that the store could not answer.
    unreadable,
    /// Read and received markers that moved.
    markers_moved,
    /// Messages from one device to another, which are not stored.
    device_messages,
    /// Receipts told to authors, each of however many that have come to the same message.
    receipts_told,
    /// Receipts gathered before their time because too many waited.
    receipts_hurried,
    /// Changes of presence told.
    presence_told,
    /// Typing notices told.
    typing_told,
    /// Typing notices dropped because an account sent them too fast or too many were remembered.
    typing_dropped,
    /// Filters of a session that were not kept because it had too many.
    filters_dropped,
    /// Questions refused because too many of one session wait for the store, or of one account for what it has said.
    reads_refused,
    /// Catch-ups put off because the session asked for what it should have got a moment ago.
    catch_ups_delayed,
    /// Receipts dropped because too many were held back for an inactive device.
    receipts_dropped,
    /// Groups that were deleted.
    groups_ended,
    /// Tokens ended because their account had too many.
    tokens_displaced,
    /// Inputs that named a session, account or conversation that does not exist.
    strays,
}
