//! The rules of the messenger: accounts, conversations, presence, as a state machine. Pure: inputs and the time
//! come in, outputs go out; it holds no socket, no file and no clock, and knows no MQTT packet.
//!
//! Three modules own its state: [`accounts`], [`conversations`] and [`sessions`]. Commands go from sessions to conversations,
//! notes come back; both are owned values, so that a queue, a thread or a network may lie between.

mod io;
mod settings;

mod chat;
mod cluster;
mod recovery;

mod command;
mod note;
mod query;

mod accounts;
mod conversations;
mod nodes;
mod sessions;

mod format;
mod stored;

mod counters;
mod log;
mod refusal;
mod table;
mod timers;

pub use chat::Chat;
pub use counters::Counters;
pub use format::properties::MessageProperties;
pub use format::text::composed;
pub use io::{
    AccountAnswer, AccountCommand, AccountError, CredentialsChange, HashedPassword, Input,
    ListedAccount, Output, Owner, Publish, RequestId, Ticket,
};
pub use nodes::view::{ClusterView, Incarnation, NodeId, Ownership};
pub use nodes::{Frame, LinkLimits};
pub use query::{Found, Query, Read};
pub use recovery::{RecoveryError, recover};
pub use refusal::{Refusal, RefusalKind};
pub use sessions::delivery::{Answer, Audience, Delivery, Packet};

pub use settings::Settings;
pub use stored::damaged::{Damaged, Fault};
pub use stored::source::{End, ROW_OVERHEAD_MAX, Source, Unreadable};
