//! PUBLISH: the packet most of the time is spent on.

use crate::property::{self, DecodeLimits, Properties, UserProperties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, QoS, Version, topic, write};

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish<'a> {
    /// Sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// To be retained, or sent because it was.
    pub retain: bool,
    /// Topic name; empty only together with an alias.
    pub topic: &'a str,
    /// Set at QoS 1 and 2.
    pub packet_id: Option<u16>,
    /// MQTT 5 properties.
    pub properties: PublishProperties<'a>,
    /// Application message.
    pub payload: &'a [u8],
}

/// MQTT 5 properties of PUBLISH.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PublishProperties<'a> {
    /// 1 = the payload is UTF-8.
    pub payload_format: Option<u8>,
    /// Seconds the message lives.
    pub message_expiry: Option<u32>,
    /// Stands for the topic.
    pub topic_alias: Option<u16>,
    /// Where an answer is wanted.
    pub response_topic: Option<&'a str>,
    /// What an answer has to repeat.
    pub correlation_data: Option<&'a [u8]>,
    /// What the payload is.
    pub content_type: Option<&'a str>,
    raw: Properties<'a>,
}

/// What is encoded in front of a payload.
#[derive(Debug, Clone, Copy)]
pub struct PublishHead<'a> {
    /// Sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Topic name.
    pub topic: &'a str,
    /// Required at QoS 1 and 2.
    pub packet_id: Option<u16>,
    /// Message expiry in seconds.
    pub expiry: Option<u32>,
    /// Topic alias.
    pub alias: Option<u16>,
    /// Subscription identifiers.
    pub subscription_identifiers: &'a [u32],
    /// Properties in wire form that are forwarded unaltered.
    pub forwarded: &'a [u8],
}

impl<'a> PublishHead<'a> {
    /// The plainest: QoS 0, first time, without anything beside its topic.
    pub fn new(topic: &'a str) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            expiry: None,
            alias: None,
            subscription_identifiers: &[],
            forwarded: &[],
        }
    }
}

/// Where a frame differs from recipient to recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishLayout {
    /// Offset of the packet identifier in what was appended.
    pub packet_id_at: Option<usize>,
    /// Offset of the topic alias in what was appended.
    pub alias_at: Option<usize>,
}

const PUBLISH_PROPERTIES: &[u8] = &[
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::TOPIC_ALIAS,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
    id::SUBSCRIPTION_IDENTIFIER,
    id::CONTENT_TYPE,
];

impl<'a> Publish<'a> {
    pub(crate) fn read(
        version: Version,
        first: u8,
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let dup = first & 8 != 0;
        // [3.1.1 MQTT-3.3.1-4] [5 MQTT-3.3.1-4]
        let qos = QoS::from_bits((first >> 1) & 3).ok_or(DecodeError::Malformed("QoS 3"))?;
        // [3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2]
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::Malformed("DUP at QoS 0"));
        }
        let name = reader.string()?;
        let packet_id = if qos == QoS::AtMostOnce {
            None
        } else {
            Some(reader.packet_id()?)
        };
        let properties = match version {
            Version::V5 => PublishProperties::read(&mut reader, limits)?,
            Version::V31 | Version::V311 => PublishProperties::default(),
        };
        // [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2]
        let aliased = name.is_empty() && properties.topic_alias.is_some();
        if !aliased && !topic::is_name(name) {
            return Err(DecodeError::InvalidTopicName);
        }
        Ok(Self {
            dup,
            qos,
            retain: first & 1 != 0,
            topic: name,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Subscription identifiers, as a client gets them.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
        self.properties
            .raw
            .iter()
            .filter_map(|(id, value)| match (id, value) {
                (id::SUBSCRIPTION_IDENTIFIER, Value::Four(identifier)) => Some(identifier),
                _ => None,
            })
    }
}

impl<'a> PublishProperties<'a> {
    fn read(reader: &mut Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let raw = Properties::read(reader, PUBLISH_PROPERTIES, limits)?;
        let mut properties = Self {
            raw,
            ..Self::default()
        };
        if raw.is_empty() {
            return Ok(properties);
        }
        for (id, value) in raw.iter() {
            match (id, value) {
                (id::PAYLOAD_FORMAT, Value::Byte(flag)) => properties.payload_format = Some(flag),
                (id::MESSAGE_EXPIRY, Value::Four(secs)) => properties.message_expiry = Some(secs),
                (id::TOPIC_ALIAS, Value::Two(alias)) => properties.topic_alias = Some(alias),
                (id::RESPONSE_TOPIC, Value::Text(text)) => {
                    // [5 MQTT-3.3.2-14]
                    if !topic::is_name(text) {
                        return Err(DecodeError::InvalidTopicName);
                    }
                    properties.response_topic = Some(text);
                }
                (id::CORRELATION_DATA, Value::Data(data)) => {
                    properties.correlation_data = Some(data)
                }
                (id::CONTENT_TYPE, Value::Text(text)) => properties.content_type = Some(text),
                _ => {}
            }
        }
        Ok(properties)
    }

    /// User properties in their order.
    pub fn user(&self) -> UserProperties<'a> {
        self.raw.user()
    }

    /// Whether a client has put in what only a server may. [5 MQTT-3.3.4-6]
    pub fn has_subscription_identifier(&self) -> bool {
        !self.raw.is_empty()
            && self
                .raw
                .iter()
                .any(|(id, _)| id == id::SUBSCRIPTION_IDENTIFIER)
    }

    /// Writes, in wire form and in their order, the properties that are forwarded unaltered.
    /// [5 MQTT-3.3.2-4] [5 MQTT-3.3.2-15] [5 MQTT-3.3.2-16] [5 MQTT-3.3.2-17] [5 MQTT-3.3.2-18] [5 MQTT-3.3.2-20]
    pub fn write_forwarded(&self, out: &mut Vec<u8>) {
        write_forwarded(self.raw, out);
    }
}

/// Whether these are properties as [`PublishProperties::write_forwarded`] writes them: what has been kept may have been
/// damaged since.
pub fn are_forwarded(raw: &[u8]) -> bool {
    const FORWARDED: &[u8] = &[
        id::PAYLOAD_FORMAT,
        id::RESPONSE_TOPIC,
        id::CONTENT_TYPE,
        id::CORRELATION_DATA,
        id::USER_PROPERTY,
    ];
    let limits = DecodeLimits {
        user_properties_max: u16::MAX,
    };
    raw.is_empty()
        || Properties::check(raw, FORWARDED, &limits).is_ok_and(|properties| {
            properties.iter().all(|(id, value)| match (id, value) {
                (id::RESPONSE_TOPIC, Value::Text(topic)) => topic::is_name(topic),
                _ => true,
            })
        })
}

pub(crate) fn write_forwarded(raw: Properties<'_>, out: &mut Vec<u8>) {
    if raw.is_empty() {
        return;
    }
    for (id, value) in raw.iter() {
        match (id, value) {
            (id::PAYLOAD_FORMAT, Value::Byte(flag)) => property::write_byte(out, id, flag),
            (id::RESPONSE_TOPIC | id::CONTENT_TYPE, Value::Text(text)) => {
                property::write_bytes(out, id, text.as_bytes());
            }
            (id::CORRELATION_DATA, Value::Data(data)) => property::write_bytes(out, id, data),
            (id::USER_PROPERTY, Value::Pair(name, text)) => property::write_pair(out, name, text),
            _ => {}
        }
    }
}

/// The content type among properties in wire form.
pub fn content_type(raw: &[u8]) -> Option<&str> {
    property::text_of(raw, id::CONTENT_TYPE)
}

/// Properties a test or client puts into a message it publishes, in wire form.
pub fn write_user_property(out: &mut Vec<u8>, name: &str, value: &str) {
    property::write_pair(out, name, value);
}

/// Response topic in wire form.
pub fn write_response_topic(out: &mut Vec<u8>, topic: &str) {
    property::write_bytes(out, id::RESPONSE_TOPIC, topic.as_bytes());
}

/// Correlation data in wire form.
pub fn write_correlation(out: &mut Vec<u8>, data: &[u8]) {
    property::write_correlation(out, data);
}

/// Appends a PUBLISH and tells where its packet identifier and its topic alias stand.
pub fn encode(
    version: Version,
    head: PublishHead<'_>,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> PublishLayout {
    let start = out.len();
    let properties = properties_len(version, &head);
    let id_bytes = if head.packet_id.is_some() { 2 } else { 0 };
    let remaining = 2 + head.topic.len() + id_bytes + properties + payload.len();
    out.reserve(1 + write::variable_len(remaining) + remaining);
    out.push(0x30 | (u8::from(head.dup) << 3) | ((head.qos as u8) << 1) | u8::from(head.retain));
    write::variable(out, remaining as u32);
    write::binary(out, head.topic.as_bytes());
    let packet_id_at = head.packet_id.map(|packet_id| {
        let at = out.len() - start;
        write::u16(out, packet_id);
        at
    });
    let mut alias_at = None;
    if version == Version::V5 {
        alias_at = write_properties(&head, out).map(|at| at - start);
    }
    out.extend_from_slice(payload);
    PublishLayout {
        packet_id_at,
        alias_at,
    }
}

fn inner_properties_len(head: &PublishHead<'_>) -> usize {
    let identifiers: usize = head
        .subscription_identifiers
        .iter()
        .map(|identifier| 1 + write::variable_len(*identifier as usize))
        .sum();
    head.forwarded.len() + identifiers + head.expiry.map_or(0, |_| 5) + head.alias.map_or(0, |_| 3)
}

fn properties_len(version: Version, head: &PublishHead<'_>) -> usize {
    match version {
        Version::V31 | Version::V311 => 0,
        Version::V5 => {
            let inner = inner_properties_len(head);
            write::variable_len(inner) + inner
        }
    }
}

/// Where the topic alias stands, in all of `out`.
fn write_properties(head: &PublishHead<'_>, out: &mut Vec<u8>) -> Option<usize> {
    write::variable(out, inner_properties_len(head) as u32);
    if let Some(secs) = head.expiry {
        property::write_four(out, id::MESSAGE_EXPIRY, secs);
    }
    let alias_at = head.alias.map(|alias| {
        property::write_two(out, id::TOPIC_ALIAS, alias);
        out.len() - size_of::<u16>()
    });
    out.extend_from_slice(head.forwarded);
    for identifier in head.subscription_identifiers {
        out.push(id::SUBSCRIPTION_IDENTIFIER);
        write::variable(out, *identifier);
    }
    alias_at
}
