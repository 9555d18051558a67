//! SUBACK and UNSUBACK.

use crate::ack::reason_string;
use crate::property::{self, DecodeLimits, Properties, id};
use crate::read::Reader;
use crate::{DecodeError, ReasonCode, Version, write};

/// What was granted or removed, one code per filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Suback<'a> {
    /// Of the request.
    pub packet_id: u16,
    /// In the order of the filters; empty in an UNSUBACK before MQTT 5.
    pub codes: &'a [u8],
    /// Why.
    pub reason_string: Option<&'a str>,
}

/// Before MQTT 5 there is one failure only. [3.1.1 MQTT-3.9.3-2]
const FAILURE: u8 = 0x80;

/// Appends SUBACK. [3.1.1 MQTT-3.9.3-1] [5 MQTT-3.9.3-1]
pub fn encode(version: Version, packet_id: u16, codes: &[ReasonCode], out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    match version {
        Version::V31 | Version::V311 => {
            body.extend(
                codes
                    .iter()
                    .map(|code| if code.is_error() { FAILURE } else { code.0 }),
            );
        }
        Version::V5 => {
            body.push(0);
            body.extend(codes.iter().map(|code| code.0));
        }
    }
    write::packet(out, 0x90, &body);
}

/// Appends SUBACK of MQTT 5 with a sentence, which is left out when it would exceed `maximum`. [5 MQTT-3.9.2-1]
pub fn encode_with_reason(
    packet_id: u16,
    codes: &[ReasonCode],
    sentence: &str,
    maximum: u32,
    out: &mut Vec<u8>,
) {
    let mut properties = Vec::new();
    property::write_bytes(&mut properties, id::REASON_STRING, sentence.as_bytes());
    let mut body = packet_id.to_be_bytes().to_vec();
    write::variable(&mut body, properties.len() as u32);
    body.extend_from_slice(&properties);
    body.extend(codes.iter().map(|code| code.0));
    if 1 + write::variable_len(body.len()) + body.len() > maximum as usize {
        return encode(Version::V5, packet_id, codes, out);
    }
    write::packet(out, 0x90, &body);
}

/// Appends UNSUBACK. [3.1.1 MQTT-3.10.4-4] [5 MQTT-3.11.3-1]
pub fn encode_unsuback(version: Version, packet_id: u16, codes: &[ReasonCode], out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
        body.extend(codes.iter().map(|code| code.0));
    }
    write::packet(out, 0xB0, &body);
}

/// Bytes of a SUBACK or UNSUBACK with so many codes; before MQTT 5 an UNSUBACK has fewer.
pub fn encoded_len(version: Version, codes: usize) -> usize {
    let body = codes + if version == Version::V5 { 3 } else { 2 };
    1 + write::variable_len(body) + body
}

impl<'a> Suback<'a> {
    pub(crate) fn read(
        version: Version,
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut text = None;
        if version == Version::V5 {
            text = reason_string(Properties::read(
                &mut reader,
                &[id::REASON_STRING, id::USER_PROPERTY],
                limits,
            )?);
        }
        Ok(Self {
            packet_id,
            codes: reader.rest(),
            reason_string: text,
        })
    }

    pub(crate) fn read_unsuback(
        version: Version,
        reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let unsuback = Self::read(version, reader, limits)?;
        if version != Version::V5 && !unsuback.codes.is_empty() {
            return Err(DecodeError::Malformed("bytes behind the end of the packet"));
        }
        Ok(unsuback)
    }
}
