//! One MQTT client's protocol state: packet identifiers, QoS flows, windows, acknowledgement order and
//! topic aliases. Pure: it sends nothing and knows neither topics' subscribers nor connections; the
//! broker asks it what the protocol allows and tells it what the peer did.

mod acks;
mod aliases;
mod inbound;
mod outbound;

pub use acks::{Ack, AckKind, AckOrdinal, AckQueue};
pub use aliases::{Alias, AliasError, SentAliases, TopicAliases};
pub use inbound::{Inbound, Received};
pub use outbound::{AckError, Flight, FlightState, Outbound, PubrecOutcome};
