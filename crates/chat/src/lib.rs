//! The rules of the messenger: accounts, conversations, markers, presence, as a state machine. Pure: inputs and the time
//! come in, outputs go out; it holds no socket, no file and no clock, and knows no MQTT packet.

mod door;
mod settings;

mod chat;
mod query;
mod refusal;

pub use chat::Chat;
pub use door::{
    AccountAnswer, AccountCommand, AccountError, Answer, Audience, CredentialsChange, Delivery,
    Input, ListedAccount, Output, Packet, Publish, RequestId, Source, Ticket, Unreadable,
};
pub use query::Query;
pub use refusal::{Refusal, RefusalKind};
pub use settings::Settings;
