//! What stands on disk: ids, keys and versioned values, and how they become bytes.
//! Pure: it reads no clock, does no IO and knows no rule of the messenger or of MQTT.

mod id;

mod clock;

mod cursor;

mod range;

pub mod key;

mod row;

mod write;

mod codec;

mod account;
mod audit;
mod conversation;
mod queue;
mod session;
mod session_mid;

pub use account::{Account, Role, ScramVerifier, Token};
pub use audit::AuditRow;
pub use clock::{Millis, Moment};
pub use codec::{FORMAT_VERSION, RecordError, VALUE_VERSION};
pub use conversation::{
    Conversation, ConversationKind, Dedup, Entry, EntryKind, HistoryAccess, Joined, Member,
    MemberRole, Place, ReadShown, Sent, Stay,
};
pub use cursor::{Cursor, CursorError};
pub use id::{
    AccountId, AccountName, ConversationId, GroupSlug, NAME_BYTES_MAX, NameError, PartitionError,
    PartitionId, Pos, PosError, Seq, SessionNumber, SessionRef, Stamp,
};
pub use key::{AddressKey, KeyError, KeyRange, Table};
pub use queue::{Claim, QueuedMessage, QueuedParts, Retained};
pub use row::describe;
pub use session::{
    EXPIRY_NEVER, Incoming, Outgoing, OutgoingState, Progress, Session, Subscription, Terms, Will,
};
pub use session_mid::SessionMid;
pub use write::Write;
