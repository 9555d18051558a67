//! Who receives a topic: subscriptions, interest of other shards and retained messages of one shard's broker.
//! Pure: it sends nothing, reads no clock and no random source (hash keys are an input), and knows sessions
//! only by their slot. Filters and topics come in already validated by the codec.

mod collect;
mod exact;
mod filter_map;
mod id_table;
mod keys;
mod pages;
mod remote;
mod retained;
mod roster;
mod shared;
mod subscriber;
mod subscriptions;
mod symbols;
mod text_pool;
mod trie;

pub use collect::Match;
pub use filter_map::FilterId;
pub use id_table::IdTable;
pub use remote::{RemoteIndex, RemoteMatch, SHARDS_MAX};
pub use retained::{LOOKED_AT_MAX, RetainedCursor, RetainedIndex};
pub use shared::{Chosen, GroupId, GroupInterest, Joined, SharedIndex, Standing};
pub use subscriber::{Interest, Subscriber};
pub use subscriptions::{Subscribed, SubscriptionIndex, Unsubscribed};
