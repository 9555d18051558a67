//! CONNACK.

use crate::property::{self, DecodeLimits, Properties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, ReasonCode, Version, write};

/// The server's answer to CONNECT, as a client reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Connack<'a> {
    /// The server has the session.
    pub session_present: bool,
    /// MQTT 5 reason code, or the return code of MQTT 3.
    pub code: u8,
    /// Client id the server chose.
    pub assigned_client_id: Option<&'a str>,
    /// Keep-alive the server chose.
    pub server_keep_alive: Option<u16>,
    /// Session expiry the server chose.
    pub session_expiry: Option<u32>,
    /// Publishes the server takes unacknowledged.
    pub receive_maximum: Option<u16>,
    /// Largest packet the server takes.
    pub maximum_packet_size: Option<u32>,
    /// Aliases the server takes.
    pub topic_alias_maximum: u16,
    /// Why.
    pub reason_string: Option<&'a str>,
    /// Where answers may be sent, if the client asked.
    pub response_information: Option<&'a str>,
    /// Another server.
    pub server_reference: Option<&'a str>,
    /// Method of enhanced authentication.
    pub authentication_method: Option<&'a str>,
    /// The last data of enhanced authentication.
    pub authentication_data: Option<&'a [u8]>,
}

/// What an accepting CONNACK says.
#[derive(Debug, Clone)]
pub struct Accepted<'a> {
    /// The server has the session.
    pub session_present: bool,
    /// Set when the server overrules the client.
    pub session_expiry: Option<u32>,
    /// Publishes the server takes unacknowledged.
    pub receive_maximum: u16,
    /// Largest packet the server takes.
    pub maximum_packet_size: u32,
    /// Set when the server chose the client id.
    pub assigned_client_id: Option<&'a str>,
    /// Aliases the server takes.
    pub topic_alias_maximum: u16,
    /// Set when the server overrules the client.
    pub server_keep_alive: Option<u16>,
    /// Set when the client asked and there is something to say.
    pub response_information: Option<&'a str>,
    /// The client's method of enhanced authentication. [5 MQTT-4.12.0-5]
    pub authentication_method: Option<&'a str>,
    /// The last data of enhanced authentication.
    pub authentication_data: Option<&'a [u8]>,
}

const FIRST: u8 = 0x20;
const CONNACK_PROPERTIES: &[u8] = &[
    id::SESSION_EXPIRY,
    id::RECEIVE_MAXIMUM,
    id::MAXIMUM_QOS,
    id::RETAIN_AVAILABLE,
    id::MAXIMUM_PACKET_SIZE,
    id::ASSIGNED_CLIENT_ID,
    id::TOPIC_ALIAS_MAXIMUM,
    id::REASON_STRING,
    id::USER_PROPERTY,
    id::WILDCARD_AVAILABLE,
    id::IDENTIFIERS_AVAILABLE,
    id::SHARED_AVAILABLE,
    id::SERVER_KEEP_ALIVE,
    id::RESPONSE_INFORMATION,
    id::SERVER_REFERENCE,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
];

/// Appends an accepting CONNACK.
pub fn encode_accepted(version: Version, accepted: &Accepted<'_>, out: &mut Vec<u8>) {
    let mut body = vec![u8::from(accepted.session_present), 0];
    match version {
        // MQTT 3.1 has no session present flag: its first byte is reserved.
        Version::V31 => body[0] = 0,
        Version::V311 => {}
        Version::V5 => {
            let mut properties = Vec::new();
            write_accepted(accepted, &mut properties);
            write::variable(&mut body, properties.len() as u32);
            body.extend_from_slice(&properties);
        }
    }
    write::packet(out, FIRST, &body);
}

fn write_accepted(accepted: &Accepted<'_>, out: &mut Vec<u8>) {
    if let Some(secs) = accepted.session_expiry {
        property::write_four(out, id::SESSION_EXPIRY, secs);
    }
    if accepted.receive_maximum != u16::MAX {
        property::write_two(out, id::RECEIVE_MAXIMUM, accepted.receive_maximum);
    }
    property::write_four(out, id::MAXIMUM_PACKET_SIZE, accepted.maximum_packet_size);
    if let Some(client_id) = accepted.assigned_client_id {
        property::write_bytes(out, id::ASSIGNED_CLIENT_ID, client_id.as_bytes());
    }
    if accepted.topic_alias_maximum != 0 {
        property::write_two(out, id::TOPIC_ALIAS_MAXIMUM, accepted.topic_alias_maximum);
    }
    if let Some(secs) = accepted.server_keep_alive {
        property::write_two(out, id::SERVER_KEEP_ALIVE, secs);
    }
    if let Some(text) = accepted.response_information {
        property::write_bytes(out, id::RESPONSE_INFORMATION, text.as_bytes());
    }
    if let Some(method) = accepted.authentication_method {
        property::write_bytes(out, id::AUTHENTICATION_METHOD, method.as_bytes());
    }
    if let Some(data) = accepted.authentication_data {
        property::write_bytes(out, id::AUTHENTICATION_DATA, data);
    }
}

/// Bytes of the shortest CONNACK of MQTT 5.
const REFUSED_BYTES: u32 = 5;

/// Appends a refusing CONNACK, unless the client takes no packet of that length. [3.1.1 MQTT-3.2.2-4]
/// [5 MQTT-3.2.2-6]: never with session present. [5 MQTT-3.1.2-24]
pub fn encode_refused(version: Version, reason: ReasonCode, maximum: u32, out: &mut Vec<u8>) {
    match version {
        Version::V31 | Version::V311 => {
            write::packet(out, FIRST, &[0, reason.connect_return_code()])
        }
        Version::V5 if maximum < REFUSED_BYTES => {}
        Version::V5 => write::packet(out, FIRST, &[0, reason.0, 0]),
    }
}

/// Appends the refusing CONNACK of a server that sends its clients elsewhere; MQTT 3 knows no such reference, and it
/// is left out when the packet would exceed `maximum`. [5 MQTT-3.1.2-24]
pub fn encode_referred(
    version: Version,
    reason: ReasonCode,
    reference: &str,
    maximum: u32,
    out: &mut Vec<u8>,
) {
    let mut properties = Vec::new();
    property::write_bytes(&mut properties, id::SERVER_REFERENCE, reference.as_bytes());
    let mut body = vec![0, reason.0];
    write::variable(&mut body, properties.len() as u32);
    body.extend_from_slice(&properties);
    let too_large = 1 + write::variable_len(body.len()) + body.len() > maximum as usize;
    if version != Version::V5 || too_large {
        return encode_refused(version, reason, maximum, out);
    }
    write::packet(out, FIRST, &body);
}

impl<'a> Connack<'a> {
    pub(crate) fn read(
        version: Version,
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        if flags > 1 {
            return Err(DecodeError::Malformed("reserved flags of CONNACK"));
        }
        let mut connack = Self {
            session_present: flags == 1,
            code: reader.u8()?,
            assigned_client_id: None,
            server_keep_alive: None,
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            reason_string: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        };
        if version == Version::V5 {
            for (id, value) in Properties::read(&mut reader, CONNACK_PROPERTIES, limits)?.iter() {
                match (id, value) {
                    (id::ASSIGNED_CLIENT_ID, Value::Text(text)) => {
                        connack.assigned_client_id = Some(text)
                    }
                    (id::SERVER_KEEP_ALIVE, Value::Two(secs)) => {
                        connack.server_keep_alive = Some(secs)
                    }
                    (id::SESSION_EXPIRY, Value::Four(secs)) => connack.session_expiry = Some(secs),
                    (id::RECEIVE_MAXIMUM, Value::Two(count)) => {
                        connack.receive_maximum = Some(count)
                    }
                    (id::MAXIMUM_PACKET_SIZE, Value::Four(bytes)) => {
                        connack.maximum_packet_size = Some(bytes)
                    }
                    (id::TOPIC_ALIAS_MAXIMUM, Value::Two(count)) => {
                        connack.topic_alias_maximum = count
                    }
                    (id::REASON_STRING, Value::Text(text)) => connack.reason_string = Some(text),
                    (id::RESPONSE_INFORMATION, Value::Text(text)) => {
                        connack.response_information = Some(text)
                    }
                    (id::SERVER_REFERENCE, Value::Text(text)) => {
                        connack.server_reference = Some(text)
                    }
                    (id::AUTHENTICATION_METHOD, Value::Text(text)) => {
                        connack.authentication_method = Some(text)
                    }
                    (id::AUTHENTICATION_DATA, Value::Data(data)) => {
                        connack.authentication_data = Some(data)
                    }
                    _ => {}
                }
            }
        }
        reader.end()?;
        Ok(connack)
    }
}
