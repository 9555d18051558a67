//! One network connection: how far its handshake has come, what the client said about itself, and the
//! bytes that wait in either direction. A connection that is idle owns no buffer.

use mqtt_codec::{ReasonCode, Version};
use mqtt_session::{AckQueue, SentAliases, TopicAliases};
use records::Moment;

use crate::authentication::exchange::Exchange;
use crate::connections::pending_connect::PendingConnect;
use crate::io::Explanation;

/// So much of each connection is not counted: an ordinary CONNECT is always let in.
const FREE_BYTES: usize = 512;

/// Why a connection has to close.
pub(crate) type Fault = ReasonCode;

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// No CONNECT yet.
    AwaitConnect,
    /// CONNECT came; its credentials are being checked, or an exchange of enhanced authentication is under way.
    Authenticating(Box<PendingConnect>),
    /// Its session lives on another shard; it goes there at the end of the turn.
    Leaving(Box<PendingConnect>),
    /// The session is being stored before CONNACK says that it exists.
    Storing { session: u32, chosen: Chosen },
    /// CONNACK was sent.
    Open { session: u32 },
    /// Nothing more is read; what waits is written, then the socket closes.
    Closing,
}

/// What the server chose in place of the client, so that CONNACK says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) client_id: bool,
    pub(crate) keepalive: bool,
    pub(crate) expiry: bool,
}

/// What an open connection only needs when it publishes.
#[derive(Debug, Default)]
pub(crate) struct Publishing {
    pub(crate) acks: AckQueue<(ReasonCode, Option<Box<Explanation>>), Moment>,
    pub(crate) aliases: TopicAliases,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) serial: u32,
    pub(crate) stage: Stage,
    pub(crate) version: Version,
    /// Listed for a flush at the end of the turn.
    pub(super) touched: bool,
    /// It is not read because it does not read.
    pub(super) choked: bool,
    /// The socket is not read.
    pub(super) paused: bool,
    /// The client asked for reason strings. [5 MQTT-3.1.2-29]
    pub(crate) problem_information: bool,
    /// The client asked for response information.
    pub(super) response_information: bool,
    /// Through which of the settings' listeners it came.
    pub(crate) listener: u8,
    /// Who it is has been proved outside: a CONNECT without a user name is asked about all the same.
    pub(super) vouched: bool,
    /// What its CONNECT is answered with, whatever it says.
    pub(super) refusal: Option<ReasonCode>,
    /// Keep-alive in seconds; 0 = none.
    pub(super) keepalive_secs: u16,
    /// The client's Receive Maximum.
    pub(crate) receive_maximum: u16,
    /// Topic aliases that may be set for the client.
    pub(crate) aliases_max: u16,
    /// The client's Maximum Packet Size.
    pub(crate) packet_bytes_max: u32,
    /// Second of the shard's clock at which the client was last heard.
    pub(super) heard_secs: u32,
    /// Second of the shard's clock at which it is checked.
    pub(super) check_secs: u32,
    /// What it is counted for among the bytes of clients that have not been let in.
    pub(super) unauthenticated_bytes: u32,
    /// Bytes of `outgoing` that are written.
    pub(super) written: u32,
    pub(super) outgoing: Vec<u8>,
    /// The beginning of a packet whose end has not come, or what was not processed yet.
    #[expect(
        clippy::box_collection,
        reason = "an idle connection pays 8 bytes for it, not 24"
    )]
    pub(super) partial: Option<Box<Vec<u8>>>,
    pub(crate) publishing: Option<Box<Publishing>>,
    /// Topic aliases that were set for the client.
    pub(crate) aliases: Option<Box<SentAliases>>,
    /// Only with an authentication method.
    pub(crate) exchange: Option<Box<Exchange>>,
}

impl Connection {
    pub(crate) fn new(serial: u32, heard_secs: u32) -> Self {
        Self {
            serial,
            stage: Stage::AwaitConnect,
            version: Version::V311,
            touched: false,
            choked: false,
            paused: false,
            problem_information: true,
            response_information: false,
            listener: 0,
            vouched: false,
            refusal: None,
            keepalive_secs: 0,
            receive_maximum: u16::MAX,
            aliases_max: 0,
            packet_bytes_max: u32::MAX,
            heard_secs,
            check_secs: 0,
            unauthenticated_bytes: 0,
            written: 0,
            outgoing: Vec::new(),
            partial: None,
            publishing: None,
            aliases: None,
            exchange: None,
        }
    }

    /// Whether the client's next AUTH is awaited.
    pub(crate) fn awaits_client(&self) -> bool {
        self.exchange
            .as_ref()
            .is_some_and(|exchange| exchange.awaits_client())
    }

    /// Bytes that wait for the socket.
    pub(crate) fn backlog(&self) -> usize {
        self.outgoing.len() - self.written as usize
    }

    pub(crate) fn publishing(&mut self) -> &mut Publishing {
        self.publishing.get_or_insert_default()
    }

    /// What it holds beyond what is free, as long as it has not been let in.
    pub(crate) fn bytes_before_entry(&self, outside: usize) -> usize {
        let connect = match &self.stage {
            Stage::AwaitConnect => 0,
            Stage::Authenticating(pending) | Stage::Leaving(pending) => pending.bytes(),
            Stage::Storing { .. } | Stage::Open { .. } | Stage::Closing => return 0,
        };
        let partial = self.partial.as_ref().map_or(0, |bytes| bytes.capacity());
        (partial + connect + outside).saturating_sub(FREE_BYTES)
    }
}
