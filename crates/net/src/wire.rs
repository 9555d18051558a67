//! The socket at the bottom of every transport, TCP or Unix: what interrupts is tried again, what blocks is said.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::received::{Drained, Received};

/// A connected socket, non-blocking.
#[derive(Debug)]
pub enum Wire {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Wire {
    /// A TCP connection that has been accepted. Small packets must not wait for an acknowledgement of earlier ones: the
    /// shard gathers them itself.
    pub fn tcp(stream: TcpStream) -> Self {
        // Fails only on a socket that is closed already, which the next read will tell.
        drop(stream.set_nodelay(true));
        Self::Tcp(stream)
    }

    /// Reads once.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> Received {
        match self.read(scratch) {
            Ok(0) => Received::Closed,
            // A short read has emptied the socket; epoll tells of whatever comes later.
            Ok(count) if count < scratch.len() => Received::Buffered(count, Drained::Yes),
            Ok(count) => Received::Buffered(count, Drained::Unknown),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Blocked,
            Err(_) => Received::Closed,
        }
    }

    /// Whether more than so many bytes, at most 63, may wait to be read; a Unix socket cannot be asked.
    pub(crate) fn may_hold_more_than(&self, bytes: usize) -> bool {
        match self {
            Self::Tcp(stream) => stream.peek(&mut [0; 64]).is_ok_and(|count| count > bytes),
            Self::Unix(_) => true,
        }
    }

    /// Writes once; nothing to write is nothing done.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            outcome => outcome,
        }
    }

    /// Has TCP acknowledge at once what was read. Linux would wait for something to be written, up to 40 ms; other systems, and
    /// Unix sockets, are left alone.
    pub(crate) fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            // Fails only on a socket that is closed already, which the next read will tell.
            drop(socket2::SockRef::from(stream).set_tcp_quickack(true));
        }
    }

    /// Says that nothing more will be written. A peer that is gone already need not be told.
    pub(crate) fn finish(&self) {
        drop(match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        });
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            self.source(),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.source())
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let outcome = match self {
                Self::Tcp(stream) => stream.read(buffer),
                Self::Unix(stream) => stream.read(buffer),
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let outcome = match self {
                Self::Tcp(stream) => stream.write(bytes),
                Self::Unix(stream) => stream.write(bytes),
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
