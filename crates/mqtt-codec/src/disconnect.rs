//! DISCONNECT.

use crate::property::{self, DecodeLimits, Properties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, ReasonCode, Version, write};

/// The end of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason: ReasonCode,
    /// MQTT 5 properties.
    pub properties: DisconnectProperties<'a>,
}

/// MQTT 5 properties of DISCONNECT.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DisconnectProperties<'a> {
    /// A new session expiry.
    pub session_expiry: Option<u32>,
    /// Why, in words.
    pub reason_string: Option<&'a str>,
    /// Another server.
    pub server_reference: Option<&'a str>,
}

/// The reason codes with which a client may say that it goes. [5 MQTT-3.14.2-1]
pub const FROM_CLIENTS: &[ReasonCode] = &[
    ReasonCode::SUCCESS,
    ReasonCode::DISCONNECT_WITH_WILL,
    ReasonCode::UNSPECIFIED_ERROR,
    ReasonCode::MALFORMED_PACKET,
    ReasonCode::PROTOCOL_ERROR,
    ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
    ReasonCode::TOPIC_NAME_INVALID,
    ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
    ReasonCode::TOPIC_ALIAS_INVALID,
    ReasonCode::PACKET_TOO_LARGE,
    ReasonCode::MESSAGE_RATE_TOO_HIGH,
    ReasonCode::QUOTA_EXCEEDED,
    ReasonCode::ADMINISTRATIVE_ACTION,
    ReasonCode::PAYLOAD_FORMAT_INVALID,
];

/// Those that a server alone sends.
const FROM_SERVERS: &[ReasonCode] = &[
    ReasonCode::NOT_AUTHORIZED,
    ReasonCode::SERVER_BUSY,
    ReasonCode::SERVER_SHUTTING_DOWN,
    ReasonCode::KEEP_ALIVE_TIMEOUT,
    ReasonCode::SESSION_TAKEN_OVER,
    ReasonCode::TOPIC_FILTER_INVALID,
    ReasonCode::RETAIN_NOT_SUPPORTED,
    ReasonCode::QOS_NOT_SUPPORTED,
    ReasonCode::USE_ANOTHER_SERVER,
    ReasonCode::SERVER_MOVED,
    ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    ReasonCode::CONNECTION_RATE_EXCEEDED,
    ReasonCode::MAXIMUM_CONNECT_TIME,
    ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
    ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
];

/// The reason of a server's DISCONNECT that says what happened, or comes nearest to it: some codes are those of other packets alone.
/// [5 MQTT-3.14.2-1]
pub fn reason_for(reason: ReasonCode) -> ReasonCode {
    match reason {
        ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::BAD_AUTHENTICATION_METHOD => {
            ReasonCode::NOT_AUTHORIZED
        }
        _ if has(reason) => reason,
        _ => ReasonCode::PROTOCOL_ERROR,
    }
}

/// Whether a DISCONNECT, of whomever, has this reason code.
fn has(reason: ReasonCode) -> bool {
    FROM_CLIENTS.contains(&reason) || FROM_SERVERS.contains(&reason)
}

const DISCONNECT_PROPERTIES: &[u8] = &[
    id::SESSION_EXPIRY,
    id::REASON_STRING,
    id::USER_PROPERTY,
    id::SERVER_REFERENCE,
];
impl<'a> Disconnect<'a> {
    pub(crate) fn read(
        version: Version,
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let mut disconnect = Self {
            reason: ReasonCode::SUCCESS,
            properties: DisconnectProperties::default(),
        };
        if version == Version::V5 && !reader.is_empty() {
            disconnect.reason = reader.reason(has)?;
            if !reader.is_empty() {
                for (id, value) in
                    Properties::read(&mut reader, DISCONNECT_PROPERTIES, limits)?.iter()
                {
                    let properties = &mut disconnect.properties;
                    match (id, value) {
                        (id::SESSION_EXPIRY, Value::Four(secs)) => {
                            properties.session_expiry = Some(secs)
                        }
                        (id::REASON_STRING, Value::Text(text)) => {
                            properties.reason_string = Some(text)
                        }
                        (id::SERVER_REFERENCE, Value::Text(text)) => {
                            properties.server_reference = Some(text)
                        }
                        _ => {}
                    }
                }
            }
        }
        reader.end()?;
        Ok(disconnect)
    }
}

/// Appends DISCONNECT.
pub fn encode(version: Version, reason: ReasonCode, out: &mut Vec<u8>) {
    match version {
        Version::V31 | Version::V311 => out.extend_from_slice(&[0xE0, 0]),
        Version::V5 if reason == ReasonCode::SUCCESS => out.extend_from_slice(&[0xE0, 0]),
        Version::V5 => out.extend_from_slice(&[0xE0, 1, reason.0]),
    }
}

/// Appends the DISCONNECT of a server that sends its clients elsewhere; the reference is left out when the packet
/// would exceed `maximum`. [5 MQTT-3.1.2-24]
pub fn encode_reference(reason: ReasonCode, reference: &str, maximum: u32, out: &mut Vec<u8>) {
    let mut properties = Vec::new();
    property::write_bytes(&mut properties, id::SERVER_REFERENCE, reference.as_bytes());
    let mut body = vec![reason.0];
    write::variable(&mut body, properties.len() as u32);
    body.extend_from_slice(&properties);
    if 1 + write::variable_len(body.len()) + body.len() > maximum as usize {
        body.truncate(1);
    }
    write::packet(out, 0xE0, &body);
}

/// Appends a DISCONNECT that changes the session's expiry.
pub fn encode_with_expiry(reason: ReasonCode, session_expiry: u32, out: &mut Vec<u8>) {
    let mut body = vec![reason.0, 5];
    property::write_four(&mut body, id::SESSION_EXPIRY, session_expiry);
    write::packet(out, 0xE0, &body);
}
