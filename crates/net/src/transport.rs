//! One connection's byte stream, whatever carries it.

use std::io;
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

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
}

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

    /// Reads once; `scratch` is used if the transport has no buffer of its own.
    pub fn read(&mut self, scratch: &mut [u8]) -> Received {
        match self {
            Self::Tcp(stream) => tcp::read(stream, scratch),
            Self::WebSocket(stream) => stream.read(),
        }
    }

    /// Writes as much as the socket takes. `WouldBlock` is an error like any other: the operating system will say when to
    /// go on. Nothing to write is worth a call when the socket can take bytes again: a WebSocket may hold some back.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => tcp::write(stream, bytes),
            Self::WebSocket(stream) => stream.write(bytes),
        }
    }

    /// The peer has proved who it is, and may send more at once.
    pub fn trust(&mut self) {
        match self {
            Self::Tcp(_) => {}
            Self::WebSocket(stream) => stream.trust(),
        }
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        if let Self::WebSocket(stream) = self {
            stream.close();
        }
        // A peer that is gone already need not be told.
        drop(self.stream().shutdown(Shutdown::Write));
    }

    /// Has the poll tell of this connection under `token`.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            self.stream(),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Has the poll forget this connection, so that another one can take it.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.stream())
    }

    fn stream(&mut self) -> &mut TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::WebSocket(stream) => stream.tcp(),
        }
    }
}
