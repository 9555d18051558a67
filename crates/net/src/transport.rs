//! One connection's byte stream, whatever carries it.

use std::io;
use std::sync::Arc;

use mio::{Registry, Token};

use crate::arriving::{Arrived, Arriving, Layers, Progress};
use crate::pipe::{PipeEnd, Watcher};
use crate::received::Received;
use crate::tls::TlsStream;
use crate::websocket::{MessageLimits, WebSocketStream};
use crate::wire::Wire;

/// A byte stream in both directions, non-blocking, edge-triggered. All but a plain socket is boxed: most connections are
/// plain and shall not pay for the others.
#[derive(Debug)]
pub enum Transport {
    /// MQTT directly on a socket.
    Plain(Wire),
    /// MQTT in TLS.
    Tls(Box<TlsStream>),
    /// MQTT in binary WebSocket frames.
    WebSocket(Box<WebSocketStream<Wire>>),
    /// MQTT in binary WebSocket frames in TLS.
    SecureWebSocket(Box<WebSocketStream<TlsStream>>),
    /// Not there yet: what its listener asks for comes before MQTT.
    Arriving(Box<Arriving>),
    /// MQTT through memory: somebody else has the socket, as for QUIC, or there is none, as in tests.
    Pipe(PipeEnd),
}

// A table of a million connections pays for every word. (mio's debug builds keep more in a socket.)
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Transport>() <= 16);

impl From<Arrived> for Transport {
    fn from(arrived: Arrived) -> Self {
        match arrived {
            Arrived::Plain(wire) => Self::Plain(wire),
            Arrived::Tls(stream) => Self::Tls(stream),
            Arrived::WebSocket(stream) => Self::WebSocket(stream),
            Arrived::SecureWebSocket(stream) => Self::SecureWebSocket(stream),
        }
    }
}

impl Transport {
    /// A connection that has just been accepted where these layers lie before MQTT.
    pub fn accepted(wire: Wire, layers: &Layers) -> Self {
        match Arriving::new(wire, layers) {
            Ok(arriving) => Self::Arriving(Box::new(arriving)),
            Err(wire) => Self::Plain(wire),
        }
    }

    /// A connection whose WebSocket handshake has been answered; `leftover` came behind it.
    pub fn websocket(
        stream: std::net::TcpStream,
        leftover: Vec<u8>,
        limits: MessageLimits,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let wire = Wire::tcp(mio::net::TcpStream::from_std(stream));
        let websocket = WebSocketStream::new(wire, leftover, limits);
        Ok(Self::WebSocket(Box::new(websocket)))
    }

    /// The same on TLS, whose handshake is over as well.
    pub fn secure_websocket(stream: TlsStream, leftover: Vec<u8>, limits: MessageLimits) -> Self {
        let websocket = WebSocketStream::new(stream, leftover, limits);
        Self::SecureWebSocket(Box::new(websocket))
    }

    /// Reads once, and no more than about what fits `scratch`, which is used if the transport has no buffer of its own.
    pub fn read(&mut self, scratch: &mut [u8]) -> Received {
        loop {
            match self {
                Self::Plain(wire) => return wire.receive(scratch),
                Self::Tls(stream) => return stream.receive(scratch),
                Self::WebSocket(stream) => return stream.read(scratch.len()),
                Self::SecureWebSocket(stream) => return stream.read(scratch.len()),
                Self::Pipe(end) => return end.read(scratch.len()),
                Self::Arriving(arriving) => match arriving.advance() {
                    Progress::Stage(stage) => return Received::Stage(stage),
                    Progress::Blocked => return Received::Blocked,
                    Progress::Closed => return Received::Closed,
                    Progress::Arrived(arrived) => *self = arrived.into(),
                },
            }
        }
    }

    /// Writes as much as the socket takes. `WouldBlock` is an error like any other: the operating system will say when to
    /// go on. Nothing to write is worth a call when the socket can take bytes again: what is encrypted or framed may be
    /// held back.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.send(bytes),
            Self::Tls(stream) => stream.send(bytes),
            Self::WebSocket(stream) => stream.write(bytes),
            Self::SecureWebSocket(stream) => stream.write(bytes),
            Self::Pipe(end) => end.write(bytes),
            // Nobody could read a word before the handshake; what is said then is that it ends.
            Self::Arriving(arriving) => arriving.flush().map(|()| bytes.len()),
        }
    }

    /// Has TCP acknowledge at once what was read, because nothing is going to be written that would carry the acknowledgement.
    pub fn acknowledge(&mut self) {
        if let Some(wire) = self.wire() {
            wire.acknowledge();
        }
    }

    /// Whether bytes that were taken are not in the socket yet.
    pub fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Pipe(_) | Self::Arriving(_) => false,
            Self::Tls(stream) => stream.holds_back(),
            Self::WebSocket(stream) => stream.holds_back(),
            Self::SecureWebSocket(stream) => stream.holds_back(),
        }
    }

    /// Bytes of the peer that are kept below MQTT until more have come.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Plain(_) | Self::Pipe(_) => 0,
            Self::Tls(stream) => stream.held_bytes(),
            Self::WebSocket(stream) => stream.held_bytes(),
            Self::SecureWebSocket(stream) => stream.held_bytes() + stream.get_ref().held_bytes(),
            Self::Arriving(arriving) => arriving.held_bytes(),
        }
    }

    /// Whether MQTT has not begun.
    pub fn is_arriving(&self) -> bool {
        matches!(self, Self::Arriving(arriving) if arriving.is_under_way())
    }

    /// The certificate that the peer has proved to hold, in DER form.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.peer_certificate(),
            Self::SecureWebSocket(stream) => stream.get_ref().peer_certificate(),
            Self::Arriving(arriving) => arriving.peer_certificate(),
            Self::Pipe(end) => end.peer_certificate(),
            Self::Plain(_) | Self::WebSocket(_) => None,
        }
    }

    /// The peer has proved who it is, and may send more at once.
    pub fn trust(&mut self) {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Arriving(_) | Self::Pipe(_) => {}
            Self::WebSocket(stream) => stream.trust(),
            Self::SecureWebSocket(stream) => stream.trust(),
        }
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        match self {
            Self::Plain(wire) => wire.finish(),
            Self::Tls(stream) => stream.close(),
            Self::WebSocket(stream) => stream.close(),
            Self::SecureWebSocket(stream) => stream.close(),
            Self::Pipe(end) => end.finish(),
            Self::Arriving(arriving) => {
                if let Some(wire) = arriving.wire() {
                    wire.finish();
                }
            }
        }
    }

    /// Whether bytes may wait to be read that say something, for a peer that has ended its side. A WebSocket reads one message
    /// ahead for it; the handshakes and pipes do not know.
    pub fn may_hold_more(&mut self) -> bool {
        match self {
            Self::Plain(wire) => wire.may_hold_more_than(0),
            Self::Tls(stream) => stream.may_hold_more(),
            Self::WebSocket(stream) => stream.may_hold_more(),
            Self::SecureWebSocket(stream) => stream.may_hold_more(),
            Self::Arriving(_) | Self::Pipe(_) => true,
        }
    }

    /// Throws away what has come, whatever it means.
    pub fn discard(&mut self, scratch: &mut [u8]) -> Received {
        match self {
            Self::Pipe(end) => end.read(scratch.len()),
            Self::Arriving(arriving) => arriving.discard(scratch),
            Self::Plain(wire) => wire.receive(scratch),
            Self::Tls(stream) => stream.wire().receive(scratch),
            Self::WebSocket(stream) => stream.get_mut().receive(scratch),
            Self::SecureWebSocket(stream) => stream.get_mut().wire().receive(scratch),
        }
    }

    /// Has the poll tell of this connection under `token`, or, where there is nothing to poll, `watcher` under `tag`.
    pub fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        watcher: &Arc<dyn Watcher>,
        tag: u64,
    ) -> io::Result<()> {
        if let Self::Pipe(end) = self {
            end.watch(watcher.clone(), tag);
            return Ok(());
        }
        self.wire()
            .map_or(Ok(()), |wire| wire.register(registry, token))
    }

    /// Has whoever tells of this connection forget it, so that another one can take it.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        if let Self::Pipe(end) = self {
            end.unwatch();
            return Ok(());
        }
        self.wire().map_or(Ok(()), |wire| wire.deregister(registry))
    }

    /// What readiness comes from, below all that lies over it.
    fn wire(&mut self) -> Option<&mut Wire> {
        match self {
            Self::Plain(wire) => Some(wire),
            Self::Tls(stream) => Some(stream.wire()),
            Self::WebSocket(stream) => Some(stream.get_mut()),
            Self::SecureWebSocket(stream) => Some(stream.get_mut().wire()),
            Self::Arriving(arriving) => arriving.wire(),
            Self::Pipe(_) => None,
        }
    }
}
