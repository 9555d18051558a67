//! A whole packet, by its type.

use crate::property::DecodeLimits;
use crate::read::Reader;
use crate::{
    Ack, Auth, Connack, Connect, DecodeError, Disconnect, Publish, Suback, Subscribe, Unsubscribe,
    Version, ack, frame,
};

/// One packet, borrowed from its frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet<'a> {
    /// A client opens.
    Connect(Connect<'a>),
    /// The server answers.
    Connack(Connack<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// QoS 1 acknowledgement.
    Puback(Ack<'a>),
    /// QoS 2: received.
    Pubrec(Ack<'a>),
    /// QoS 2: released.
    Pubrel(Ack<'a>),
    /// QoS 2: complete.
    Pubcomp(Ack<'a>),
    /// Filters wanted.
    Subscribe(Subscribe<'a>),
    /// What was granted.
    Suback(Suback<'a>),
    /// Filters no longer wanted.
    Unsubscribe(Unsubscribe<'a>),
    /// What was removed.
    Unsuback(Suback<'a>),
    /// Are you there?
    Pingreq,
    /// Yes.
    Pingresp,
    /// The end.
    Disconnect(Disconnect<'a>),
    /// Enhanced authentication.
    Auth(Auth<'a>),
}

/// Decodes one whole frame. A CONNECT brings its own version; everything else is read as `version`.
pub fn decode<'a>(
    version: Version,
    bytes: &'a [u8],
    limits: &DecodeLimits,
) -> Result<Packet<'a>, DecodeError> {
    let length = frame::length(version, bytes, u32::MAX)?
        .ok_or(DecodeError::Malformed("packet ends too early"))?;
    if bytes.len() != length.total {
        return Err(DecodeError::Malformed("frame and packet differ in length"));
    }
    let first = bytes[0];
    let body = Reader::new(&bytes[length.header..]);
    match first >> 4 {
        1 => Connect::read(body, limits).map(Packet::Connect),
        2 => Connack::read(version, body, limits).map(Packet::Connack),
        3 => Publish::read(version, first, body, limits).map(Packet::Publish),
        4 => Ack::read(version, ack::RECEIVED, body, limits).map(Packet::Puback),
        5 => Ack::read(version, ack::RECEIVED, body, limits).map(Packet::Pubrec),
        6 => Ack::read(version, ack::RELEASED, body, limits).map(Packet::Pubrel),
        7 => Ack::read(version, ack::RELEASED, body, limits).map(Packet::Pubcomp),
        8 => Subscribe::read(version, body, limits).map(Packet::Subscribe),
        9 => Suback::read(version, body, limits).map(Packet::Suback),
        10 => Unsubscribe::read(version, body, limits).map(Packet::Unsubscribe),
        11 => Suback::read_unsuback(version, body, limits).map(Packet::Unsuback),
        12 => body.end().map(|()| Packet::Pingreq),
        13 => body.end().map(|()| Packet::Pingresp),
        14 => Disconnect::read(version, body, limits).map(Packet::Disconnect),
        15 if version == Version::V5 => Auth::read(body, limits).map(Packet::Auth),
        _ => Err(DecodeError::Malformed("packet type of a later version")),
    }
}
