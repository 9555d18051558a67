//! One `[[mqtt.listener]]`: its keys, and how what is written becomes a `ListenerConfig`, in which nothing can stand that
//! does not belong to its kind. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{self, address};
use super::network::Network;
use super::slot::{Applies, COUNT_MAX, Key, Slot, TimeUnit};
use super::values::{
    AccountFrom, ClientCertificate, ListenAddress, ListenerConfig, ListenerKind, ListenerLimits,
    MqttConfig, TlsConfig, TlsMin, WebSocketConfig,
};

/// Kinds, as written, in the order of `ListenerKind::ALL`.
const KINDS: &[&str] = &["tcp", "tls", "ws", "wss", "unix", "quic"];
/// What this server can serve.
const BUILT: &[ListenerKind] = &ListenerKind::ALL;
const CLIENT_CERTIFICATE: &[&str] = &["none", "optional", "required"];
const ACCOUNT_FROM: &[&str] = &["cn", "san"];
const TLS_MIN: &[&str] = &["1.2", "1.3"];
/// Origins, or networks of proxies, of one listener.
const LIST_MAX: usize = 100;

/// Keys whose default is the value in `[mqtt]`.
pub(super) const INHERITED: &[&str] = &[
    "connections_max",
    "connections_per_address_max",
    "max_packet_size",
    "connect_timeout_secs",
    "allow_anonymous",
];

/// One listener as written.
#[derive(Clone)]
pub(super) struct ListenerDraft {
    kind: usize,
    address: String,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_certificate: usize,
    account_from: Option<usize>,
    tls_min: usize,
    path: String,
    origins: Vec<String>,
    mode: String,
    proxy_protocol: bool,
    proxy_from: Vec<String>,
    connections_max: usize,
    connections_per_address_max: usize,
    max_packet_size: u32,
    connect_timeout: Duration,
    allow_anonymous: bool,
}

impl Default for ListenerDraft {
    fn default() -> Self {
        let mqtt = MqttConfig::default();
        Self {
            kind: 0,
            address: String::new(),
            certificate: None,
            key: None,
            client_ca: None,
            client_certificate: 0,
            account_from: None,
            tls_min: 0,
            path: "/mqtt".to_owned(),
            origins: Vec::new(),
            mode: "0660".to_owned(),
            proxy_protocol: false,
            proxy_from: Vec::new(),
            connections_max: mqtt.connections_max,
            connections_per_address_max: mqtt.connections_per_address_max,
            max_packet_size: mqtt.max_packet_size,
            connect_timeout: mqtt.connect_timeout,
            allow_anonymous: mqtt.allow_anonymous,
        }
    }
}

impl ListenerDraft {
    /// The listener, or what is wrong with it: the key, or none where it is the whole, and the problem. `written` says
    /// which keys stand in the file.
    pub(super) fn finish(
        self,
        written: impl Fn(&str) -> bool,
    ) -> Result<ListenerConfig, (&'static str, String)> {
        let kind = ListenerKind::ALL[self.kind];
        if !BUILT.contains(&kind) {
            let problem = format!("\"{}\" is not built into this server", KINDS[self.kind]);
            return Err(("kind", problem));
        }
        foreign_keys(kind, &written)?;
        if !written("address") {
            let example = match kind {
                ListenerKind::Unix => "\"/run/magpie/mqtt.sock\"",
                ListenerKind::Tls | ListenerKind::Quic => "\"0.0.0.0:8883\"",
                ListenerKind::SecureWebSocket => "\"0.0.0.0:8884\"",
                ListenerKind::WebSocket => "\"127.0.0.1:8083\"",
                ListenerKind::Tcp => "\"127.0.0.1:1883\"",
            };
            return Err(("", format!("has no `address`, such as {example}")));
        }
        Ok(ListenerConfig {
            kind,
            address: self.listen_address(kind)?,
            tls: kind.is_encrypted().then(|| self.tls()).transpose()?,
            websocket: kind.is_websocket().then(|| WebSocketConfig {
                path: self.path.clone(),
                origins: self.origins.clone(),
            }),
            proxies: self.proxies(kind)?,
            mode: u32::from_str_radix(&self.mode, 8).unwrap_or(0o660),
            limits: ListenerLimits {
                connections_max: written("connections_max").then_some(self.connections_max),
                connections_per_address_max: written("connections_per_address_max")
                    .then_some(self.connections_per_address_max),
                max_packet_size: written("max_packet_size").then_some(self.max_packet_size),
                connect_timeout: written("connect_timeout_secs").then_some(self.connect_timeout),
                allow_anonymous: written("allow_anonymous").then_some(self.allow_anonymous),
            },
        })
    }

    fn listen_address(&self, kind: ListenerKind) -> Result<ListenAddress, (&'static str, String)> {
        if kind == ListenerKind::Unix {
            return match check::socket_path(&self.address) {
                Ok(()) => Ok(ListenAddress::Path(PathBuf::from(&self.address))),
                Err(problem) => Err(("address", problem)),
            };
        }
        let address: SocketAddr = address(&self.address).map_err(|problem| ("address", problem))?;
        Ok(ListenAddress::Ip(address))
    }

    fn tls(&self) -> Result<TlsConfig, (&'static str, String)> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            let problem = "needs a `certificate` and its `key`, two files in PEM form";
            return Err(("", problem.to_owned()));
        };
        let client_certificate = match self.client_certificate {
            0 => ClientCertificate::None,
            1 => ClientCertificate::Optional,
            _ => ClientCertificate::Required,
        };
        let asks = client_certificate != ClientCertificate::None;
        if asks && self.client_ca.is_none() {
            let problem =
                "needs `client_ca`, the file with the authorities that sign clients' certificates";
            return Err(("client_certificate", problem.to_owned()));
        }
        if !asks && self.client_ca.is_some() {
            let problem = "is of no use without client_certificate = \"optional\" or \"required\"";
            return Err(("client_ca", problem.to_owned()));
        }
        let account_from = self.account_from.map(|index| match index {
            0 => AccountFrom::CommonName,
            _ => AccountFrom::AlternativeName,
        });
        if !asks && account_from.is_some() {
            let problem = "is of no use without client_certificate = \"optional\" or \"required\"";
            return Err(("account_from", problem.to_owned()));
        }
        Ok(TlsConfig {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: self.client_ca.clone(),
            client_certificate,
            account_from,
            tls_min: if self.tls_min == 0 {
                TlsMin::V12
            } else {
                TlsMin::V13
            },
        })
    }

    /// `None` without the PROXY protocol.
    fn proxies(&self, kind: ListenerKind) -> Result<Option<Vec<Network>>, (&'static str, String)> {
        if !self.proxy_protocol {
            return match self.proxy_from.is_empty() {
                true => Ok(None),
                false => Err((
                    "proxy_from",
                    "is of no use without proxy_protocol = true".to_owned(),
                )),
            };
        }
        // Who may write to a Unix socket is the file's mode; addresses are believed only from those who are named.
        if self.proxy_from.is_empty() && kind != ListenerKind::Unix {
            let problem = "needs `proxy_from`, the proxies' addresses, such as [\"127.0.0.1\", \"10.0.0.0/8\"]; \
                           anybody else could claim any address";
            return Err(("proxy_protocol", problem.to_owned()));
        }
        let networks: Result<Vec<Network>, String> =
            self.proxy_from.iter().map(|text| text.parse()).collect();
        networks
            .map(Some)
            .map_err(|problem| ("proxy_from", problem))
    }
}

/// Keys that say nothing about this kind of listener.
fn foreign_keys(
    kind: ListenerKind,
    written: &impl Fn(&str) -> bool,
) -> Result<(), (&'static str, String)> {
    const TLS: &[&str] = &[
        "certificate",
        "key",
        "client_ca",
        "client_certificate",
        "account_from",
        "tls_min",
    ];
    let groups: [(&[&'static str], bool, &str); 4] = [
        (TLS, kind.is_encrypted(), "tls, wss and quic"),
        (&["path", "origins"], kind.is_websocket(), "ws and wss"),
        (&["mode"], kind == ListenerKind::Unix, "unix"),
        (
            &["proxy_protocol", "proxy_from"],
            kind != ListenerKind::Quic,
            "tcp, tls, ws, wss and unix",
        ),
    ];
    for (keys, belongs, kinds) in groups {
        for key in keys {
            if written(key) && !belongs {
                let word = KINDS[kind as usize];
                return Err((
                    key,
                    format!("belongs to listeners of kind {kinds}, this one is {word}"),
                ));
            }
        }
    }
    Ok(())
}

const fn key(
    name: &'static str,
    slot: Slot<ListenerDraft>,
    about: &'static str,
) -> Key<ListenerDraft> {
    Key {
        name,
        slot,
        applies: Applies::OnRestart,
        about,
    }
}

/// The keys of one `[[mqtt.listener]]`.
pub(super) static LISTENER: &[Key<ListenerDraft>] = &[
    key(
        "kind",
        Slot::Choice {
            words: KINDS,
            index: |l| l.kind,
            choose: |l, index| l.kind = index,
        },
        "What is spoken there. Outside loopback, `tcp` and `ws` carry passwords in the clear.",
    ),
    key(
        "address",
        Slot::Text {
            at: |l| &mut l.address,
            check: |text| {
                if text.is_empty() {
                    Err("an empty address".to_owned())
                } else {
                    Ok(())
                }
            },
            expected: "an address such as \"127.0.0.1:1883\", or a path for kind \"unix\"",
        },
        "Where: an IP address and a port, for `unix` the path of the socket.",
    ),
    key(
        "certificate",
        Slot::OptionalPath(|l| &mut l.certificate),
        "`tls`, `wss`, `quic`: the certificate and those of its authorities, PEM. Read again when it changes and on SIGHUP.",
    ),
    key(
        "key",
        Slot::OptionalPath(|l| &mut l.key),
        "The certificate's private key, PEM, not encrypted. Read again like the certificate.",
    ),
    key(
        "client_ca",
        Slot::OptionalPath(|l| &mut l.client_ca),
        "The authorities whose clients' certificates are believed, PEM. Read again like the certificate.",
    ),
    key(
        "client_certificate",
        Slot::Choice {
            words: CLIENT_CERTIFICATE,
            index: |l| l.client_certificate,
            choose: |l, index| l.client_certificate = index,
        },
        "Whether a client is asked for a certificate, and whether it must have one. A wrong one is refused in any case.",
    ),
    key(
        "account_from",
        Slot::Choice {
            words: ACCOUNT_FROM,
            index: |l| l.account_from.unwrap_or(usize::MAX),
            choose: |l, index| l.account_from = Some(index),
        },
        "A client with a verified certificate is the account it names and needs no password: `cn` is the subject's common name, `san` the first DNS name among the alternative names.",
    ),
    key(
        "tls_min",
        Slot::Choice {
            words: TLS_MIN,
            index: |l| l.tls_min,
            choose: |l, index| l.tls_min = index,
        },
        "The oldest version of TLS that is spoken. QUIC is always 1.3.",
    ),
    key(
        "path",
        Slot::Text {
            at: |l| &mut l.path,
            check: check::url_path,
            expected: "a path such as \"/mqtt\"",
        },
        "`ws`, `wss`: the path that clients ask for; others are answered 404.",
    ),
    key(
        "origins",
        Slot::Texts {
            at: |l| &mut l.origins,
            max: LIST_MAX,
            check: check::origin,
            expected: "an origin such as \"https://chat.example.org\", or \"*\" for every one",
        },
        "`ws`, `wss`: the sites whose pages may connect; others are answered 403. Without any, pages of the same host may. Clients that are no browsers send no origin and are let in.",
    ),
    key(
        "mode",
        Slot::Text {
            at: |l| &mut l.mode,
            check: check::file_mode,
            expected: "permissions such as \"0660\"",
        },
        "`unix`: permissions of the socket's file; who may write to it may connect.",
    ),
    key(
        "proxy_protocol",
        Slot::Flag(|l| &mut l.proxy_protocol),
        "Every connection begins with a header of the PROXY protocol, version 1 or 2, in front of TLS too. The address in it is what limits and logs see.",
    ),
    key(
        "proxy_from",
        Slot::Texts {
            at: |l| &mut l.proxy_from,
            max: LIST_MAX,
            check: |text| text.parse::<Network>().map(drop),
            expected: "an address or a network, such as \"10.0.0.0/8\"",
        },
        "Who may send that header; connections from elsewhere are closed.",
    ),
    key(
        "connections_max",
        Slot::Size {
            at: |l| &mut l.connections_max,
            range: (1, COUNT_MAX),
            unit: "connections",
        },
        "Connections of this listener; one more is closed. They count for `mqtt.connections_max` as well.",
    ),
    key(
        "connections_per_address_max",
        Slot::Size {
            at: |l| &mut l.connections_per_address_max,
            range: (1, COUNT_MAX),
            unit: "connections",
        },
        "Connections of this listener from one address; clients of a Unix socket have none.",
    ),
    key(
        "max_packet_size",
        Slot::Number32 {
            at: |l| &mut l.max_packet_size,
            range: (1024, 8_388_608),
            unit: "bytes",
        },
        "Largest packet from clients of this listener; announced to MQTT 5 clients.",
    ),
    key(
        "connect_timeout_secs",
        Slot::Time {
            at: |l| &mut l.connect_timeout,
            range: (1, 600),
            unit: TimeUnit::Seconds,
        },
        "How long a connection may take until its CONNECT is complete, with PROXY header, TLS and WebSocket handshakes.",
    ),
    key(
        "allow_anonymous",
        Slot::Flag(|l| &mut l.allow_anonymous),
        "Whether clients without a user name may connect here. What they may use is said by `[mqtt]` and the access list.",
    ),
];
