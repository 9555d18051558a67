//! A client that sends any bytes and notes what comes, packet by packet. It acknowledges what it gets unless told to
//! hold back, and reads nothing that is not MQTT.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use harness::{PATIENCE, Version};
use mqtt_codec::{DecodeLimits, Packet, QoS, ReasonCode, ack, decode, frame};

use crate::told::Labels;

/// A client.
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) version: Version,
    received: Vec<u8>,
    /// Acknowledges nothing by itself.
    pub(crate) holding: bool,
    pub(crate) accepted: bool,
    pub(crate) closed: bool,
}

/// What came.
pub(crate) enum Came {
    /// Something for the transcript.
    Told(String),
    /// The answer to a PINGREQ.
    Pong,
    /// Nothing in the time given.
    Nothing,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            version,
            received: Vec::new(),
            holding: false,
            accepted: false,
            closed: false,
        }
    }

    /// Sends; that the server has closed shows in what it answers.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next thing that comes within a time.
    pub(crate) fn next(&mut self, labels: &mut Labels, within: Duration) -> Came {
        let deadline = Instant::now() + within;
        loop {
            if let Some(packet) = self.take_packet() {
                return self.hear(&packet, labels);
            }
            if self.closed {
                return Came::Nothing;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Came::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.end(),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return self.end(),
                },
            }
        }
    }

    fn end(&mut self) -> Came {
        self.closed = true;
        assert!(
            self.received.is_empty(),
            "half a packet: {:02x?}",
            self.received
        );
        Came::Told("closed".to_owned())
    }

    fn take_packet(&mut self) -> Option<Vec<u8>> {
        let length = frame::length(self.version, &self.received, u32::MAX);
        let length = length.unwrap_or_else(|error| panic!("{error}: {:02x?}", self.received))?;
        if self.received.len() < length.total {
            return None;
        }
        Some(self.received.drain(..length.total).collect())
    }

    fn hear(&mut self, bytes: &[u8], labels: &mut Labels) -> Came {
        let limits = DecodeLimits::default();
        // A server that does not know the client's version answers in one of its own.
        let forms = [
            (self.version, ""),
            (Version::V311, " as in 3.1.1"),
            (Version::V5, " as in 5"),
        ];
        let read = forms.into_iter().find_map(|(version, form)| {
            let packet = decode(version, bytes, &limits).ok()?;
            Some((packet, form))
        });
        let (packet, form) = read.unwrap_or_else(|| panic!("not a packet: {bytes:02x?}"));
        let told = format!("{}{form}", labels.tell(&packet));
        match &packet {
            Packet::Pingresp => return Came::Pong,
            Packet::Connack(connack) => self.accepted = connack.code == 0,
            _ if !self.holding => self.answer(&packet),
            _ => {}
        }
        Came::Told(told)
    }

    fn answer(&mut self, packet: &Packet<'_>) {
        let (version, fine, mut out) = (self.version, ReasonCode::SUCCESS, Vec::new());
        match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => {
                    ack::encode_puback(version, id, fine, None, u32::MAX, &mut out);
                }
                (QoS::ExactlyOnce, Some(id)) => {
                    ack::encode_pubrec(version, id, fine, None, u32::MAX, &mut out);
                }
                _ => {}
            },
            Packet::Pubrec(told) if !told.reason.is_error() => {
                ack::encode_pubrel(version, told.packet_id, fine, &mut out);
            }
            Packet::Pubrel(told) => ack::encode_pubcomp(version, told.packet_id, fine, &mut out),
            _ => {}
        }
        self.send(&out);
    }
}
