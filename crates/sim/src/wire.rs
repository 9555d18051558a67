//! MQTT as a client speaks it, written from the specification's tables and not with the server's codec, so that
//! a mistake there is not made twice. It encodes only what the world's clients send and panics on nothing.

/// What a CONNECT says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hello {
    pub(crate) v5: bool,
    pub(crate) client_id: String,
    pub(crate) username: Option<String>,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    pub(crate) expiry: u32,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) packet_max: Option<u32>,
    pub(crate) alias_max: u16,
    pub(crate) will: Option<Will>,
}

/// What a client leaves behind.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) delay: u32,
}

/// A PUBLISH in either direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    pub(crate) packet_id: u16,
    pub(crate) alias: Option<u16>,
    pub(crate) expiry: Option<u32>,
    pub(crate) identifiers: Vec<u32>,
    pub(crate) payload: Vec<u8>,
    /// Bytes of the whole packet, of those that were read.
    pub(crate) bytes: usize,
}

/// A filter of a SUBSCRIBE.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) filter: String,
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) as_published: bool,
    pub(crate) handling: u8,
}

/// What the server may say.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Connack {
        present: bool,
        code: u8,
        receive_maximum: u16,
        alias_max: u16,
    },
    Publish(Publish),
    Puback(u16, u8),
    Pubrec(u16, u8),
    Pubrel(u16),
    Pubcomp(u16),
    Suback(u16, Vec<u8>),
    Unsuback(u16, Vec<u8>),
    Pingresp,
    Disconnect(u8),
}

pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];

// What a client sends.

pub(crate) fn connect(hello: &Hello) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.push(if hello.v5 { 5 } else { 4 });
    let mut flags = u8::from(hello.clean) << 1;
    if let Some(will) = &hello.will {
        flags |= 0x04 | (will.qos << 3) | (u8::from(will.retain) << 5);
    }
    if hello.username.is_some() {
        flags |= 0xC0;
    }
    body.push(flags);
    body.extend_from_slice(&hello.keep_alive.to_be_bytes());
    if hello.v5 {
        let mut properties = Vec::new();
        if hello.expiry > 0 {
            properties.push(0x11);
            properties.extend_from_slice(&hello.expiry.to_be_bytes());
        }
        if let Some(maximum) = hello.receive_maximum {
            properties.push(0x21);
            properties.extend_from_slice(&maximum.to_be_bytes());
        }
        if let Some(maximum) = hello.packet_max {
            properties.push(0x27);
            properties.extend_from_slice(&maximum.to_be_bytes());
        }
        if hello.alias_max > 0 {
            properties.push(0x22);
            properties.extend_from_slice(&hello.alias_max.to_be_bytes());
        }
        block(&mut body, &properties);
    }
    text(&mut body, &hello.client_id);
    if let Some(will) = &hello.will {
        if hello.v5 {
            let mut properties = Vec::new();
            if will.delay > 0 {
                properties.push(0x18);
                properties.extend_from_slice(&will.delay.to_be_bytes());
            }
            block(&mut body, &properties);
        }
        text(&mut body, &will.topic);
        binary(&mut body, &will.payload);
    }
    if let Some(name) = &hello.username {
        text(&mut body, name);
        binary(&mut body, b"secret");
    }
    frame(0x10, &body)
}

pub(crate) fn publish(v5: bool, publish: &Publish) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, &publish.topic);
    if publish.qos > 0 {
        body.extend_from_slice(&publish.packet_id.to_be_bytes());
    }
    if v5 {
        let mut properties = Vec::new();
        if let Some(expiry) = publish.expiry {
            properties.push(0x02);
            properties.extend_from_slice(&expiry.to_be_bytes());
        }
        if let Some(alias) = publish.alias {
            properties.push(0x23);
            properties.extend_from_slice(&alias.to_be_bytes());
        }
        for identifier in &publish.identifiers {
            properties.push(0x0B);
            number(&mut properties, *identifier as usize);
        }
        block(&mut body, &properties);
    }
    body.extend_from_slice(&publish.payload);
    let flags = (u8::from(publish.dup) << 3) | (publish.qos << 1) | u8::from(publish.retain);
    frame(0x30 | flags, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP without a reason.
pub(crate) fn answer(kind: u8, packet_id: u16) -> Vec<u8> {
    frame(kind, &packet_id.to_be_bytes())
}

pub(crate) fn subscribe(v5: bool, packet_id: u16, identifier: u32, wishes: &[Wish]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if v5 {
        let mut properties = Vec::new();
        if identifier > 0 {
            properties.push(0x0B);
            number(&mut properties, identifier as usize);
        }
        block(&mut body, &properties);
    }
    for wish in wishes {
        text(&mut body, &wish.filter);
        let extra = (u8::from(wish.no_local) << 2)
            | (u8::from(wish.as_published) << 3)
            | (wish.handling << 4);
        body.push(wish.qos | if v5 { extra } else { 0 });
    }
    frame(0x82, &body)
}

pub(crate) fn unsubscribe(v5: bool, packet_id: u16, filter: &str) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    text(&mut body, filter);
    frame(0xA2, &body)
}

/// Reasons of a DISCONNECT that leave the will to be published. [5 MQTT-3.1.2-8]
pub(crate) const WITH_WILL: u8 = 0x04;
pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;

/// DISCONNECT; with a reason or another expiry only in MQTT 5.
pub(crate) fn disconnect(v5: bool, reason: u8, expiry: Option<u32>) -> Vec<u8> {
    if !v5 || (reason == 0 && expiry.is_none()) {
        return vec![0xE0, 0];
    }
    let mut body = vec![reason];
    let mut properties = Vec::new();
    if let Some(expiry) = expiry {
        properties.push(0x11);
        properties.extend_from_slice(&expiry.to_be_bytes());
    }
    block(&mut body, &properties);
    frame(0xE0, &body)
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    number(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn text(out: &mut Vec<u8>, text: &str) {
    binary(out, text.as_bytes());
}

fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn block(out: &mut Vec<u8>, properties: &[u8]) {
    number(out, properties.len());
    out.extend_from_slice(properties);
}

fn number(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

// What a client reads.

/// Bytes of the packet at the beginning of `bytes`, once they are all there.
pub(crate) fn whole(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader(bytes.get(1..)?);
    let length = reader.number()?;
    let head = bytes.len() - reader.0.len();
    (reader.0.len() >= length).then_some(head + length)
}

/// Reads one whole packet; `None` when it is not one a server sends.
pub(crate) fn read(v5: bool, bytes: &[u8]) -> Option<Packet> {
    let first = *bytes.first()?;
    let mut reader = Reader(&bytes[1..]);
    reader.number()?;
    let packet = match (first >> 4, first & 0x0F) {
        (2, 0) => connack(v5, &mut reader)?,
        (3, flags) => Packet::Publish(read_publish(v5, flags, bytes.len(), &mut reader)?),
        (4, 0) => reader
            .answer(v5)
            .map(|(id, code)| Packet::Puback(id, code))?,
        (5, 0) => reader
            .answer(v5)
            .map(|(id, code)| Packet::Pubrec(id, code))?,
        (6, 2) => reader.answer(v5).map(|(id, _)| Packet::Pubrel(id))?,
        (7, 0) => reader.answer(v5).map(|(id, _)| Packet::Pubcomp(id))?,
        (9, 0) => {
            let id = reader.short()?;
            if v5 {
                reader.properties()?;
            }
            Packet::Suback(id, reader.rest())
        }
        (11, 0) => {
            let id = reader.short()?;
            if v5 {
                reader.properties()?;
            }
            Packet::Unsuback(id, reader.rest())
        }
        (13, 0) => Packet::Pingresp,
        (14, 0) if v5 => {
            let code = reader.byte().unwrap_or(0);
            reader.rest();
            Packet::Disconnect(code)
        }
        _ => return None,
    };
    reader.0.is_empty().then_some(packet)
}

fn connack(v5: bool, reader: &mut Reader<'_>) -> Option<Packet> {
    let (flags, code) = (reader.byte()?, reader.byte()?);
    let properties = if v5 {
        reader.properties()?
    } else {
        Properties::default()
    };
    Some(Packet::Connack {
        present: flags & 1 != 0,
        code,
        receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
        alias_max: properties.alias_max.unwrap_or(0),
    })
}

fn read_publish(v5: bool, flags: u8, bytes: usize, reader: &mut Reader<'_>) -> Option<Publish> {
    let qos = (flags >> 1) & 3;
    let topic = String::from_utf8(reader.binary()?.to_vec()).ok()?;
    let packet_id = if qos > 0 { reader.short()? } else { 0 };
    let properties = if v5 {
        reader.properties()?
    } else {
        Properties::default()
    };
    let publish = Publish {
        dup: flags & 8 != 0,
        qos,
        retain: flags & 1 != 0,
        topic,
        packet_id,
        alias: properties.alias,
        expiry: properties.expiry,
        identifiers: properties.identifiers,
        payload: reader.rest(),
        bytes,
    };
    let sound = qos < 3 && (qos == 0) == (packet_id == 0) && !(qos == 0 && publish.dup);
    sound.then_some(publish)
}

#[derive(Default)]
struct Properties {
    receive_maximum: Option<u16>,
    alias_max: Option<u16>,
    alias: Option<u16>,
    expiry: Option<u32>,
    identifiers: Vec<u32>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0).to_vec()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length.into())
    }

    fn number(&mut self) -> Option<usize> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn answer(&mut self, v5: bool) -> Option<(u16, u8)> {
        let id = self.short()?;
        if self.0.is_empty() {
            return Some((id, 0));
        }
        if !v5 {
            return None;
        }
        let code = self.byte()?;
        if !self.0.is_empty() {
            self.properties()?;
        }
        Some((id, code))
    }

    fn properties(&mut self) -> Option<Properties> {
        let length = self.number()?;
        let mut block = Reader(self.take(length)?);
        let mut found = Properties::default();
        while !block.0.is_empty() {
            match block.byte()? {
                0x02 => found.expiry = Some(block.long()?),
                0x0B => found.identifiers.push(block.number()? as u32),
                0x21 => found.receive_maximum = Some(block.short()?),
                0x22 => found.alias_max = Some(block.short()?),
                0x23 => found.alias = Some(block.short()?),
                0x11 | 0x27 => drop(block.long()?),
                0x13 => drop(block.short()?),
                0x01 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => drop(block.byte()?),
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => {
                    block.binary()?;
                }
                0x26 => {
                    block.binary()?;
                    block.binary()?;
                }
                _ => return None,
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_read_as_it_was_written() {
        for v5 in [false, true] {
            let sent = Publish {
                qos: 1,
                topic: "a/b".into(),
                packet_id: 7,
                payload: vec![1; 200],
                alias: v5.then_some(3),
                ..Publish::default()
            };
            let bytes = publish(v5, &sent);
            assert_eq!(whole(&bytes), Some(bytes.len()));
            assert_eq!(whole(&bytes[..bytes.len() - 1]), None);
            let Some(Packet::Publish(got)) = read(v5, &bytes) else {
                panic!("not read");
            };
            assert_eq!(
                (got.topic.as_str(), got.packet_id, got.alias),
                ("a/b", 7, sent.alias)
            );
            assert_eq!(got.payload, sent.payload);
        }
    }
}
