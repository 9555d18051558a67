//! Properties of MQTT 5: which there are, how each is encoded, and what a set of them must not contain.

use crate::DecodeError;
use crate::read::Reader;
use crate::write;

/// Bounds on what an unauthenticated client may make us look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// User properties in one packet.
    pub user_properties_max: u16,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            user_properties_max: 256,
        }
    }
}

/// Property identifiers.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;
}

/// The value of one property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Byte(u8),
    Two(u16),
    Four(u32),
    Text(&'a str),
    Data(&'a [u8]),
    Pair(&'a str, &'a str),
}

/// A validated set of properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Reads a property length and the properties behind it. Each may come once, except user properties
    /// and, where allowed, subscription identifiers.
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        allowed: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let length = reader.variable()?;
        Self::check(reader.take(length as usize)?, allowed, limits)
    }

    /// The same without their length.
    pub(crate) fn check(
        raw: &'a [u8],
        allowed: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(raw);
        let mut seen = 0u64;
        let mut user_properties = 0u16;
        while !rest.is_empty() {
            let (id, _) = read_one(&mut rest)?;
            if !allowed.contains(&id) {
                return Err(DecodeError::Protocol(
                    "property does not belong to this packet",
                ));
            }
            if id == id::USER_PROPERTY {
                user_properties = user_properties.saturating_add(1);
                if user_properties > limits.user_properties_max {
                    return Err(DecodeError::TooManyProperties(limits.user_properties_max));
                }
                continue;
            }
            let bit = 1u64 << id;
            if seen & bit != 0 && id != id::SUBSCRIPTION_IDENTIFIER {
                return Err(DecodeError::Protocol("property comes twice"));
            }
            seen |= bit;
        }
        Ok(Self { raw })
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (u8, Value<'a>)> {
        let mut rest = Reader::new(self.raw);
        std::iter::from_fn(move || {
            (!rest.is_empty())
                .then(|| read_one(&mut rest).ok())
                .flatten()
        })
    }

    pub(crate) fn user(self) -> UserProperties<'a> {
        UserProperties { raw: self.raw }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

/// The text of a property among others in wire form.
pub(crate) fn text_of(raw: &[u8], wanted: u8) -> Option<&str> {
    Properties { raw }
        .iter()
        .find_map(|(id, value)| match value {
            Value::Text(text) if id == wanted => Some(text),
            _ => None,
        })
}

/// The user properties among a packet's properties, in their order. Equal when they are, whatever stands between them.
#[derive(Debug, Clone, Copy, Default)]
pub struct UserProperties<'a> {
    raw: &'a [u8],
}

impl<'a> UserProperties<'a> {
    /// As they stand in a packet, which [`crate::publish::write_user_property`] has written.
    pub fn of_wire(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// Name and value of each.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Properties { raw: self.raw }
            .iter()
            .filter_map(|(_, value)| match value {
                Value::Pair(name, text) => Some((name, text)),
                Value::Byte(_)
                | Value::Two(_)
                | Value::Four(_)
                | Value::Text(_)
                | Value::Data(_) => None,
            })
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

fn read_one<'a>(reader: &mut Reader<'a>) -> Result<(u8, Value<'a>), DecodeError> {
    let id =
        u8::try_from(reader.variable()?).map_err(|_| DecodeError::Malformed("unknown property"))?;
    let value = match id {
        id::PAYLOAD_FORMAT
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_AVAILABLE
        | id::IDENTIFIERS_AVAILABLE
        | id::SHARED_AVAILABLE => match reader.u8()? {
            flag @ (0 | 1) => Value::Byte(flag),
            _ => return Err(DecodeError::Protocol("property is neither 0 nor 1")),
        },
        id::SERVER_KEEP_ALIVE | id::TOPIC_ALIAS_MAXIMUM => Value::Two(reader.u16()?),
        id::RECEIVE_MAXIMUM => match reader.u16()? {
            0 => return Err(DecodeError::Protocol("receive maximum 0")),
            maximum => Value::Two(maximum),
        },
        id::TOPIC_ALIAS => match reader.u16()? {
            // [5 MQTT-3.3.2-8]
            0 => return Err(DecodeError::InvalidTopicAlias),
            alias => Value::Two(alias),
        },
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY => Value::Four(reader.u32()?),
        id::MAXIMUM_PACKET_SIZE => match reader.u32()? {
            0 => return Err(DecodeError::Protocol("maximum packet size 0")),
            maximum => Value::Four(maximum),
        },
        id::SUBSCRIPTION_IDENTIFIER => match reader.variable()? {
            0 => return Err(DecodeError::Protocol("subscription identifier 0")),
            identifier => Value::Four(identifier),
        },
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::ASSIGNED_CLIENT_ID
        | id::AUTHENTICATION_METHOD
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => Value::Text(reader.string()?),
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => Value::Data(reader.binary()?),
        id::USER_PROPERTY => Value::Pair(reader.string()?, reader.string()?),
        _ => return Err(DecodeError::Malformed("unknown property")),
    };
    Ok((id, value))
}

pub(crate) fn write_byte(out: &mut Vec<u8>, id: u8, value: u8) {
    out.extend_from_slice(&[id, value]);
}

pub(crate) fn write_two(out: &mut Vec<u8>, id: u8, value: u16) {
    out.push(id);
    write::u16(out, value);
}

pub(crate) fn write_four(out: &mut Vec<u8>, id: u8, value: u32) {
    out.push(id);
    write::u32(out, value);
}

pub(crate) fn write_bytes(out: &mut Vec<u8>, id: u8, value: &[u8]) {
    out.push(id);
    write::binary(out, value);
}

pub(crate) fn write_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(id::USER_PROPERTY);
    write::binary(out, name.as_bytes());
    write::binary(out, value.as_bytes());
}

pub(crate) fn write_correlation(out: &mut Vec<u8>, data: &[u8]) {
    write_bytes(out, id::CORRELATION_DATA, data);
}
