//! One shard of the broker: sessions and routing as a state machine. Pure: inputs and the time come in,
//! outputs go out; it holds no socket, no file and no clock.

mod io;
mod message;
mod settings;

mod clock;
mod outputs;
mod peers;

mod access;
mod authentication;
mod connections;
mod delivery;
mod messenger;
mod metrics;
mod publishing;
mod recovery;
mod retained;
mod sessions;
mod shard;
mod shared;
mod stored;
mod subscriptions;
mod turn;
mod wills;

pub use access::list::{AccessList, Action, Client, Identity, Rule, Verdict, Who};
pub use connections::pending_connect::PendingConnect;
pub use delivery::waiting::FETCH_MAX;
pub use io::{
    Announcement, AuthenticationRequest, ChatDelivery, ChatProperties, ChatPublish, ConnectionId,
    ExchangeRequest, Exchanged, Explanation, Forwarded, ForwardedClaim, Input, Output, PassedClaim,
    PassedOn, Pressure, Recipients, Service, Shed, Ticket,
};
pub use message::Message;
pub use metrics::counters::{Counters, Population, SlowClient};
pub use metrics::drops::{ClientName, DropReason, Dropped, NAMED_MAX};
pub use metrics::latency::{BOUNDS_MICROS, Histogram, Latencies};
pub use publishing::allowances::Allowances;
pub use recovery::recover::{Rows, Unreadable, recover};
pub use retained::message::RetainedMessage;
pub use sessions::account_usage::AccountUsage;
pub use settings::{Limits, ListenerSettings, Redirect, Settings};
pub use shard::{Place, SHARDS_MAX, Shard};
pub use stored::appends::APPEND_BYTES_MAX;
pub use stored::survey::{Holder, Survey};
