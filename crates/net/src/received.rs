//! What reading a connection can come to.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::failure::Failure;

/// What a read came to.
#[derive(Debug)]
pub enum Received {
    /// So many bytes in the buffer that was given, and whether the socket has been emptied.
    Buffered(usize, Drained),
    /// A message of a transport with buffers of its own.
    Message(Bytes),
    /// Something that stands before the first byte of MQTT is done.
    Stage(Stage),
    /// Nothing at the moment.
    Blocked,
    /// The peer has ended the stream, or broke it.
    Closed,
}

/// Whether more can be read at once: if not, the next readiness comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// No; the operating system will say when there is.
    Yes,
    /// Perhaps; it has to be tried.
    Unknown,
}

/// A step before the first byte of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A PROXY header came, with the client's address unless the proxy speaks for itself.
    Proxied(Option<SocketAddr>),
    /// TLS is established; the peer's certificate, if it has one, is verified.
    Secured,
    /// It went wrong: nothing will come. What the peer still sends is to be thrown away.
    Failed(Failure),
}
