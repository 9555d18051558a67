//! What reading a connection can come to.

use bytes::Bytes;

/// What a read came to.
#[derive(Debug)]
pub enum Received {
    /// So many bytes in the buffer that was given, and whether the socket has been emptied.
    Buffered(usize, Drained),
    /// A message of a transport with buffers of its own.
    Message(Bytes),
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
