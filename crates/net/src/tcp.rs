//! Reading and writing a TCP socket: what interrupts is tried again, what blocks is said.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::received::{Drained, Received};

/// Small packets must not wait for an acknowledgement of earlier ones: the shard gathers them itself.
pub(crate) fn send_at_once(stream: &TcpStream) {
    // Fails only on a socket that is closed already, which the next read will tell.
    drop(stream.set_nodelay(true));
}

pub(crate) fn read(stream: &mut TcpStream, scratch: &mut [u8]) -> Received {
    loop {
        match stream.read(scratch) {
            Ok(0) => return Received::Closed,
            Ok(count) => {
                // A short read has emptied the socket; epoll tells of whatever comes later.
                let drained = if count < scratch.len() {
                    Drained::Yes
                } else {
                    Drained::Unknown
                };
                return Received::Buffered(count, drained);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Blocked,
            Err(_) => return Received::Closed,
        }
    }
}

pub(crate) fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            outcome => return outcome,
        }
    }
}
