//! The listeners as connections see them: what comes before MQTT, who may speak for whom, and what is counted. It opens no
//! socket and holds no connection.

use std::net::IpAddr;
use std::sync::Arc;

use net::{
    CredentialFiles, Credentials, CredentialsError, Failure, Gate, Hosts, Layers, MessageBounds,
    MessageLimits, NameFrom,
};

use crate::config::{
    AccountFrom, ClientCertificate, ListenAddress, ListenerConfig, ListenerKind, MqttConfig,
    Network, TlsConfig, TlsMin,
};
use crate::origin::{ListenerNumber, Origin};

/// What MQTT is called when protocols of a TLS connection are negotiated.
const ALPN_MQTT: &[&[u8]] = &[b"mqtt"];
/// What carries a WebSocket handshake.
const ALPN_HTTP: &[&[u8]] = &[b"http/1.1"];

/// A listener that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Where, with the real port.
    pub address: ListenAddress,
    /// The path of a WebSocket listener, otherwise nothing.
    pub path: String,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, path) = (self.kind.scheme(), &self.path);
        match &self.address {
            ListenAddress::Ip(address) => write!(out, "{scheme}://{address}{path}"),
            ListenAddress::Path(file) => write!(out, "{scheme}:{}", file.display()),
        }
    }
}

impl Endpoint {
    /// The endpoint of a listener as it is configured; a port that is left to the operating system is 0.
    pub fn of(listener: &ListenerConfig) -> Self {
        Self {
            kind: listener.kind,
            address: listener.address.clone(),
            path: listener
                .websocket
                .as_ref()
                .map_or_else(String::new, |websocket| websocket.path.clone()),
        }
    }
}

/// One listener's rules and counters, shared by all shards.
pub(crate) struct ServedListener {
    pub(crate) number: ListenerNumber,
    pub(crate) layers: Layers,
    /// Who may send PROXY headers; none at all is everybody.
    proxies: Option<Vec<Network>>,
    name_from: Option<NameFrom>,
    accepted: metrics::Counter,
    refused: metrics::Counter,
    failures: Vec<(Failure, metrics::Counter)>,
    timeouts: metrics::Counter,
    untrusted_proxies: metrics::Counter,
}

/// Every listener, in the configuration's order.
pub(crate) struct ServedListeners(Vec<ServedListener>);

impl ServedListeners {
    pub(crate) fn new(served: Vec<ServedListener>) -> Arc<Self> {
        Arc::new(Self(served))
    }

    pub(crate) fn get(&self, number: ListenerNumber) -> Option<&ServedListener> {
        self.0.get(usize::from(number.0).checked_sub(1)?)
    }

    /// How long messages may be from now on.
    pub(crate) fn reconfigure(&self, mqtt: &MqttConfig) {
        for (listener, config) in self.0.iter().zip(&mqtt.listeners) {
            if let Some(gate) = &listener.layers.websocket {
                gate.bounds.set(message_limits(config, mqtt));
            }
        }
    }

    pub(crate) fn of_listener(&self, index: usize) -> Option<&ServedListener> {
        self.0.get(index)
    }
}

impl ServedListener {
    /// The listener at `index` of the configuration, which listens at `endpoint`. Reads its certificates.
    pub(crate) fn new(
        index: usize,
        config: &ListenerConfig,
        mqtt: &MqttConfig,
        endpoint: &Endpoint,
        hosts: &Arc<Hosts>,
    ) -> Result<Self, CredentialsError> {
        let tls = config.tls.as_ref();
        let layers = Layers {
            proxy: config.proxies.is_some(),
            tls: tls
                .map(|tls| Credentials::load(files(tls, config.kind)).map(Arc::new))
                .transpose()?,
            websocket: config.websocket.as_ref().map(|websocket| {
                Arc::new(Gate {
                    path: websocket.path.clone(),
                    origins: websocket.origins.clone(),
                    hosts: hosts.clone(),
                    bounds: MessageBounds::new(message_limits(config, mqtt)),
                })
            }),
        };
        let name_from = tls.and_then(|tls| tls.account_from).map(|from| match from {
            AccountFrom::CommonName => NameFrom::CommonName,
            AccountFrom::AlternativeName => NameFrom::AlternativeName,
        });
        describe();
        let listener = endpoint.to_string();
        let failure = |reason: &'static str| metrics::counter!("magpie_handshake_failures_total", "listener" => listener.clone(), "reason" => reason);
        Ok(Self {
            number: ListenerNumber::of_listener(index),
            layers,
            proxies: config.proxies.clone(),
            name_from,
            accepted: metrics::counter!("magpie_listener_connections_total", "listener" => listener.clone()),
            refused: metrics::counter!("magpie_listener_refused_total", "listener" => listener.clone()),
            failures: Failure::ALL.map(|why| (why, failure(why.label()))).into(),
            timeouts: failure("timeout"),
            untrusted_proxies: failure("proxy_from"),
        })
    }

    /// The origin of a connection that was accepted from `peer`. `None`: it may not speak for others, and everybody has to
    /// here. Behind a proxy the address is not known yet.
    pub(crate) fn origin(&self, peer: IpAddr) -> Option<Origin> {
        let address = match &self.proxies {
            None => peer,
            Some(proxies) if proxies.is_empty() => net::UNIX_PEER,
            Some(proxies) if proxies.iter().any(|network| network.contains(peer)) => net::UNIX_PEER,
            Some(_) => {
                self.untrusted_proxies.increment(1);
                tracing::debug!(%peer, "a connection from no proxy was closed");
                return None;
            }
        };
        Some(Origin {
            address,
            listener: self.number,
            refused: None,
        })
    }

    /// The account's name in a verified certificate.
    pub(crate) fn account(&self, certificate: Option<&[u8]>) -> Option<String> {
        net::certificate_name(certificate?, self.name_from?)
    }

    pub(crate) fn count_accepted(&self) {
        self.accepted.increment(1);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.increment(1);
    }

    pub(crate) fn count_timeout(&self) {
        self.timeouts.increment(1);
    }

    pub(crate) fn count_failure(&self, failure: Failure) {
        if let Some((_, counter)) = self.failures.iter().find(|(known, _)| *known == failure) {
            counter.increment(1);
        }
    }
}

fn message_limits(listener: &ListenerConfig, mqtt: &MqttConfig) -> MessageLimits {
    let packet = listener.limits.max_packet_size;
    MessageLimits {
        unauthenticated_bytes_max: mqtt.connect_bytes_max as usize,
        bytes_max: packet.unwrap_or(mqtt.max_packet_size) as usize,
    }
}

/// Certificate files of a listener.
pub(crate) fn files(tls: &TlsConfig, kind: ListenerKind) -> CredentialFiles {
    CredentialFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca: tls.client_ca.clone(),
        client_required: tls.client_certificate == ClientCertificate::Required,
        tls12: tls.tls_min == TlsMin::V12 && kind != ListenerKind::Quic,
        protocols: if kind.is_websocket() {
            ALPN_HTTP
        } else {
            ALPN_MQTT
        },
    }
}

/// Certificate files of the HTTP server.
pub(crate) fn http_files(certificate: &std::path::Path, key: &std::path::Path) -> CredentialFiles {
    CredentialFiles {
        certificate: certificate.to_path_buf(),
        key: key.to_path_buf(),
        client_ca: None,
        client_required: false,
        tls12: true,
        protocols: ALPN_HTTP,
    }
}

fn describe() {
    metrics::describe_counter!(
        "magpie_listener_connections_total",
        "Connections that a listener has accepted."
    );
    metrics::describe_counter!(
        "magpie_listener_refused_total",
        "Connections that a listener has refused because of a limit, its own or the server's."
    );
    metrics::describe_counter!(
        "magpie_handshake_failures_total",
        "Connections that did not get as far as MQTT, by listener and reason."
    );
}
