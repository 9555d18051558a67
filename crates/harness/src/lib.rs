//! For tests through the real binary: starts and kills it, speaks MQTT to it, runs other programs beside it. It knows
//! the wire and the command line only, never the server's insides. What a test must not see (a protocol violation, an
//! overdue answer) is a panic that says what was seen.

mod binary;
mod folder;
mod program;
mod server;
mod watched;

mod authority;
mod burst;
mod client;
mod crowd;
mod http;
mod wire;

mod skip;

pub mod proof;

pub use authority::{Authority, Signed};
pub use binary::magpie;
pub use burst::Burst;
pub use client::{Acknowledgement, Client, ClientError, Dial, Event, Message};
pub use crowd::{connect_from, raise_descriptors};
pub use folder::repository;
pub use http::{HttpAnswer, http_get, http_post, http_raw};
pub use mqtt_codec::{QoS, Version};
pub use program::{Program, Signal};
pub use rustls;
pub use server::{Launch, Server, own_address, password};
pub use skip::{Needs, skip};
pub use watched::Watched;
pub use wire::Wire;

use std::time::Duration;

/// How long anything may take before a test gives up. Far beyond what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
