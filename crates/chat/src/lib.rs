//! The rules of the messenger: accounts, conversations, presence, as a state machine. Pure: inputs and the time
//! come in, outputs go out; it holds no socket, no file and no clock, and knows no MQTT packet.

mod damaged;
mod delivery;
mod door;
mod settings;
mod source;
mod stored;

mod chat;
mod counters;
mod log;
mod recovery;
mod refusal;
mod timers;

mod publish;
mod topic;

mod address;
mod dedup;
mod message;
mod send;
mod share;

mod ask;
mod ended;
mod groups;
mod head;
mod history;
mod merge;
mod profile;
mod query;
mod reply;
mod row;

mod about;
mod catch_ups;
mod held;
mod live;
mod markers;
mod pending;
mod presence;
mod typing;

mod accounts;

mod directory;
mod quota;
mod recent;
mod rooms;
mod table;

mod json;
mod names;
mod text;
mod wire;

pub use chat::Chat;
pub use counters::Counters;
pub use damaged::{Damaged, Fault};
pub use delivery::{Answer, Audience, Delivery, Packet};
pub use door::{
    AccountAnswer, AccountCommand, AccountError, CredentialsChange, HashedPassword, Input,
    ListedAccount, Output, Publish, RequestId, Ticket,
};
pub use query::Query;
pub use recovery::{RecoveryError, recover};
pub use refusal::{Refusal, RefusalKind};
pub use settings::Settings;
pub use source::{End, ROW_OVERHEAD_MAX, Source, Unreadable};
pub use text::composed;
