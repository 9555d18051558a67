//! What stands on disk: ids, keys and versioned values, and how they become bytes.
//! Pure: it reads no clock, does no IO and knows no rule of the messenger or of MQTT.

mod id;

mod clock;

pub mod key;

mod row;

mod write;

mod codec;

mod account;
mod audit;
mod conversation;
mod queue;
mod session;

pub use account::{Account, Role, ScramVerifier, Token};
pub use audit::AuditRow;
pub use clock::{Millis, Moment};
pub use codec::{FORMAT_VERSION, RecordError, VALUE_VERSION};
pub use conversation::{
    Conversation, ConversationKind, Dedup, Entry, EntryKind, Member, MemberRole,
};
pub use id::{
    AccountId, AccountName, ConversationId, GroupSlug, NAME_BYTES_MAX, NameError, Pos, PosError,
    Seq, SessionNumber, SessionRef, Stamp,
};
pub use key::{KeyError, KeyRange, Table};
pub use queue::{Claim, QueuedMessage, QueuedParts, Retained};
pub use row::describe;
pub use session::{
    EXPIRY_NEVER, Incoming, Outgoing, OutgoingState, Progress, Session, Subscription, Terms, Will,
};
pub use write::Write;
