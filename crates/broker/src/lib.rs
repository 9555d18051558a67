//! One shard of the broker: sessions and routing as a state machine. Pure: inputs and the time come in,
//! outputs go out; it holds no socket, no file and no clock.

mod door;
mod settings;

mod acknowledge;
mod connect;
mod connection;
mod deliver;
mod durable;
mod ending;
mod frames;
mod messenger;
mod packets;
mod publish;
mod recovery;
mod retained;
mod session;
mod shard;
mod shares;
mod subscribe;

mod access;
mod counters;
mod message;
mod timers;
mod watch;

pub use access::{AccessList, Action, Client, Rule, Verdict, Who};
pub use connect::PendingConnect;
pub use counters::Counters;
pub use deliver::FETCH_MAX;
pub use door::{
    Announcement, Audience, AuthenticationRequest, ChatDelivery, ChatPublish, ConnectionId,
    Forwarded, Identity, Input, Output, Service, Ticket,
};
pub use message::Message;
pub use recovery::{RecoveredSession, Recovery};
pub use settings::{Limits, Settings};
pub use shard::{Place, Population, SHARDS_MAX, Shard};
