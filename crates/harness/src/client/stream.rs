//! What a client's bytes go over: a TCP or Unix socket, with TLS and WebSocket frames as far as the dial says so. Blocking,
//! with deadlines set on the socket at the bottom.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use crate::PATIENCE;

/// Where a client connects to.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What lies between the socket and MQTT.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// TCP holds a small packet back while another one is unconfirmed, which is how sockets come.
    pub(super) nagle: bool,
    /// Sent before anything else, as a proxy would.
    pub(super) preamble: Vec<u8>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) websocket: Option<WebSocketRequest>,
}

/// What the WebSocket handshake asks for.
#[derive(Debug, Clone)]
pub(super) struct WebSocketRequest {
    pub(super) path: String,
    pub(super) origin: Option<String>,
}

/// A stream and the socket at its bottom.
pub(super) struct Stream {
    socket: Socket,
    bytes: Box<dyn Bytes>,
}

trait Bytes: Read + Write + Send {}
impl<T: Read + Write + Send> Bytes for T {}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

struct Framed<S> {
    socket: WebSocket<S>,
    rest: tungstenite::Bytes,
}

impl Stream {
    pub(super) fn open(place: &Place, layers: &Layers) -> io::Result<Self> {
        let mut below = match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(!layers.nagle)?;
                Socket::Tcp(stream)
            }
            Place::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        };
        below.set_write_timeout(PATIENCE)?;
        below.set_read_timeout(PATIENCE)?;
        let socket = below.again()?;
        below.write_all(&layers.preamble)?;
        let bytes: Box<dyn Bytes> = match (&layers.tls, &layers.websocket) {
            (None, None) => Box::new(below),
            (None, Some(request)) => Box::new(upgrade(below, "ws", request)?),
            (Some(config), None) => Box::new(secure(below, config)?),
            (Some(config), Some(request)) => {
                Box::new(upgrade(secure(below, config)?, "wss", request)?)
            }
        };
        Ok(Self { socket, bytes })
    }

    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// Whether a read returns at once.
    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Socket::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    /// Ends the connection without a word.
    pub(super) fn shut(&self) {
        // It may be closed already.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// TLS, its handshake over, so that a refusal shows at once.
fn secure(
    mut socket: Socket,
    config: &Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, Socket>> {
    let name = ServerName::try_from("localhost").expect("a host's name");
    let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}

fn upgrade<S: Read + Write>(
    stream: S,
    scheme: &str,
    wanted: &WebSocketRequest,
) -> io::Result<Framed<S>> {
    let url = format!("{scheme}://localhost{}", wanted.path);
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    if let Some(origin) = &wanted.origin {
        let origin = HeaderValue::from_str(origin).map_err(io::Error::other)?;
        headers.insert("Origin", origin);
    }
    let (socket, _) = tungstenite::client(request, stream)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Framed {
        socket,
        rest: tungstenite::Bytes::new(),
    })
}

impl Socket {
    fn again(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Read + Write> Read for Framed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.rest = bytes,
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => return Ok(0),
                Ok(other) => return Err(io::Error::other(format!("{other:?}"))),
                Err(Error::Io(error)) => return Err(error),
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

impl<S: Read + Write> Write for Framed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let message = Message::Binary(tungstenite::Bytes::copy_from_slice(bytes));
        match self.socket.send(message) {
            Ok(()) => Ok(bytes.len()),
            Err(Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bytes.flush()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Stream").finish_non_exhaustive()
    }
}
