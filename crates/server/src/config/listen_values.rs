//! What `[[mqtt.listener]]` comes to: values in which nothing stands that does not belong to the listener's kind.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::network::Network;

/// `[[mqtt.listener]]`: one address on which MQTT is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Where.
    pub address: ListenAddress,
    /// Set for the kinds that encrypt.
    pub tls: Option<TlsConfig>,
    /// Set for the kinds that carry MQTT in WebSocket frames.
    pub websocket: Option<WebSocketConfig>,
    /// Set when every connection begins with a PROXY header: who may send it. No network at all, which only a Unix socket
    /// may have, is everybody.
    pub proxies: Option<Vec<Network>>,
    /// Permissions of a Unix socket's file.
    pub mode: u32,
    /// Limits of its own.
    pub limits: ListenerLimits,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// MQTT on TCP.
    Tcp,
    /// MQTT on TLS on TCP.
    Tls,
    /// MQTT in WebSocket frames.
    WebSocket,
    /// MQTT in WebSocket frames on TLS.
    SecureWebSocket,
    /// MQTT on a Unix socket.
    Unix,
    /// MQTT on a stream of QUIC.
    Quic,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// At an address and a port.
    Ip(SocketAddr),
    /// At a file.
    Path(PathBuf),
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificate chain in PEM form.
    pub certificate: PathBuf,
    /// Its private key in PEM form.
    pub key: PathBuf,
    /// Authorities of clients' certificates in PEM form; set when clients are asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_certificate: ClientCertificate,
    /// Where in a verified certificate the account's name stands; without it certificates only let in.
    pub account_from: Option<AccountFrom>,
    /// The oldest version that is spoken.
    pub tls_min: TlsMin,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// No.
    None,
    /// Yes, but one without any may come in.
    Optional,
    /// Yes, and nobody comes in without.
    Required,
}

/// Where in a certificate the account's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountFrom {
    /// The common name of the subject.
    CommonName,
    /// The first DNS name among the subject's alternative names.
    AlternativeName,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMin {
    /// 1.2 and 1.3.
    V12,
    /// 1.3 only.
    V13,
}

/// What a WebSocket handshake has to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketConfig {
    /// The path.
    pub path: String,
    /// Origins whose pages may connect, `*` for all; empty: those of the same host.
    pub origins: Vec<String>,
}

/// Limits of one listener; `None` is the value in `[mqtt]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections.
    pub connections_max: Option<usize>,
    /// Connections from one address.
    pub connections_per_address_max: Option<usize>,
    /// Largest packet in bytes.
    pub max_packet_size: Option<u32>,
    /// How long a connection may take to send its CONNECT.
    pub connect_timeout: Option<Duration>,
    /// Whether clients without a user name may connect.
    pub allow_anonymous: Option<bool>,
}

impl ListenerConfig {
    /// MQTT on TCP, with the limits of `[mqtt]`.
    pub fn tcp(address: SocketAddr) -> Self {
        const MODE: u32 = 0o660;
        Self {
            kind: ListenerKind::Tcp,
            address: ListenAddress::Ip(address),
            tls: None,
            websocket: None,
            proxies: None,
            mode: MODE,
            limits: ListenerLimits::default(),
        }
    }

    /// Whether both cannot be listened on. QUIC has its ports to itself, and port 0 is any free one.
    pub(super) fn clashes_with(&self, other: &Self) -> bool {
        let datagrams = |listener: &Self| listener.kind == ListenerKind::Quic;
        let free = matches!(self.address, ListenAddress::Ip(address) if address.port() == 0);
        !free && self.address == other.address && datagrams(self) == datagrams(other)
    }
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1883)))
    }
}

impl ListenerKind {
    /// Every kind, in the order of the words in the file.
    pub const ALL: [Self; 6] = [
        Self::Tcp,
        Self::Tls,
        Self::WebSocket,
        Self::SecureWebSocket,
        Self::Unix,
        Self::Quic,
    ];

    /// Whether a certificate is needed.
    pub fn is_encrypted(self) -> bool {
        match self {
            Self::Tls | Self::SecureWebSocket | Self::Quic => true,
            Self::Tcp | Self::WebSocket | Self::Unix => false,
        }
    }

    /// Whether MQTT comes in WebSocket frames.
    pub fn is_websocket(self) -> bool {
        match self {
            Self::WebSocket | Self::SecureWebSocket => true,
            Self::Tcp | Self::Tls | Self::Unix | Self::Quic => false,
        }
    }

    /// What a client's address begins with.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Unix => "unix",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(out),
            Self::Path(path) => path.display().fmt(out),
        }
    }
}
