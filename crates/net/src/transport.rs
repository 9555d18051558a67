//! One connection's byte stream, whatever carries it.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::pipe::{PipeEnd, Watcher};
use crate::received::Received;
use crate::tcp;
use crate::websocket::WebSocketStream;

/// A byte stream in both directions, non-blocking, edge-triggered.
#[derive(Debug)]
pub enum Transport {
    /// MQTT directly on TCP.
    Tcp(TcpStream),
    /// MQTT in binary WebSocket frames. Boxed: most connections are plain and shall not pay for it.
    WebSocket(Box<WebSocketStream>),
    /// MQTT through memory: somebody else has the socket, as for QUIC, or there is none, as in tests.
    Pipe(PipeEnd),
}

// A table of a million connections pays for every word. (mio's debug builds keep more in a socket.)
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Transport>() <= 16);

impl Transport {
    /// A TCP connection that has been accepted.
    pub fn tcp(stream: TcpStream) -> Self {
        tcp::send_at_once(&stream);
        Self::Tcp(stream)
    }

    /// A connection whose WebSocket handshake has been answered; `leftover` came behind it, and messages are at most
    /// `message_bytes_max` long.
    pub fn websocket(
        stream: std::net::TcpStream,
        leftover: Vec<u8>,
        message_bytes_max: usize,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        tcp::send_at_once(&stream);
        let websocket = WebSocketStream::new(stream, leftover, message_bytes_max);
        Ok(Self::WebSocket(Box::new(websocket)))
    }

    /// Reads once; `scratch` is used if the transport has no buffer of its own, and of a pipe's no more is taken than fits it.
    pub fn read(&mut self, scratch: &mut [u8]) -> Received {
        match self {
            Self::Tcp(stream) => tcp::read(stream, scratch),
            Self::WebSocket(stream) => stream.read(),
            Self::Pipe(end) => end.read(scratch.len()),
        }
    }

    /// Writes as much as the socket takes. `WouldBlock` is an error like any other: the operating system will say when to
    /// go on. Nothing to write is worth a call when the socket can take bytes again: a WebSocket may hold some back.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => tcp::write(stream, bytes),
            Self::WebSocket(stream) => stream.write(bytes),
            Self::Pipe(end) => end.write(bytes),
        }
    }

    /// The peer has proved who it is, and may send more at once.
    pub fn trust(&mut self) {
        match self {
            Self::Tcp(_) | Self::Pipe(_) => {}
            Self::WebSocket(stream) => stream.trust(),
        }
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        if let Self::WebSocket(stream) = self {
            stream.close();
        }
        match self.carrier() {
            // A peer that is gone already need not be told.
            Carrier::Socket(stream) => drop(stream.shutdown(Shutdown::Write)),
            Carrier::Pipe(end) => end.finish(),
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
        match self.carrier() {
            Carrier::Socket(stream) => {
                registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
            }
            Carrier::Pipe(end) => {
                end.watch(watcher.clone(), tag);
                Ok(())
            }
        }
    }

    /// Has whoever tells of this connection forget it, so that another one can take it.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self.carrier() {
            Carrier::Socket(stream) => registry.deregister(stream),
            Carrier::Pipe(end) => {
                end.unwatch();
                Ok(())
            }
        }
    }

    fn carrier(&mut self) -> Carrier<'_> {
        match self {
            Self::Tcp(stream) => Carrier::Socket(stream),
            Self::WebSocket(stream) => Carrier::Socket(stream.tcp()),
            Self::Pipe(end) => Carrier::Pipe(end),
        }
    }
}

/// What readiness comes from, below all that lies over it.
enum Carrier<'a> {
    Socket(&'a mut TcpStream),
    Pipe(&'a PipeEnd),
}
