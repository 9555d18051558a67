//! A CONNECT between its packet and its session, while credentials are checked or on its way to another
//! shard. Data only.

use std::sync::Arc;

use mqtt_codec::Version;
use records::{Millis, Stamp};

use crate::access::list::Identity;
use crate::authentication::exchange::Exchange;
use crate::wills::will::Will;

/// A CONNECT on its way to its session, possibly on another shard.
pub struct PendingConnect {
    pub(super) version: Version,
    pub(super) client_id: Arc<str>,
    /// The server chose the client id. [5 MQTT-3.1.3-7]
    pub(super) assigned: bool,
    pub(super) clean_start: bool,
    pub(super) keepalive_secs: u16,
    pub(super) expiry_secs: u32,
    pub(super) receive_maximum: u16,
    pub(super) packet_bytes_max: u32,
    /// The client's Topic Alias Maximum.
    pub(super) aliases_max: u16,
    pub(super) problem_information: bool,
    pub(super) response_information: bool,
    pub(super) will: Option<Box<Will>>,
    pub(super) identity: Option<Identity>,
    /// When the CONNECT came.
    pub(super) connect_at: Millis,
    /// Its place among the CONNECTs of all shards.
    pub(super) connect_stamp: Stamp,
    /// The shard that owns the session.
    pub(super) home: u16,
    /// Its enhanced authentication, for the shard it goes to.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Bytes that came behind the CONNECT.
    pub(super) rest: Vec<u8>,
    /// Through which of the settings' listeners it came.
    pub(super) listener: u8,
}

impl std::fmt::Debug for PendingConnect {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PendingConnect")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl PendingConnect {
    /// What a client can make long in it.
    pub(crate) fn bytes(&self) -> usize {
        let will = self.will.as_ref().map_or(0, |will| {
            let message = &will.message;
            message.topic.len() + message.payload.len() + message.properties.len()
        });
        self.client_id.len() + will + self.rest.len()
    }
}
