//! MQTT in binary WebSocket messages (RFC 6455). A message may hold a part of a packet or several of them, so what comes
//! out is a byte stream again. The handshake has been answered elsewhere.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::received::Received;
use crate::tls::TlsStream;
use crate::wire::Wire;

/// Bytes read at once, and kept by an idle connection. Tungstenite's own default is 128 KiB.
const READ_BUFFER_BYTES: usize = 512;
/// Longest message before the peer has proved who it is; a CONNECT fits.
const STRANGER_BYTES_MAX: usize = 64 * 1024;
/// Bytes put into one message: a slow peer has at most so much copied.
const MESSAGE_BYTES: usize = 64 * 1024;

/// What WebSocket frames go over: a bare socket or TLS.
pub(crate) trait Carrier: Read + Write + Sized {
    /// The end of the stream's life before MQTT began.
    fn into_wire(self) -> Wire;
    /// Says that nothing more will be written.
    fn close(&mut self);
}

impl Carrier for Wire {
    fn into_wire(self) -> Wire {
        self
    }

    fn close(&mut self) {
        self.finish();
    }
}

impl Carrier for TlsStream {
    fn into_wire(self) -> Wire {
        self.into_wire()
    }

    fn close(&mut self) {
        self.close();
    }
}

/// A WebSocket connection as a byte stream.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    socket: WebSocket<S>,
    /// Longest message of a peer that has proved who it is.
    message_bytes_max: usize,
    trusted: bool,
    /// A message is not wholly in the socket yet.
    unflushed: bool,
}

#[expect(private_bounds, reason = "which streams there are is decided here")]
impl<S: Carrier> WebSocketStream<S> {
    pub(crate) fn new(stream: S, leftover: Vec<u8>, message_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MESSAGE_BYTES)
            .max_message_size(Some(STRANGER_BYTES_MAX))
            .max_frame_size(Some(STRANGER_BYTES_MAX));
        Self {
            socket: WebSocket::from_partially_read(stream, leftover, Role::Server, Some(config)),
            message_bytes_max,
            trusted: false,
            unflushed: false,
        }
    }

    /// The peer has proved who it is: its messages may be as long as its packets.
    pub(crate) fn trust(&mut self) {
        if !std::mem::replace(&mut self.trusted, true) {
            let longest = Some(self.message_bytes_max.max(STRANGER_BYTES_MAX));
            self.socket.set_config(|config| {
                config.max_message_size = longest;
                config.max_frame_size = longest;
            });
        }
    }

    /// What the frames go over.
    pub(crate) fn get_ref(&self) -> &S {
        self.socket.get_ref()
    }

    /// What the frames go over.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        self.socket.get_mut()
    }

    /// Whether a message is not wholly in the socket.
    pub(crate) fn holds_back(&self) -> bool {
        self.unflushed
    }

    pub(crate) fn read(&mut self) -> Received {
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) if bytes.is_empty() => {}
                Ok(Message::Binary(bytes)) => return Received::Message(bytes),
                // Tungstenite has answered a ping by itself; a pong says only that the peer lives.
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                // [5 MQTT-6.0.0-1] [3.1.1 MQTT-6.0.0-1]: anything but binary data closes the connection.
                Ok(Message::Text(_) | Message::Close(_) | Message::Frame(_)) => {
                    return Received::Closed;
                }
                Err(Error::Io(error)) if is_passing(&error) => return Received::Blocked,
                Err(_) => return Received::Closed,
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unflushed {
            self.flush()?;
        }
        let part = &bytes[..bytes.len().min(MESSAGE_BYTES)];
        if part.is_empty() {
            return Ok(0);
        }
        match self
            .socket
            .write(Message::Binary(Bytes::copy_from_slice(part)))
        {
            Ok(()) => {}
            // The message is queued inside and goes out with the next flush.
            Err(Error::Io(error)) if is_passing(&error) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
        self.unflushed = true;
        match self.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => outcome?,
        }
        Ok(part.len())
    }

    /// Says goodbye as well as the socket takes it.
    pub(crate) fn close(&mut self) {
        drop(self.socket.close(None));
        drop(self.socket.flush());
        self.socket.get_mut().close();
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.socket.flush() {
            Ok(()) => {
                self.unflushed = false;
                Ok(())
            }
            Err(Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
