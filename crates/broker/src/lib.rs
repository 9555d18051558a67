//! One shard of the broker: sessions and routing as a state machine. Pure: inputs and the time come in,
//! outputs go out; it holds no socket, no file and no clock.

mod door;
mod settings;

mod acknowledge;
mod across;
mod audience;
mod authenticate;
mod away;
mod claims;
mod connect;
mod connection;
mod deliver;
mod durable;
mod earlier;
mod ending;
mod exchange;
mod fanout;
mod filters;
mod former;
mod frames;
mod jobs;
mod messenger;
mod packets;
mod pending;
mod publish;
mod queue_marks;
mod rates;
mod reading;
mod recovery;
mod remains;
mod restart;
mod retained;
mod retained_message;
mod retained_usage;
mod returns;
mod rows;
mod session;
mod shard;
mod shares;
mod storage;
mod stored;
mod subscribe;
mod survey;
mod system;
mod turn;
mod unauthenticated;
mod waiting;
mod wills;

mod access;
mod access_change;
mod account_share;
mod account_usage;
mod allowances;
mod counters;
mod drops;
mod latency;
mod lookup;
mod message;
mod timers;
mod watch;
mod will;

pub use access::{AccessList, Action, Client, Identity, Rule, Verdict, Who};
pub use account_usage::AccountUsage;
pub use allowances::Allowances;
pub use counters::{Counters, Population, SlowClient};
pub use deliver::FETCH_MAX;
pub use door::{
    Announcement, Audience, AuthenticationRequest, ChatDelivery, ChatPublish, ConnectionId,
    ExchangeRequest, Exchanged, Forwarded, ForwardedClaim, Input, Output, PassedClaim, PassedOn,
    Pressure, Service, Shed, Ticket,
};
pub use drops::{ClientName, DropReason, Dropped, NAMED_MAX};
pub use durable::APPEND_BYTES_MAX;
pub use latency::{BOUNDS_MICROS, Histogram, Latencies};
pub use message::Message;
pub use pending::PendingConnect;
pub use restart::{Rows, Unreadable, recover};
pub use retained_message::RetainedMessage;
pub use settings::{Entrance, Limits, Redirect, Settings};
pub use shard::{Place, SHARDS_MAX, Shard};
pub use survey::{Holder, Survey};
