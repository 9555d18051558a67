//! DISCONNECT and AUTH.

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

/// A step of enhanced authentication.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth<'a> {
    /// Success, continue, or re-authenticate.
    pub reason: ReasonCode,
    /// Method.
    pub method: Option<&'a str>,
    /// Data.
    pub data: Option<&'a [u8]>,
}

const DISCONNECT_PROPERTIES: &[u8] = &[
    id::SESSION_EXPIRY,
    id::REASON_STRING,
    id::USER_PROPERTY,
    id::SERVER_REFERENCE,
];
const AUTH_PROPERTIES: &[u8] = &[
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::REASON_STRING,
    id::USER_PROPERTY,
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
            disconnect.reason = ReasonCode(reader.u8()?);
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

/// Appends a DISCONNECT that changes the session's expiry.
pub fn encode_with_expiry(reason: ReasonCode, session_expiry: u32, out: &mut Vec<u8>) {
    let mut body = vec![reason.0, 5];
    property::write_four(&mut body, id::SESSION_EXPIRY, session_expiry);
    write::packet(out, 0xE0, &body);
}

impl<'a> Auth<'a> {
    pub(crate) fn read(mut reader: Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut auth = Self {
            reason: ReasonCode::SUCCESS,
            method: None,
            data: None,
        };
        if !reader.is_empty() {
            auth.reason = ReasonCode(reader.u8()?);
            for (id, value) in Properties::read(&mut reader, AUTH_PROPERTIES, limits)?.iter() {
                match (id, value) {
                    (id::AUTHENTICATION_METHOD, Value::Text(method)) => auth.method = Some(method),
                    (id::AUTHENTICATION_DATA, Value::Data(data)) => auth.data = Some(data),
                    _ => {}
                }
            }
        }
        reader.end()?;
        Ok(auth)
    }

    /// Appends an AUTH.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut properties = Vec::new();
        if let Some(method) = self.method {
            property::write_bytes(
                &mut properties,
                id::AUTHENTICATION_METHOD,
                method.as_bytes(),
            );
        }
        if let Some(data) = self.data {
            property::write_bytes(&mut properties, id::AUTHENTICATION_DATA, data);
        }
        let mut body = vec![self.reason.0];
        write::variable(&mut body, properties.len() as u32);
        body.extend_from_slice(&properties);
        write::packet(out, 0xF0, &body);
    }
}
