//! Binds what the configuration says is to be listened on, and opens it once the state is recovered.

use std::io;
use std::sync::Arc;

use net::{Credentials, Listener};

use crate::config::{ListenAddress, ListenerConfig, ListenerKind, MqttConfig};
use crate::listener::{Endpoint, ServedListener, ServedListeners};
use crate::origin::ListenerNumber;
use crate::quic::{self, HandshakeLimits, QuicError};

/// Why a listener cannot be opened. The `Display` form says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// An address cannot be listened on.
    #[error("{0}; the address is set by [[mqtt.listener]] in the configuration, or --mqtt")]
    Listen(#[from] net::ListenError),
    /// An address for QUIC cannot be served.
    #[error("a listener of kind \"quic\" cannot be opened: {0}")]
    Quic(#[from] QuicError),
    /// A certificate or its key cannot be used.
    #[error(transparent)]
    Credentials(#[from] net::CredentialsError),
    /// The operating system does not say what it has bound.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

/// A shard's share of a listener.
pub(crate) struct Share {
    pub(crate) listener: Listener,
    pub(crate) number: ListenerNumber,
}

/// Listeners that are bound and answer nobody yet.
pub(crate) struct Bound {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) served: Arc<ServedListeners>,
    /// By listener, one for each shard; none where no shard accepts, as for QUIC.
    shares: Vec<Vec<Listener>>,
    pub(crate) quic: Vec<quic::Bound>,
}

impl Bound {
    /// Binds every listener, `shards` times each.
    pub(crate) fn bind(
        mqtt: &MqttConfig,
        hosts: &[String],
        shards: usize,
        runtime: Option<&tokio::runtime::Handle>,
    ) -> Result<Self, ListenerError> {
        let mut bound = Self::nothing();
        let mut served = Vec::new();
        let hosts = Arc::new(net::Hosts::new(hosts));
        for (index, config) in mqtt.listeners.iter().enumerate() {
            let listeners = match (&config.address, config.kind) {
                (_, ListenerKind::Quic) => Vec::new(),
                (ListenAddress::Ip(address), _) => net::listen(*address, shards)?,
                (ListenAddress::Path(path), _) => net::listen_unix(path, config.mode, shards)?,
            };
            let mut endpoint = endpoint(config, &listeners)?;
            let socket = quic::socket(config)?;
            if let Some(socket) = &socket {
                endpoint.address = ListenAddress::Ip(socket.local_addr()?);
            }
            let listener = ServedListener::new(index, config, mqtt, &endpoint, &hosts)?;
            if let (Some(socket), Some(credentials)) = (socket, listener.layers.tls.clone()) {
                bound.quic.push(quic::Bound {
                    socket,
                    credentials,
                    limits: HandshakeLimits::of(mqtt, config),
                    listener: listener.number,
                    runtime: runtime.ok_or(QuicError::NoRuntime)?.clone(),
                });
            }
            served.push(listener);
            bound.endpoints.push(endpoint);
            bound.shares.push(listeners);
        }
        bound.served = ServedListeners::new(served);
        Ok(bound)
    }

    /// For a server that is not listened to.
    pub(crate) fn nothing() -> Self {
        Self {
            endpoints: Vec::new(),
            served: ServedListeners::new(Vec::new()),
            shares: Vec::new(),
            quic: Vec::new(),
        }
    }

    /// The certificates of all of them.
    pub(crate) fn credentials(&self) -> Vec<Arc<Credentials>> {
        (0..self.endpoints.len())
            .filter_map(|index| self.served.of_listener(index)?.layers.tls.clone())
            .collect()
    }

    /// Each shard's shares, which answer from here on.
    pub(crate) fn open(self, shards: usize) -> io::Result<Vec<Vec<Share>>> {
        let mut by_shard: Vec<Vec<Share>> = (0..shards).map(|_| Vec::new()).collect();
        for (index, listeners) in self.shares.into_iter().enumerate() {
            for (listener, shares) in listeners.into_iter().zip(&mut by_shard) {
                listener.open()?;
                shares.push(Share {
                    listener,
                    number: ListenerNumber::of_listener(index),
                });
            }
        }
        Ok(by_shard)
    }
}

fn endpoint(config: &ListenerConfig, listeners: &[Listener]) -> io::Result<Endpoint> {
    let bound = listeners.first().map(Listener::local_addr).transpose()?;
    let mut endpoint = Endpoint::of(config);
    if let Some(address) = bound.flatten() {
        endpoint.address = ListenAddress::Ip(address);
    }
    Ok(endpoint)
}
