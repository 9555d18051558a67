//! A bare connection, for bytes that no client would send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::PATIENCE;

/// A bare connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connects.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("a timeout that is not zero can be set");
        }
        Self { stream }
    }

    /// Sends; that the server has closed shows in what it answers.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says that no more will come.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads exactly so many bytes, or fewer if the server closes before.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes, count);
        bytes
    }

    /// Reads until the server closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        self.read(usize::MAX)
    }

    fn read_into(&mut self, bytes: &mut Vec<u8>, count: usize) {
        let mut chunk = [0; 4096];
        while bytes.len() < count {
            let most = chunk.len().min(count - bytes.len());
            match self.stream.read(&mut chunk[..most]) {
                Ok(0) => return,
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                // A server that closes while bytes are under way resets the connection.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    panic!("the server neither answers nor closes: {error}; so far {bytes:02x?}")
                }
            }
        }
    }
}
