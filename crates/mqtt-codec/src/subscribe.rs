//! SUBSCRIBE and UNSUBSCRIBE.

use crate::property::{DecodeLimits, Properties, Value, id};
use crate::read::Reader;
use crate::{DecodeError, QoS, Version, topic, write};

/// Filters a client wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe<'a> {
    /// Repeated in SUBACK.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: SubscribeProperties,
    /// Validated filters and options in wire form.
    raw: &'a [u8],
}

/// MQTT 5 properties of SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeProperties {
    /// Given to each of the subscriptions.
    pub subscription_identifier: Option<u32>,
}

/// Options of one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Highest QoS wanted.
    pub qos: QoS,
    /// Not what this client publishes itself.
    pub no_local: bool,
    /// RETAIN as it was published.
    pub retain_as_published: bool,
    /// 0: retained messages always, 1: only to a new subscription, 2: never.
    pub retain_handling: u8,
}

impl SubscriptionOptions {
    /// Plain options of a QoS, as in MQTT 3.
    pub const fn new(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
        }
    }

    /// The options byte.
    pub const fn bits(self) -> u8 {
        self.qos as u8
            | ((self.no_local as u8) << 2)
            | ((self.retain_as_published as u8) << 3)
            | (self.retain_handling << 4)
    }

    /// From an options byte that was checked when it came in.
    pub fn from_bits(bits: u8) -> Self {
        Self {
            qos: QoS::from_bits(bits & 3).unwrap_or(QoS::AtMostOnce),
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
            retain_handling: (bits >> 4) & 3,
        }
    }

    fn read(version: Version, bits: u8, filter: &str) -> Result<Self, DecodeError> {
        // [3.1.1 MQTT-3.8.3-4] [5 MQTT-3.8.3-5]
        let reserved = match version {
            Version::V31 | Version::V311 => 0xFC,
            Version::V5 => 0xC0,
        };
        if bits & reserved != 0 || bits & 3 == 3 {
            return Err(DecodeError::Malformed("subscription options"));
        }
        let options = Self::from_bits(bits);
        if options.retain_handling == 3 {
            return Err(DecodeError::Protocol("retain handling 3"));
        }
        // [5 MQTT-3.8.3-4]
        if options.no_local && topic::shared(filter).is_some() {
            return Err(DecodeError::Protocol("no local on a shared subscription"));
        }
        Ok(options)
    }
}

impl<'a> Subscribe<'a> {
    pub(crate) fn read(
        version: Version,
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut properties = SubscribeProperties::default();
        if version == Version::V5 {
            let allowed = [id::SUBSCRIPTION_IDENTIFIER, id::USER_PROPERTY];
            for (id, value) in Properties::read(&mut reader, &allowed, limits)?.iter() {
                if let (id::SUBSCRIPTION_IDENTIFIER, Value::Four(identifier)) = (id, value)
                    && properties
                        .subscription_identifier
                        .replace(identifier)
                        .is_some()
                {
                    return Err(DecodeError::Protocol("subscription identifier comes twice"));
                }
            }
        }
        let raw = reader.rest();
        // [3.1.1 MQTT-3.8.3-3] [5 MQTT-3.8.3-2]
        if raw.is_empty() {
            return Err(DecodeError::Protocol("SUBSCRIBE without a filter"));
        }
        while !reader.is_empty() {
            let filter = read_filter(&mut reader)?;
            SubscriptionOptions::read(version, reader.u8()?, filter)?;
        }
        Ok(Self {
            packet_id,
            properties,
            raw,
        })
    }

    /// Filters with their options, in their order.
    pub fn filters(&self) -> impl Iterator<Item = (&'a str, SubscriptionOptions)> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || {
            let filter = reader.string().ok()?;
            Some((filter, SubscriptionOptions::from_bits(reader.u8().ok()?)))
        })
    }

    /// Appends a SUBSCRIBE.
    pub fn encode(
        version: Version,
        packet_id: u16,
        identifier: Option<u32>,
        filters: &[(&str, SubscriptionOptions)],
        out: &mut Vec<u8>,
    ) {
        let mut body = packet_id.to_be_bytes().to_vec();
        if version == Version::V5 {
            let mut properties = Vec::new();
            if let Some(identifier) = identifier {
                properties.push(id::SUBSCRIPTION_IDENTIFIER);
                write::variable(&mut properties, identifier);
            }
            write::variable(&mut body, properties.len() as u32);
            body.extend_from_slice(&properties);
        }
        for (filter, options) in filters {
            write::binary(&mut body, filter.as_bytes());
            body.push(if version == Version::V5 {
                options.bits()
            } else {
                options.qos as u8
            });
        }
        write::packet(out, 0x82, &body);
    }
}

/// Filters a client no longer wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Repeated in UNSUBACK.
    pub packet_id: u16,
    raw: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn read(
        version: Version,
        mut reader: Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        if version == Version::V5 {
            Properties::read(&mut reader, &[id::USER_PROPERTY], limits)?;
        }
        let raw = reader.rest();
        // [3.1.1 MQTT-3.10.3-2] [5 MQTT-3.10.3-2]
        if raw.is_empty() {
            return Err(DecodeError::Protocol("UNSUBSCRIBE without a filter"));
        }
        while !reader.is_empty() {
            read_filter(&mut reader)?;
        }
        Ok(Self { packet_id, raw })
    }

    /// Filters in their order.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || reader.string().ok())
    }

    /// Appends an UNSUBSCRIBE.
    pub fn encode(version: Version, packet_id: u16, filters: &[&str], out: &mut Vec<u8>) {
        let mut body = packet_id.to_be_bytes().to_vec();
        if version == Version::V5 {
            body.push(0);
        }
        for filter in filters {
            write::binary(&mut body, filter.as_bytes());
        }
        write::packet(out, 0xA2, &body);
    }
}

fn read_filter<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let filter = reader.string()?;
    if topic::is_filter(filter) {
        Ok(filter)
    } else {
        Err(DecodeError::InvalidTopicFilter)
    }
}
