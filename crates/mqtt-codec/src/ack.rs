//! PUBACK, PUBREC, PUBREL, PUBCOMP and the pings.

use crate::property::{self, DecodeLimits, Properties, UserProperties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, ReasonCode, Version, write};

/// The reason codes of PUBACK and PUBREC. [5 MQTT-3.4.2-1] [5 MQTT-3.5.2-1]
pub(crate) const RECEIVED: &[ReasonCode] = &[
    ReasonCode::SUCCESS,
    ReasonCode::NO_MATCHING_SUBSCRIBERS,
    ReasonCode::UNSPECIFIED_ERROR,
    ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
    ReasonCode::NOT_AUTHORIZED,
    ReasonCode::TOPIC_NAME_INVALID,
    ReasonCode::PACKET_IDENTIFIER_IN_USE,
    ReasonCode::QUOTA_EXCEEDED,
    ReasonCode::PAYLOAD_FORMAT_INVALID,
];

/// The reason codes of PUBREL and PUBCOMP. [5 MQTT-3.6.2-1] [5 MQTT-3.7.2-1]
pub(crate) const RELEASED: &[ReasonCode] =
    &[ReasonCode::SUCCESS, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND];

/// Whether `bytes` are PUBACK and PUBCOMP packets and nothing else: those that MQTT has no answer to. Told by their fixed
/// headers alone; one that is longer than 129 bytes is not recognized.
pub fn ends_deliveries(mut bytes: &[u8]) -> bool {
    const PUBACK: u8 = 0x40;
    const PUBCOMP: u8 = 0x70;
    const LENGTH_MAX: u8 = 0x7F;
    let any = !bytes.is_empty();
    while let Some((&[kind, length], rest)) = bytes.split_first_chunk() {
        if !matches!(kind, PUBACK | PUBCOMP) || length > LENGTH_MAX {
            return false;
        }
        match rest.split_at_checked(length.into()) {
            Some((_, behind)) => bytes = behind,
            None => return false,
        }
    }
    any && bytes.is_empty()
}

/// One of the four acknowledgements of a publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack<'a> {
    /// The publish it is about.
    pub packet_id: u16,
    /// Outcome; always success before MQTT 5.
    pub reason: ReasonCode,
    /// Why.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user: UserProperties<'a>,
}

/// Why a publish was refused, beside the reason code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Explanation<'a> {
    /// A sentence for people.
    pub sentence: &'a str,
    /// What programs read.
    pub user: UserProperties<'a>,
}

impl<'a> From<&'a str> for Explanation<'a> {
    fn from(sentence: &'a str) -> Self {
        Self {
            sentence,
            user: UserProperties::default(),
        }
    }
}

impl<'a> Ack<'a> {
    /// `codes` are those of the packet.
    pub(crate) fn read(
        version: Version,
        codes: &[ReasonCode],
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let mut ack = Self {
            packet_id: reader.packet_id()?,
            reason: ReasonCode::SUCCESS,
            reason_string: None,
            user: UserProperties::default(),
        };
        if version == Version::V5 && !reader.is_empty() {
            ack.reason = reader.reason(|code| codes.contains(&code))?;
            if !reader.is_empty() {
                let properties =
                    Properties::read(&mut reader, &[id::REASON_STRING, id::USER_PROPERTY], limits)?;
                ack.reason_string = reason_string(properties);
                ack.user = properties.user();
            }
        }
        reader.end()?;
        Ok(ack)
    }
}

pub(crate) fn reason_string(properties: Properties<'_>) -> Option<&str> {
    properties.iter().find_map(|(id, value)| match (id, value) {
        (id::REASON_STRING, Value::Text(text)) => Some(text),
        _ => None,
    })
}

/// Appends PUBACK; the sentence, and then the user properties, are left out when they would exceed `maximum`. [5 MQTT-3.4.2-2]
pub fn encode_puback(
    version: Version,
    packet_id: u16,
    reason: ReasonCode,
    explanation: Option<Explanation<'_>>,
    maximum: u32,
    out: &mut Vec<u8>,
) {
    encode(0x40, version, packet_id, reason, explanation, maximum, out);
}

/// Appends PUBREC; the sentence, and then the user properties, are left out when they would exceed `maximum`. [5 MQTT-3.5.2-2]
pub fn encode_pubrec(
    version: Version,
    packet_id: u16,
    reason: ReasonCode,
    explanation: Option<Explanation<'_>>,
    maximum: u32,
    out: &mut Vec<u8>,
) {
    encode(0x50, version, packet_id, reason, explanation, maximum, out);
}

/// Appends PUBREL. [3.1.1 MQTT-3.6.1-1] [5 MQTT-3.6.1-1]
pub fn encode_pubrel(version: Version, packet_id: u16, reason: ReasonCode, out: &mut Vec<u8>) {
    encode(0x62, version, packet_id, reason, None, u32::MAX, out);
}

/// Appends PUBCOMP.
pub fn encode_pubcomp(version: Version, packet_id: u16, reason: ReasonCode, out: &mut Vec<u8>) {
    encode(0x70, version, packet_id, reason, None, u32::MAX, out);
}

/// Appends PINGREQ.
pub fn encode_pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends PINGRESP.
pub fn encode_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xD0, 0]);
}

fn encode(
    first: u8,
    version: Version,
    packet_id: u16,
    reason: ReasonCode,
    explanation: Option<Explanation<'_>>,
    maximum: u32,
    out: &mut Vec<u8>,
) {
    let [high, low] = packet_id.to_be_bytes();
    if version != Version::V5 || (reason == ReasonCode::SUCCESS && explanation.is_none()) {
        out.extend_from_slice(&[first, 2, high, low]);
        return;
    }
    let mut body = vec![high, low, reason.0];
    if let Some(explanation) = explanation {
        let mut user = Vec::new();
        for (name, value) in explanation.user.iter() {
            property::write_pair(&mut user, name, value);
        }
        let mut properties = Vec::new();
        let sentence = explanation.sentence.as_bytes();
        property::write_bytes(&mut properties, id::REASON_STRING, sentence);
        properties.extend_from_slice(&user);
        let parts = [properties, user].into_iter();
        // Programs come before people.
        let fitting = parts.filter(|part| !part.is_empty()).find(|part| {
            let length = 3 + write::variable_len(part.len()) + part.len();
            1 + write::variable_len(length) + length <= maximum as usize
        });
        if let Some(fitting) = fitting {
            write::variable(&mut body, fitting.len() as u32);
            body.extend_from_slice(&fitting);
        }
    }
    write::packet(out, first, &body);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server has no answer to is told from everything else, whole packets alone.
    #[test]
    fn packets_that_end_deliveries() {
        let cases: &[(&[u8], bool)] = &[
            (b"\x40\x02\0\x01", true),
            (b"\x70\x02\0\x01", true),
            (b"\x40\x02\0\x01\x70\x03\0\x02\x92\x40\x02\0\x03", true),
            (b"", false),
            (b"\x40", false),
            (b"\x40\x02\0", false),
            (b"\x40\x02\0\x01\x40", false),
            (b"\x50\x02\0\x01", false),
            (b"\x62\x02\0\x01", false),
            (b"\xC0\0", false),
            (b"\x40\x02\0\x01\xC0\0", false),
            (b"\x30\x03\0\x01a", false),
        ];
        for (bytes, expected) in cases {
            assert_eq!(ends_deliveries(bytes), *expected, "{bytes:02x?}");
        }
        let mut long = vec![0x40, 0x80, 0x01];
        long.resize(3 + 128, 0);
        assert!(!ends_deliveries(&long), "not worth a second byte");
    }
}
