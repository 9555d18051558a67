//! Bytes to MQTT packets and back, for MQTT 3.1, 3.1.1 and 5. Decoding borrows from the frame and allocates
//! nothing; encoding appends to a buffer. What can be checked without a session's state is checked here.

mod error;
mod reason;
mod version;

pub mod frame;
mod packet;
mod property;
mod read;

pub mod ack;
mod auth;
pub mod connack;
mod connect;
pub mod disconnect;
pub mod publish;
pub mod suback;
mod subscribe;
pub mod topic;
mod write;

pub use ack::{Ack, Explanation};
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, ConnectProperties, VERSION_BYTES_MAX, Will, WillProperties};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use error::DecodeError;
pub use packet::{Packet, decode};
pub use property::{DecodeLimits, UserProperties};
pub use publish::{Publish, PublishProperties};
pub use reason::ReasonCode;
pub use suback::Suback;
pub use subscribe::{Subscribe, SubscribeProperties, SubscriptionOptions, Unsubscribe};
pub use version::{QoS, Version};
