//! A packet from the server as a line of the transcript, without what each server may choose as it likes: packet
//! identifiers become labels in the order of their deliveries, an assigned client id becomes `assigned`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqtt_codec::{Ack, Connack, Packet, Publish, ReasonCode, Suback};

/// Payloads up to this long are shown.
const SHOWN_BYTES_MAX: usize = 40;
/// What is left of a time is told as the next multiple of this, marked when time has passed.
const SECONDS: u32 = 10;

/// Labels of one client's deliveries.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    by_id: BTreeMap<u16, usize>,
    count: usize,
}

impl Labels {
    /// The packet identifier behind a label such as `p1`.
    pub(crate) fn packet_id(&self, label: &str) -> Option<u16> {
        let number: usize = label.strip_prefix('p')?.parse().ok()?;
        let mut known = self.by_id.iter();
        known
            .find(|(_, known)| **known == number)
            .map(|(id, _)| *id)
    }

    fn label(&mut self, id: u16, fresh: bool) -> String {
        if fresh || !self.by_id.contains_key(&id) {
            self.count += 1;
            self.by_id.insert(id, self.count);
        }
        format!("p{}", self.by_id[&id])
    }

    pub(crate) fn tell(&mut self, packet: &Packet<'_>) -> String {
        match packet {
            Packet::Connack(connack) => tell_connack(connack),
            Packet::Publish(publish) => self.tell_publish(publish),
            Packet::Puback(ack) => tell_ack("PUBACK", &ack.packet_id.to_string(), ack),
            Packet::Pubrec(ack) => tell_ack("PUBREC", &ack.packet_id.to_string(), ack),
            Packet::Pubcomp(ack) => tell_ack("PUBCOMP", &ack.packet_id.to_string(), ack),
            Packet::Pubrel(ack) => {
                let label = self.label(ack.packet_id, false);
                tell_ack("PUBREL", &label, ack)
            }
            Packet::Suback(suback) => tell_codes("SUBACK", suback),
            Packet::Unsuback(suback) => tell_codes("UNSUBACK", suback),
            Packet::Disconnect(told) => format!("DISCONNECT {:02x}", told.reason.0),
            Packet::Pingresp => "PINGRESP".to_owned(),
            other => panic!("not a packet of a server: {other:?}"),
        }
    }

    fn tell_publish(&mut self, publish: &Publish<'_>) -> String {
        let payload = if publish.payload.len() > SHOWN_BYTES_MAX {
            format!("({} bytes)", publish.payload.len())
        } else {
            format!("{:?}", String::from_utf8_lossy(publish.payload))
        };
        let mut told = format!("PUBLISH {} {payload} q{}", publish.topic, publish.qos as u8);
        if let Some(id) = publish.packet_id {
            let _ = write!(told, " {}", self.label(id, !publish.dup));
        }
        for (set, word) in [(publish.retain, " retain"), (publish.dup, " dup")] {
            told.push_str(if set { word } else { "" });
        }
        let properties = &publish.properties;
        if let Some(secs) = properties.message_expiry {
            let whole = secs.next_multiple_of(SECONDS);
            let passed = if whole == secs { "" } else { "-" };
            let _ = write!(told, " expiry={whole}{passed}");
        }
        let mut identifiers: Vec<u32> = publish.subscription_identifiers().collect();
        identifiers.sort_unstable();
        for identifier in identifiers {
            let _ = write!(told, " sid={identifier}");
        }
        if let Some(flag) = properties.payload_format {
            let _ = write!(told, " format={flag}");
        }
        if let Some(text) = properties.content_type {
            let _ = write!(told, " type={text}");
        }
        if let Some(text) = properties.response_topic {
            let _ = write!(told, " answer={text}");
        }
        if let Some(data) = properties.correlation_data {
            let _ = write!(told, " correlation={}", String::from_utf8_lossy(data));
        }
        for (name, value) in properties.user().iter() {
            let _ = write!(told, " user={name}:{value}");
        }
        told
    }
}

fn tell_connack(connack: &Connack<'_>) -> String {
    let mut told = format!("CONNACK {:02x}", connack.code);
    if connack.session_present {
        told.push_str(" present");
    }
    if connack.assigned_client_id.is_some() {
        told.push_str(" assigned");
    }
    // 5 section 3.2.2.3.14: mosquitto 2.0 answers a client without a keep-alive with the longest there is.
    if let Some(secs) = connack.server_keep_alive.filter(|secs| *secs != u16::MAX) {
        let _ = write!(told, " keepalive={secs}");
    }
    if let Some(secs) = connack.session_expiry {
        let _ = write!(told, " expiry={secs}");
    }
    told
}

fn tell_ack(name: &str, id: &str, ack: &Ack<'_>) -> String {
    if ack.reason == ReasonCode::SUCCESS {
        format!("{name} {id}")
    } else {
        format!("{name} {id} {:02x}", ack.reason.0)
    }
}

fn tell_codes(name: &str, suback: &Suback<'_>) -> String {
    let mut told = format!("{name} {}", suback.packet_id);
    for code in suback.codes {
        let _ = write!(told, " {code:02x}");
    }
    told
}
