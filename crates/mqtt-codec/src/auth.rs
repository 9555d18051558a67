//! AUTH, MQTT 5 only: a step of enhanced authentication. Which step may come when is for the connection to judge.

use crate::property::{self, DecodeLimits, Properties, UserProperties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, ReasonCode, write};

/// A step of enhanced authentication.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth<'a> {
    /// Success, continue, or re-authenticate.
    pub reason: ReasonCode,
    /// Method.
    pub method: Option<&'a str>,
    /// Data.
    pub data: Option<&'a [u8]>,
    /// Why, in words.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user: UserProperties<'a>,
}

/// [5 MQTT-3.15.2-1]
const CODES: &[ReasonCode] = &[
    ReasonCode::SUCCESS,
    ReasonCode::CONTINUE_AUTHENTICATION,
    ReasonCode::RE_AUTHENTICATE,
];

const AUTH_PROPERTIES: &[u8] = &[
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::REASON_STRING,
    id::USER_PROPERTY,
];
const FIRST: u8 = 0xF0;

impl<'a> Auth<'a> {
    /// A step without words.
    pub fn new(reason: ReasonCode, method: &'a str, data: Option<&'a [u8]>) -> Self {
        Self {
            reason,
            method: Some(method),
            data,
            reason_string: None,
            user: UserProperties::default(),
        }
    }

    pub(crate) fn read(mut reader: Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut auth = Self {
            reason: ReasonCode::SUCCESS,
            method: None,
            data: None,
            reason_string: None,
            user: UserProperties::default(),
        };
        if !reader.is_empty() {
            auth.reason = reader.reason(|code| CODES.contains(&code))?;
            let properties = Properties::read(&mut reader, AUTH_PROPERTIES, limits)?;
            auth.user = properties.user();
            for (id, value) in properties.iter() {
                match (id, value) {
                    (id::AUTHENTICATION_METHOD, Value::Text(method)) => auth.method = Some(method),
                    (id::AUTHENTICATION_DATA, Value::Data(data)) => auth.data = Some(data),
                    (id::REASON_STRING, Value::Text(text)) => auth.reason_string = Some(text),
                    _ => {}
                }
            }
        }
        reader.end()?;
        Ok(auth)
    }

    /// Appends the packet. User properties, and then the reason string, are left out when it would exceed
    /// `maximum`. [5 MQTT-3.15.2-2] [5 MQTT-3.15.2-3]
    pub fn encode(&self, maximum: u32, out: &mut Vec<u8>) {
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
        let mut user = Vec::new();
        for (name, value) in self.user.iter() {
            property::write_pair(&mut user, name, value);
        }
        if let Some(text) = self.reason_string {
            let mut reason = Vec::new();
            property::write_bytes(&mut reason, id::REASON_STRING, text.as_bytes());
            if fits(properties.len() + reason.len(), maximum) {
                properties.extend_from_slice(&reason);
            }
        }
        if fits(properties.len() + user.len(), maximum) {
            properties.extend_from_slice(&user);
        }
        let mut body = vec![self.reason.0];
        write::variable(&mut body, properties.len() as u32);
        body.extend_from_slice(&properties);
        write::packet(out, FIRST, &body);
    }
}

/// Whether an AUTH with so many bytes of properties is no larger than `maximum`.
fn fits(properties: usize, maximum: u32) -> bool {
    let body = 1 + write::variable_len(properties) + properties;
    1 + write::variable_len(body) + body <= maximum as usize
}
