//! CONNECT.

use crate::property::{self, DecodeLimits, Properties, UserProperties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, QoS, Version, frame, topic, write};

/// A client opens a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Connect<'a> {
    /// Protocol version.
    pub version: Version,
    /// Client id, possibly empty.
    pub client_id: &'a str,
    /// Clean start (5) or clean session (3).
    pub clean_start: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// What is to be published when the connection ends unexpectedly.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// MQTT 5 properties.
    pub properties: ConnectProperties<'a>,
}

/// MQTT 5 properties of CONNECT; the defaults are those of their absence.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectProperties<'a> {
    /// Seconds the session outlives the connection.
    pub session_expiry: Option<u32>,
    /// Publishes the client takes unacknowledged.
    pub receive_maximum: Option<u16>,
    /// Largest packet the client takes.
    pub maximum_packet_size: Option<u32>,
    /// Aliases the client takes.
    pub topic_alias_maximum: u16,
    /// The client wants response information.
    pub request_response_information: bool,
    /// The client wants reason strings.
    pub request_problem_information: bool,
    /// Enhanced authentication.
    pub authentication_method: Option<&'a str>,
    /// Its data.
    pub authentication_data: Option<&'a [u8]>,
    /// User properties.
    pub user: UserProperties<'a>,
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user: UserProperties::default(),
        }
    }
}

/// A will.
#[derive(Debug, Clone, PartialEq)]
pub struct Will<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// MQTT 5 properties.
    pub properties: WillProperties<'a>,
}

/// MQTT 5 properties of a will.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WillProperties<'a> {
    /// Seconds to wait after the connection's end.
    pub will_delay: Option<u32>,
    /// Seconds the message lives.
    pub message_expiry: Option<u32>,
    raw: Properties<'a>,
}

impl WillProperties<'_> {
    /// Writes the properties that are forwarded unaltered.
    pub fn write_forwarded(&self, out: &mut Vec<u8>) {
        crate::publish::write_forwarded(self.raw, out);
    }
}

const CONNECT_PROPERTIES: &[u8] = &[
    id::SESSION_EXPIRY,
    id::RECEIVE_MAXIMUM,
    id::MAXIMUM_PACKET_SIZE,
    id::TOPIC_ALIAS_MAXIMUM,
    id::REQUEST_RESPONSE_INFORMATION,
    id::REQUEST_PROBLEM_INFORMATION,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::USER_PROPERTY,
];
const WILL_PROPERTIES: &[u8] = &[
    id::WILL_DELAY,
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
];

/// The most bytes that [`Connect::version`] needs: the fixed header, the longer protocol name with its length, and the level.
pub const VERSION_BYTES_MAX: usize = 1 + frame::LENGTH_BYTES_MAX + NAMES[1].len() + 1;
/// The protocol names with their lengths, of MQTT 3.1.1 and 5 and of MQTT 3.1.
const NAMES: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];
/// Set in each byte of a length but the last.
const CONTINUES: u8 = 0x80;

const USERNAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL: u8 = 0x04;
const CLEAN_START: u8 = 0x02;
const RESERVED: u8 = 0x01;

impl<'a> Connect<'a> {
    /// The plainest: a clean start, without keep-alive, will and login.
    pub fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            client_id,
            clean_start: true,
            keep_alive: 0,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        }
    }

    /// The version that the beginning of a CONNECT names, for one whose rest is not wanted. `None` when more of it is needed,
    /// which is never the case with [`VERSION_BYTES_MAX`] bytes.
    pub fn version(bytes: &[u8]) -> Result<Option<Version>, DecodeError> {
        let remaining_length = bytes.iter().skip(1).take(frame::LENGTH_BYTES_MAX - 1);
        let header = 2 + remaining_length
            .take_while(|byte| **byte & CONTINUES != 0)
            .count();
        let Some(body) = bytes.get(header..) else {
            return Ok(None);
        };
        if NAMES.iter().any(|name| name.starts_with(body)) {
            return Ok(None);
        }
        read_version(&mut Reader::new(body)).map(Some)
    }

    pub(crate) fn read(mut reader: Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let version = read_version(&mut reader)?;
        let flags = reader.u8()?;
        check_flags(version, flags)?;
        let keep_alive = reader.u16()?;
        let properties = match version {
            Version::V5 => ConnectProperties::read(&mut reader, limits)?,
            Version::V31 | Version::V311 => ConnectProperties::default(),
        };
        // [3.1.1 MQTT-3.1.3-1] [5 MQTT-3.1.3-1]: client id, will, user name, password.
        let client_id = reader.string()?;
        let will = if flags & WILL != 0 {
            Some(Will::read(version, flags, &mut reader, limits)?)
        } else {
            None
        };
        let username = if flags & USERNAME != 0 {
            Some(reader.string()?)
        } else {
            None
        };
        let password = if flags & PASSWORD != 0 {
            Some(reader.binary()?)
        } else {
            None
        };
        reader.end()?;
        Ok(Self {
            version,
            client_id,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            will,
            username,
            password,
            properties,
        })
    }

    /// Appends the packet; user properties are not written.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        write::binary(&mut body, self.version.protocol_name().as_bytes());
        body.push(self.version.level());
        body.push(self.flags());
        write::u16(&mut body, self.keep_alive);
        if self.version == Version::V5 {
            let mut properties = Vec::new();
            self.properties.write(&mut properties);
            write::variable(&mut body, properties.len() as u32);
            body.extend_from_slice(&properties);
        }
        write::binary(&mut body, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if self.version == Version::V5 {
                let mut properties = Vec::new();
                will.properties.write(&mut properties);
                write::variable(&mut body, properties.len() as u32);
                body.extend_from_slice(&properties);
            }
            write::binary(&mut body, will.topic.as_bytes());
            write::binary(&mut body, will.payload);
        }
        if let Some(username) = self.username {
            write::binary(&mut body, username.as_bytes());
        }
        if let Some(password) = self.password {
            write::binary(&mut body, password);
        }
        write::packet(out, 0x10, &body);
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | ((will.qos as u8) << 3);
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.username.is_some() {
            flags |= USERNAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    // [3.1.1 MQTT-3.1.2-1] [5 MQTT-3.1.2-1]
    let name = reader.binary()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(DecodeError::UnknownProtocol);
    }
    let level = reader.u8()?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        _ => Err(DecodeError::UnsupportedVersion { level }),
    }
}

fn check_flags(version: Version, flags: u8) -> Result<(), DecodeError> {
    // MQTT 3.1 disregards bits that mean nothing; later versions refuse them.
    let disregards = version == Version::V31;
    // [3.1.1 MQTT-3.1.2-3] [5 MQTT-3.1.2-3]
    if flags & RESERVED != 0 && !disregards {
        return Err(DecodeError::Malformed("reserved connect flag"));
    }
    let has_will = flags & WILL != 0;
    let will_qos = (flags >> 3) & 3;
    if !has_will && !disregards && (will_qos != 0 || flags & WILL_RETAIN != 0) {
        return Err(DecodeError::Malformed("will QoS or retain without a will"));
    }
    if will_qos == 3 && (has_will || !disregards) {
        return Err(DecodeError::Malformed("will QoS 3"));
    }
    // [3.1.1 MQTT-3.1.2-22]; MQTT 5 allows a password alone.
    if version != Version::V5 && flags & PASSWORD != 0 && flags & USERNAME == 0 {
        return Err(DecodeError::Malformed("password without a user name"));
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn read(
        version: Version,
        flags: u8,
        reader: &mut Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let properties = match version {
            Version::V5 => WillProperties::read(reader, limits)?,
            Version::V31 | Version::V311 => WillProperties::default(),
        };
        let name = reader.string()?;
        if !topic::is_name(name) {
            return Err(DecodeError::InvalidTopicName);
        }
        Ok(Self {
            topic: name,
            payload: reader.binary()?,
            qos: QoS::from_bits((flags >> 3) & 3).ok_or(DecodeError::Malformed("will QoS 3"))?,
            retain: flags & WILL_RETAIN != 0,
            properties,
        })
    }
}

impl<'a> WillProperties<'a> {
    fn read(reader: &mut Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let raw = Properties::read(reader, WILL_PROPERTIES, limits)?;
        let mut properties = Self {
            raw,
            ..Self::default()
        };
        for (id, value) in raw.iter() {
            match (id, value) {
                (id::WILL_DELAY, Value::Four(secs)) => properties.will_delay = Some(secs),
                (id::MESSAGE_EXPIRY, Value::Four(secs)) => properties.message_expiry = Some(secs),
                (id::RESPONSE_TOPIC, Value::Text(text)) if !topic::is_name(text) => {
                    return Err(DecodeError::InvalidTopicName);
                }
                _ => {}
            }
        }
        Ok(properties)
    }

    fn write(&self, out: &mut Vec<u8>) {
        if let Some(secs) = self.will_delay {
            property::write_four(out, id::WILL_DELAY, secs);
        }
        if let Some(secs) = self.message_expiry {
            property::write_four(out, id::MESSAGE_EXPIRY, secs);
        }
        self.write_forwarded(out);
    }
}

impl<'a> ConnectProperties<'a> {
    fn read(reader: &mut Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let raw = Properties::read(reader, CONNECT_PROPERTIES, limits)?;
        let mut properties = Self {
            user: raw.user(),
            ..Self::default()
        };
        for (id, value) in raw.iter() {
            match (id, value) {
                (id::SESSION_EXPIRY, Value::Four(secs)) => properties.session_expiry = Some(secs),
                (id::RECEIVE_MAXIMUM, Value::Two(count)) => {
                    properties.receive_maximum = Some(count)
                }
                (id::MAXIMUM_PACKET_SIZE, Value::Four(bytes)) => {
                    properties.maximum_packet_size = Some(bytes)
                }
                (id::TOPIC_ALIAS_MAXIMUM, Value::Two(count)) => {
                    properties.topic_alias_maximum = count
                }
                (id::REQUEST_RESPONSE_INFORMATION, Value::Byte(flag)) => {
                    properties.request_response_information = flag == 1;
                }
                (id::REQUEST_PROBLEM_INFORMATION, Value::Byte(flag)) => {
                    properties.request_problem_information = flag == 1;
                }
                (id::AUTHENTICATION_METHOD, Value::Text(method)) => {
                    properties.authentication_method = Some(method)
                }
                (id::AUTHENTICATION_DATA, Value::Data(data)) => {
                    properties.authentication_data = Some(data)
                }
                _ => {}
            }
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::Protocol(
                "authentication data without a method",
            ));
        }
        Ok(properties)
    }

    fn write(&self, out: &mut Vec<u8>) {
        if let Some(secs) = self.session_expiry {
            property::write_four(out, id::SESSION_EXPIRY, secs);
        }
        if let Some(count) = self.receive_maximum {
            property::write_two(out, id::RECEIVE_MAXIMUM, count);
        }
        if let Some(bytes) = self.maximum_packet_size {
            property::write_four(out, id::MAXIMUM_PACKET_SIZE, bytes);
        }
        if self.topic_alias_maximum != 0 {
            property::write_two(out, id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        }
        if self.request_response_information {
            property::write_byte(out, id::REQUEST_RESPONSE_INFORMATION, 1);
        }
        if !self.request_problem_information {
            property::write_byte(out, id::REQUEST_PROBLEM_INFORMATION, 0);
        }
        if let Some(method) = self.authentication_method {
            property::write_bytes(out, id::AUTHENTICATION_METHOD, method.as_bytes());
        }
        if let Some(data) = self.authentication_data {
            property::write_bytes(out, id::AUTHENTICATION_DATA, data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_known_with_the_level_and_not_before() {
        for version in [Version::V31, Version::V311, Version::V5] {
            let lengths: [&[u8]; 2] = [&[0x0C], &[0xFF, 0xFF, 0xFF, 0x7F]];
            for length in lengths {
                let mut bytes = [&[0x10], length].concat();
                write::binary(&mut bytes, version.protocol_name().as_bytes());
                for end in 0..=bytes.len() {
                    assert_eq!(Connect::version(&bytes[..end]), Ok(None), "{end}");
                }
                assert!(bytes.len() < VERSION_BYTES_MAX);
                for rest in [&[][..], &[0; 20]] {
                    let whole = [&bytes[..], &[version.level()], rest].concat();
                    assert_eq!(Connect::version(&whole), Ok(Some(version)));
                }
                bytes.push(9);
                let unknown = Err(DecodeError::UnsupportedVersion { level: 9 });
                assert_eq!(Connect::version(&bytes), unknown);
            }
        }
        let longest = b"\x10\xFF\xFF\xFF\x7F\0\x06MQIsdp\x03";
        assert_eq!(longest.len(), VERSION_BYTES_MAX);
        // Also where the length is none.
        let endless = [b"\x10\xFF\xFF\xFF\xFF\0\x06MQIsdp".as_slice(), &[0]].concat();
        assert_eq!(endless.len(), VERSION_BYTES_MAX);
        assert!(Connect::version(&endless).is_err());
    }

    #[test]
    fn another_protocol_is_known_by_its_first_wrong_byte() {
        for bytes in [
            &b"\x10\x0C\x01"[..],
            b"\x10\x0C\0\x05",
            b"\x10\x0C\0\x04MQI",
        ] {
            assert!(Connect::version(bytes).is_err(), "{bytes:02x?}");
            assert_eq!(Connect::version(&bytes[..bytes.len() - 1]), Ok(None));
        }
    }
}
