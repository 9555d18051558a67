//! Connections that send what a seed makes up, alone or behind a proper CONNECT: the server ends each, and nothing else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use harness::proof::Random;
use harness::{ClientError, Dial, PATIENCE, Version};

use crate::extras::{Extra, Scene};

const BYTES_MAX: u64 = 64;
/// Packet types 15 (in MQTT 3) and 0 are nobody's: whatever follows, the connection has to be ended, once the packet is
/// whole.
const NOBODYS: [u8; 2] = [0xF0, 0x00];
const NOBODYS_LENGTH: u8 = 2;

pub(crate) struct Garbage {
    server: SocketAddr,
    random: Random,
}

impl Garbage {
    pub(crate) fn new(server: SocketAddr, random: Random) -> Self {
        Self { server, random }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = u64::from(NOBODYS_LENGTH) + self.random.below(BYTES_MAX);
        let mut bytes = vec![NOBODYS[self.random.below(2) as usize], NOBODYS_LENGTH];
        bytes.extend((0..length).map(|_| self.random.below(256) as u8));
        bytes
    }

    /// Before anything else; ended at once.
    fn throw(&mut self) -> Result<(), ClientError> {
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE).map_err(lost)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        let bytes = self.bytes();
        // It may be ended before all of it is written.
        let _ = stream.write_all(&bytes);
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("a connection that began with {bytes:02x?} is still open")
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// From a client that had been let in.
    fn turn(&mut self) -> Result<(), ClientError> {
        let mut client = Dial::new(self.server, Version::V311, "turncoat").connect()?;
        let bytes = self.bytes();
        client.send_raw(&bytes)?;
        client.end();
        Ok(())
    }
}

impl Extra for Garbage {
    fn work(&mut self, scene: &Scene<'_>) -> Result<(), ClientError> {
        while scene.goes_on() {
            self.throw()?;
            self.turn()?;
            scene.count();
            scene.count();
        }
        Ok(())
    }

    fn part(&mut self) {}
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn lost(error: std::io::Error) -> ClientError {
    ClientError::Lost(error.to_string())
}
