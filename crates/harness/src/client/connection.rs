//! A blocking socket that hands out whole frames, with deadlines.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Instant;

use mqtt_codec::{DecodeLimits, Packet, Version, frame};

use super::stream::Stream;
use super::{ClientError, Dial};
use crate::PATIENCE;

/// A server has no reason to send more at once.
const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    version: Version,
    received: Vec<u8>,
}

impl Connection {
    pub(super) fn open(dial: &Dial) -> Result<Self, ClientError> {
        let stream = Stream::open(&dial.place, &dial.layers).map_err(lost)?;
        Ok(Self {
            stream,
            version: dial.version,
            received: Vec::new(),
        })
    }

    /// CONNECT and CONNACK; whether the server had the session.
    pub(super) fn greet(&mut self, dial: &Dial) -> Result<bool, ClientError> {
        self.send(&dial.packet())?;
        let Some(frame) = self.frame(Instant::now() + PATIENCE)? else {
            panic!("no CONNACK in {PATIENCE:?}");
        };
        let packet = mqtt_codec::decode(dial.version, &frame, &DecodeLimits::default())
            .unwrap_or_else(|error| {
                panic!("the server answered CONNECT with {error}: {frame:02x?}")
            });
        let Packet::Connack(connack) = packet else {
            panic!("the server answered CONNECT with {packet:?}");
        };
        if connack.code != 0 {
            assert!(
                !connack.session_present,
                "refused, and yet a session is present"
            );
            return Err(ClientError::Refused(connack.code));
        }
        assert!(
            dial.version != Version::V31 || !connack.session_present,
            "MQTT 3.1 knows no session present"
        );
        Ok(connack.session_present)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(bytes).map_err(lost)
    }

    pub(super) fn close(&mut self) {
        self.stream.shut();
    }

    /// The next frame; `None` at the deadline.
    pub(super) fn frame(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            let length = frame::length(self.version, &self.received, FRAME_BYTES_MAX)
                .unwrap_or_else(|error| panic!("the server sent {error}: {:02x?}", self.received));
            if let Some(length) = length
                && self.received.len() >= length.total
            {
                let rest = self.received.split_off(length.total);
                return Ok(Some(std::mem::replace(&mut self.received, rest)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut bytes = [0; 16 * 1024];
            let read = if left.is_zero() {
                // The shortest timeout of a socket lasts a tick of the kernel's clock.
                self.stream.set_nonblocking(true).map_err(lost)?;
                let read = self.stream.read(&mut bytes);
                self.stream.set_nonblocking(false).map_err(lost)?;
                read
            } else {
                self.stream.set_read_timeout(left).map_err(lost)?;
                self.stream.read(&mut bytes)
            };
            match read {
                Ok(0) => return Err(ClientError::Lost("closed by the server".to_owned())),
                Ok(read) => self.received.extend_from_slice(&bytes[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn lost(error: std::io::Error) -> ClientError {
    ClientError::Lost(error.to_string())
}
