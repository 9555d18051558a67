//! MQTT over QUIC: a UDP socket of quinn's on the tokio threads, and for each connection one task that carries its one
//! stream to a shard through a pipe. A shard sees a byte stream like any other; no rule of MQTT stands here.

mod acceptor;
mod settings;
mod socket;
mod stream;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::Credentials;
use quinn::{Endpoint, EndpointConfig, VarInt};
use tokio::runtime::Handle;

use acceptor::Acceptor;
pub(crate) use acceptor::Destination;
use settings::Certificates;

use crate::config::{ListenAddress, ListenerConfig, ListenerKind, MqttConfig};
use crate::origin::ListenerNumber;

/// How a connection is closed, as the peer is told. Numbers of our own: no standard for MQTT over QUIC gives any.
#[derive(Debug, Clone, Copy)]
struct Ending {
    code: VarInt,
    reason: &'static str,
}

const fn ending(code: u32, reason: &'static str) -> Ending {
    Ending {
        code: VarInt::from_u32(code),
        reason,
    }
}

/// The MQTT connection is over, and everything has been sent.
const DONE: Ending = ending(0, "");
/// The peer has opened another stream; there is one, and it is bidirectional.
const SECOND_STREAM: Ending = ending(1, "one bidirectional stream carries MQTT");
/// The server, or the peer's address, has no place left.
const NO_PLACE: Ending = ending(2, "too many connections");
/// No stream was opened in time.
const TOO_SLOW: Ending = ending(3, "nothing was sent in time");
/// The peer did not take the last bytes in time.
const GIVEN_UP: Ending = ending(4, "the last bytes were not taken in time");
/// The server ends and has nothing to say on this connection.
const SHUT: Ending = ending(5, "the server ends");

/// How long closed connections may take to be known as such to their peers when the server ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// How many connections may be on their way in at one address, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeLimits {
    /// Handshakes under way; one more is refused.
    pub(crate) handshakes_max: usize,
    /// Above so many, a peer has to show that it receives at the address it sends from (a Retry, one more round trip), so
    /// that forged addresses cannot take the places of real ones.
    pub(crate) unproven_max: usize,
    /// From a connection's first packet to its CONNECT: until its stream is open it is held to it here, then by its shard.
    pub(crate) patience: Duration,
}

impl HandshakeLimits {
    pub(crate) fn of(mqtt: &MqttConfig, listener: &ListenerConfig) -> Self {
        Self {
            handshakes_max: mqtt.quic_handshakes_max,
            unproven_max: mqtt.quic_handshakes_unproven_max,
            patience: listener
                .limits
                .connect_timeout
                .unwrap_or(mqtt.connect_timeout),
        }
    }
}

/// A QUIC address that is bound, while the state is still being recovered.
pub(crate) struct Bound {
    pub(crate) socket: UdpSocket,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) limits: HandshakeLimits,
    pub(crate) listener: ListenerNumber,
    pub(crate) runtime: Handle,
}

/// Why a QUIC address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// It is not free.
    #[error(transparent)]
    Listen(#[from] net::ListenError),
    /// Whoever started the server gave no tokio runtime.
    #[error("a listener of kind \"quic\" needs a tokio runtime")]
    NoRuntime,
}

/// Binds the address of a listener of kind `quic`; of other kinds nothing.
pub(crate) fn socket(listener: &ListenerConfig) -> Result<Option<UdpSocket>, QuicError> {
    let (ListenerKind::Quic, ListenAddress::Ip(address)) = (listener.kind, &listener.address)
    else {
        return Ok(None);
    };
    Ok(Some(socket::bind(*address)?))
}

/// A QUIC address that is served.
pub(crate) struct QuicListener {
    endpoint: Endpoint,
    runtime: Handle,
}

impl QuicListener {
    /// Answers from here on.
    pub(crate) fn serve(bound: Bound, destination: Arc<Destination>) -> io::Result<Self> {
        let Bound {
            socket,
            credentials,
            limits,
            listener,
            runtime,
        } = bound;
        let certificates = Certificates::new(credentials).map_err(io::Error::other)?;
        let config = certificates.current();
        let inside = runtime.enter();
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            Some((*config).clone()),
            socket,
            Arc::new(quinn::TokioRuntime),
        )?;
        drop(inside);
        runtime.spawn(
            Acceptor::new(destination, certificates, limits, listener).run(endpoint.clone()),
        );
        Ok(Self { endpoint, runtime })
    }

    /// Takes nobody any more.
    pub(crate) fn refuse(&self) {
        self.endpoint.set_server_config(None);
    }

    /// Ends what is left and lets the peers know. Not to be called on a thread of tokio's.
    pub(crate) fn end(&self, until: Instant) {
        self.endpoint.close(SHUT.code, SHUT.reason.as_bytes());
        let longest = until
            .saturating_duration_since(Instant::now())
            .min(FAREWELL);
        self.runtime.block_on(async {
            // Peers that do not hear it find out by themselves.
            let _ = tokio::time::timeout(longest, self.endpoint.wait_idle()).await;
        });
    }
}
