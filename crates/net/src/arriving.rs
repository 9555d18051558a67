//! A connection on its way to its first byte of MQTT: PROXY header, TLS handshake, WebSocket handshake, as far as its
//! listener asks for them. Each step is told, so that its owner can count and refuse. How long it may take is the owner's.

use std::io;
use std::sync::Arc;

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::proxy::{Announced, ProxyHeader};
use crate::received::{Received, Stage};
use crate::tls::TlsStream;
use crate::upgrade::{Gate, Upgrade};
use crate::websocket::{Carrier, WebSocketStream};
use crate::wire::Wire;

/// What lies between a listener's sockets and MQTT.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// Every connection begins with a PROXY header.
    pub proxy: bool,
    /// Then comes TLS, with these certificates.
    pub tls: Option<Arc<Credentials>>,
    /// Then comes a WebSocket handshake, which has to ask for this.
    pub websocket: Option<Arc<Gate>>,
}

/// A connection that is not there yet.
#[derive(Debug)]
pub struct Arriving {
    at: At,
    tls: Option<Arc<Credentials>>,
    websocket: Option<Arc<Gate>>,
}

#[derive(Debug)]
enum At {
    Proxy(Wire, ProxyHeader),
    Tls(TlsStream),
    Plain(Wire, Upgrade),
    Secure(TlsStream, Upgrade),
    /// It went wrong; the socket waits for its peer to see it.
    Failed(Wire),
    /// Only while one step follows another.
    Between,
}

/// What a connection has become, MQTT next.
#[derive(Debug)]
pub(crate) enum Arrived {
    Plain(Wire),
    Tls(Box<TlsStream>),
    WebSocket(Box<WebSocketStream<Wire>>),
    SecureWebSocket(Box<WebSocketStream<TlsStream>>),
}

/// How a stream of one sort goes on: as what it waits, what it becomes with frames and without.
struct Turns<S> {
    waits: fn(S, Upgrade) -> At,
    bare: fn(S) -> Arrived,
    framed: fn(Box<WebSocketStream<S>>) -> Arrived,
}

const PLAIN: Turns<Wire> = Turns {
    waits: At::Plain,
    bare: Arrived::Plain,
    framed: Arrived::WebSocket,
};
const SECURE: Turns<TlsStream> = Turns {
    waits: At::Secure,
    bare: |stream| Arrived::Tls(Box::new(stream)),
    framed: Arrived::SecureWebSocket,
};

/// What an attempt to go on came to.
pub(crate) enum Progress {
    Stage(Stage),
    Arrived(Arrived),
    Blocked,
    Closed,
}

impl Arriving {
    /// A connection that has just been accepted; given back as it is if nothing comes before MQTT.
    pub(crate) fn new(wire: Wire, layers: &Layers) -> Result<Self, Wire> {
        let mut arriving = Self {
            at: At::Between,
            tls: layers.tls.clone(),
            websocket: layers.websocket.clone(),
        };
        if layers.proxy {
            arriving.at = At::Proxy(wire, ProxyHeader::default());
        } else if let Some(wire) = arriving.begin(wire) {
            return Err(wire);
        }
        Ok(arriving)
    }

    /// What comes behind the PROXY header; the socket itself if that is MQTT.
    fn begin(&mut self, wire: Wire) -> Option<Wire> {
        if let Some(credentials) = &self.tls {
            match TlsStream::new(wire, credentials.current()) {
                Ok(stream) => self.at = At::Tls(stream),
                // Only a configuration that cannot work; the next attempt to read says `Closed`.
                Err((wire, _)) => self.at = At::Failed(wire),
            }
            return None;
        }
        if let Some(gate) = &self.websocket {
            self.at = At::Plain(wire, Upgrade::new(gate.clone()));
            return None;
        }
        Some(wire)
    }

    /// Goes on as far as possible, one step at most.
    pub(crate) fn advance(&mut self) -> Progress {
        match std::mem::replace(&mut self.at, At::Between) {
            At::Proxy(wire, header) => self.read_header(wire, header),
            At::Tls(stream) => self.shake(stream),
            At::Plain(stream, upgrade) => self.upgrade(stream, upgrade, &PLAIN),
            At::Secure(stream, upgrade) => self.upgrade(stream, upgrade, &SECURE),
            At::Failed(wire) => {
                self.at = At::Failed(wire);
                Progress::Closed
            }
            At::Between => Progress::Closed,
        }
    }

    fn read_header(&mut self, mut wire: Wire, mut header: ProxyHeader) -> Progress {
        match header.read(&mut wire) {
            Ok(None) => {
                self.at = At::Proxy(wire, header);
                Progress::Blocked
            }
            Ok(Some(announced)) => {
                let client = match announced {
                    Announced::Client(address) => Some(address),
                    Announced::Nobody => None,
                };
                // Even where nothing but MQTT follows, the step is told before the first byte is.
                if let Some(wire) = self.begin(wire) {
                    self.at = At::Plain(wire, Upgrade::none());
                }
                Progress::Stage(Stage::Proxied(client))
            }
            Err(failure) => self.fail(wire, failure),
        }
    }

    fn shake(&mut self, mut stream: TlsStream) -> Progress {
        match stream.shake() {
            Ok(false) => {
                self.at = At::Tls(stream);
                Progress::Blocked
            }
            Ok(true) => {
                let upgrade = self
                    .websocket
                    .clone()
                    .map_or_else(Upgrade::none, Upgrade::new);
                self.at = At::Secure(stream, upgrade);
                Progress::Stage(Stage::Secured)
            }
            Err(failure) => self.fail(stream.into_wire(), failure),
        }
    }

    fn upgrade<S: Carrier>(
        &mut self,
        mut stream: S,
        mut upgrade: Upgrade,
        turns: &Turns<S>,
    ) -> Progress {
        match upgrade.advance(&mut stream) {
            Ok(None) => {
                self.at = (turns.waits)(stream, upgrade);
                Progress::Blocked
            }
            Ok(Some(None)) => Progress::Arrived((turns.bare)(stream)),
            Ok(Some(Some(agreed))) => {
                let websocket = WebSocketStream::new(stream, agreed.leftover, agreed.limits);
                Progress::Arrived((turns.framed)(Box::new(websocket)))
            }
            Err(failure) => self.fail(stream.into_wire(), failure),
        }
    }

    fn fail(&mut self, wire: Wire, failure: Failure) -> Progress {
        self.at = At::Failed(wire);
        Progress::Stage(Stage::Failed(failure))
    }

    /// Bytes of the peer that are kept until more have come. A PROXY header is short.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.at {
            At::Tls(stream) => stream.held_bytes(),
            At::Plain(_, upgrade) => upgrade.held_bytes(),
            At::Secure(stream, upgrade) => stream.held_bytes() + upgrade.held_bytes(),
            At::Proxy(..) | At::Failed(_) | At::Between => 0,
        }
    }

    /// Whether it can still arrive.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.at, At::Failed(_) | At::Between)
    }

    /// What is held back is written, as far as the socket takes it; before MQTT there is nothing else to write.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.at {
            At::Tls(stream) | At::Secure(stream, _) => io::Write::flush(stream),
            At::Proxy(..) | At::Plain(..) | At::Failed(_) | At::Between => Ok(()),
        }
    }

    /// The certificate that the peer has proved to hold.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        match &self.at {
            At::Tls(stream) | At::Secure(stream, _) => stream.peer_certificate(),
            At::Proxy(..) | At::Plain(..) | At::Failed(_) | At::Between => None,
        }
    }

    /// Throws away what has come.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> Received {
        self.wire()
            .map_or(Received::Closed, |wire| wire.receive(scratch))
    }

    pub(crate) fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.at {
            At::Proxy(wire, _) | At::Plain(wire, _) | At::Failed(wire) => Some(wire),
            At::Tls(stream) | At::Secure(stream, _) => Some(stream.wire()),
            At::Between => None,
        }
    }
}
