//! Packets as a client writes them, including those that no sound client would.

use mqtt_codec::{
    QoS, Subscribe, SubscriptionOptions, Unsubscribe, Version, ack, disconnect, publish,
};

/// A length-prefixed string or binary field.
pub(crate) fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut field = (bytes.len() as u16).to_be_bytes().to_vec();
    field.extend_from_slice(bytes);
    field
}

/// A packet of any first byte and body.
pub(crate) fn raw(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut packet = vec![first];
    let mut rest = body.len();
    loop {
        let byte = (rest & 0x7F) as u8;
        rest >>= 7;
        if rest == 0 {
            packet.push(byte);
            break;
        }
        packet.push(byte | 0x80);
    }
    packet.extend_from_slice(&body);
    packet
}

/// Properties in wire form, with their length.
pub(crate) fn properties(list: &[&[u8]]) -> Vec<u8> {
    let list = list.concat();
    let mut field = raw(0, &[&list]);
    field.remove(0);
    field
}

/// A property with a four-byte value.
pub(crate) fn four(id: u8, value: u32) -> Vec<u8> {
    [&[id][..], &value.to_be_bytes()].concat()
}

/// A property with a two-byte value.
pub(crate) fn two(id: u8, value: u16) -> Vec<u8> {
    [&[id][..], &value.to_be_bytes()].concat()
}

/// A property with a string or binary value.
pub(crate) fn string(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id][..], &text(value)].concat()
}

/// A user property.
pub(crate) fn user(name: &str, value: &str) -> Vec<u8> {
    [&[0x26][..], &text(name), &text(value)].concat()
}

pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const WILL_DELAY: u8 = 0x18;

/// A CONNECT, built field by field.
#[derive(Clone)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) client_id: Vec<u8>,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    pub(crate) properties: Vec<u8>,
    pub(crate) will: Option<LastWord>,
    pub(crate) username: Option<Vec<u8>>,
    pub(crate) password: Option<Vec<u8>>,
}

/// A will.
#[derive(Clone)]
pub(crate) struct LastWord {
    pub(crate) topic: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<u8>,
}

pub(crate) fn hello(version: Version, client_id: &str) -> Hello {
    Hello {
        version,
        client_id: client_id.into(),
        clean: true,
        keep_alive: 0,
        properties: Vec::new(),
        will: None,
        username: None,
        password: None,
    }
}

impl Hello {
    /// Keeps the session after the connection, and takes it up again.
    pub(crate) fn persistent(mut self) -> Self {
        self.clean = false;
        if self.version == Version::V5 {
            self.properties.extend(four(SESSION_EXPIRY, 3600));
        }
        self
    }

    pub(crate) fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    pub(crate) fn keep_alive(mut self, secs: u16) -> Self {
        self.keep_alive = secs;
        self
    }

    pub(crate) fn property(mut self, property: &[u8]) -> Self {
        self.properties.extend_from_slice(property);
        self
    }

    pub(crate) fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
        self.will = Some(LastWord {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain,
            properties: Vec::new(),
        });
        self
    }

    pub(crate) fn will_property(mut self, property: &[u8]) -> Self {
        let will = self.will.as_mut().expect("the will comes first");
        will.properties.extend_from_slice(property);
        self
    }

    pub(crate) fn login(mut self, name: &str) -> Self {
        self.username = Some(name.into());
        self.password = Some(b"secret".to_vec());
        self
    }

    pub(crate) fn flags(&self) -> u8 {
        let will = self
            .will
            .as_ref()
            .map_or(0, |will| 4 | (will.qos << 3) | (u8::from(will.retain) << 5));
        will | (u8::from(self.clean) << 1)
            | (u8::from(self.username.is_some()) << 7)
            | (u8::from(self.password.is_some()) << 6)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with_flags(self.flags())
    }

    /// The packet with connect flags that need not fit its fields.
    pub(crate) fn bytes_with_flags(&self, flags: u8) -> Vec<u8> {
        let v5 = self.version == Version::V5;
        let mut body = text(self.version.protocol_name());
        body.push(self.version.level());
        body.push(flags);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if v5 {
            body.extend(properties(&[&self.properties]));
        }
        body.extend(text(&self.client_id));
        if let Some(will) = &self.will {
            if v5 {
                body.extend(properties(&[&will.properties]));
            }
            body.extend(text(&will.topic));
            body.extend(text(&will.payload));
        }
        for field in [&self.username, &self.password].into_iter().flatten() {
            body.extend(text(field));
        }
        raw(0x10, &[&body])
    }
}

/// A PUBLISH.
pub(crate) fn message(
    version: Version,
    topic: &str,
    payload: impl AsRef<[u8]>,
    qos: u8,
    packet_id: u16,
    retain: bool,
) -> Vec<u8> {
    message_with(version, topic, payload, qos, packet_id, retain, &[])
}

/// A PUBLISH with MQTT 5 properties in wire form.
pub(crate) fn message_with(
    version: Version,
    topic: &str,
    payload: impl AsRef<[u8]>,
    qos: u8,
    packet_id: u16,
    retain: bool,
    properties: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::new();
    let qos = QoS::from_bits(qos).expect("QoS 0, 1 or 2");
    let head = publish::PublishHead {
        dup: false,
        qos,
        retain,
        topic,
        packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
        expiry: None,
        alias: None,
        subscription_identifiers: &[],
        forwarded: properties,
    };
    publish::encode(version, head, payload.as_ref(), &mut packet);
    packet
}

/// Sets DUP in a PUBLISH.
pub(crate) fn again(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 8;
    publish
}

pub(crate) fn subscribe(
    version: Version,
    packet_id: u16,
    filters: &[(&str, SubscriptionOptions)],
) -> Vec<u8> {
    let mut packet = Vec::new();
    Subscribe::encode(version, packet_id, None, filters, &mut packet);
    packet
}

pub(crate) fn subscribe_as(identifier: u32, filters: &[(&str, SubscriptionOptions)]) -> Vec<u8> {
    let mut packet = Vec::new();
    Subscribe::encode(Version::V5, 1, Some(identifier), filters, &mut packet);
    packet
}

pub(crate) fn options(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions::new(QoS::from_bits(qos).expect("QoS 0, 1 or 2"))
}

pub(crate) fn unsubscribe(version: Version, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut packet = Vec::new();
    Unsubscribe::encode(version, packet_id, filters, &mut packet);
    packet
}

pub(crate) fn puback(packet_id: u16) -> Vec<u8> {
    raw(0x40, &[&packet_id.to_be_bytes()])
}

pub(crate) fn pubrec(packet_id: u16) -> Vec<u8> {
    raw(0x50, &[&packet_id.to_be_bytes()])
}

pub(crate) fn pubrel(packet_id: u16) -> Vec<u8> {
    raw(0x62, &[&packet_id.to_be_bytes()])
}

pub(crate) fn pubcomp(packet_id: u16) -> Vec<u8> {
    raw(0x70, &[&packet_id.to_be_bytes()])
}

pub(crate) fn ping() -> Vec<u8> {
    let mut packet = Vec::new();
    ack::encode_pingreq(&mut packet);
    packet
}

pub(crate) fn goodbye(version: Version) -> Vec<u8> {
    let mut packet = Vec::new();
    disconnect::encode(version, mqtt_codec::ReasonCode::SUCCESS, &mut packet);
    packet
}
