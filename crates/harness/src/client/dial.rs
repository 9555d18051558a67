//! How a client connects: everything that goes into its CONNECT.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::stream::{Layers, Place, WebSocketRequest};
use mqtt_codec::{Connect, ConnectProperties, QoS, Version, Will, WillProperties};

/// A CONNECT to be sent to an address.
#[derive(Debug, Clone)]
pub struct Dial {
    pub(super) place: Place,
    pub(super) layers: Layers,
    pub(super) version: Version,
    pub(super) client_id: String,
    login: Option<(String, String)>,
    clean: bool,
    session_expiry: Option<u32>,
    receive_maximum: Option<u16>,
    keep_alive: u16,
    pub(super) topic_alias_maximum: u16,
    will: Option<(String, Vec<u8>, QoS)>,
}

/// Seconds.
const KEEP_ALIVE: u16 = 60;

impl Dial {
    /// Without a login, with a clean session that ends with the connection.
    pub fn new(address: SocketAddr, version: Version, client_id: &str) -> Self {
        Self {
            place: Place::Tcp(address),
            layers: Layers::default(),
            version,
            client_id: client_id.to_owned(),
            login: None,
            clean: true,
            session_expiry: None,
            receive_maximum: None,
            keep_alive: KEEP_ALIVE,
            topic_alias_maximum: 0,
            will: None,
        }
    }

    /// To a Unix socket in place of the address.
    #[must_use]
    pub fn unix(mut self, path: &Path) -> Self {
        self.place = Place::Unix(path.to_path_buf());
        self
    }

    /// To another address.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.place = Place::Tcp(address);
        self
    }

    /// With these bytes before everything else, as a proxy sends them.
    #[must_use]
    pub fn preamble(mut self, bytes: &[u8]) -> Self {
        self.layers.preamble = bytes.to_vec();
        self
    }

    /// With Nagle's algorithm, as clients have it that do not set TCP_NODELAY.
    #[must_use]
    pub fn nagle(mut self) -> Self {
        self.layers.nagle = true;
        self
    }

    /// Over TLS; the server is called `localhost`.
    #[must_use]
    pub fn tls(mut self, config: &Arc<rustls::ClientConfig>) -> Self {
        self.layers.tls = Some(config.clone());
        self
    }

    /// In WebSocket frames.
    #[must_use]
    pub fn websocket(mut self, path: &str, origin: Option<&str>) -> Self {
        self.layers.websocket = Some(WebSocketRequest {
            path: path.to_owned(),
            origin: origin.map(str::to_owned),
        });
        self
    }

    /// Without a user name and a password.
    #[must_use]
    pub fn nameless(mut self) -> Self {
        self.login = None;
        self
    }

    /// With a user name and a password.
    #[must_use]
    pub fn login(mut self, name: &str, password: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// With a session that outlives the connection, resumed if there is one.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        const HOUR: u32 = 3600;
        self.clean = false;
        self.session_expiry = (self.version == Version::V5).then_some(HOUR);
        self
    }

    /// With at most so many unacknowledged deliveries (MQTT 5).
    #[must_use]
    pub fn receive_maximum(mut self, maximum: u16) -> Self {
        self.receive_maximum = Some(maximum);
        self
    }

    /// With this keep-alive, in seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// With topic aliases that the server may set, so many (MQTT 5).
    #[must_use]
    pub fn topic_aliases(mut self, maximum: u16) -> Self {
        self.topic_alias_maximum = maximum;
        self
    }

    /// With a will.
    #[must_use]
    pub fn will(mut self, topic: &str, payload: &str, qos: QoS) -> Self {
        self.will = Some((topic.to_owned(), payload.as_bytes().to_vec(), qos));
        self
    }

    /// Connects.
    pub fn connect(self) -> Result<super::Client, super::ClientError> {
        super::Client::connect(self)
    }

    pub(super) fn packet(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Connect {
            version: self.version,
            client_id: &self.client_id,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            will: self.will.as_ref().map(|(topic, payload, qos)| Will {
                topic,
                payload,
                qos: *qos,
                retain: false,
                properties: WillProperties::default(),
            }),
            username: self.login.as_ref().map(|(name, _)| name.as_str()),
            password: self.login.as_ref().map(|(_, password)| password.as_bytes()),
            properties: ConnectProperties {
                session_expiry: self.session_expiry,
                receive_maximum: self.receive_maximum,
                topic_alias_maximum: self.topic_alias_maximum,
                ..ConnectProperties::default()
            },
        }
        .encode(&mut bytes);
        bytes
    }
}
