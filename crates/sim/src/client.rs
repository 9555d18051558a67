//! A client that keeps the specification to the letter: it answers in order, sends again after a reconnect what
//! was not acknowledged, never exceeds what the server allows, and looks at every packet it reads. What it does
//! next, and when, is the world's choice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{MessageNumber, Model, Repeated, Verdict};
use crate::wire::{self, Hello, Packet, Publish, Wish};

/// The user name of all clients that log in.
pub(crate) const USER: &str = "alice";

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Offline,
    Connecting,
    Open,
}

/// What a flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaits {
    Puback,
    Pubrec,
    Pubcomp,
}

/// A publish that is not finished.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) message: MessageNumber,
    pub(crate) publish: Publish,
    pub(crate) awaits: Awaits,
}

/// A SUBSCRIBE or UNSUBSCRIBE without its answer; one at a time.
#[derive(Debug)]
pub(crate) enum Asked {
    Subscribe(u16, Vec<Wish>),
    Unsubscribe(u16, String),
}

/// What is true of one connection only.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Bytes read that are not a whole packet yet.
    pub(crate) inbox: Vec<u8>,
    pub(crate) resumed: bool,
    /// Deliveries at QoS 1 and 2 that are not answered to the end.
    pub(crate) window: BTreeSet<u16>,
    /// Answers owed to the server, in their order. [3.1.1 MQTT-4.6.0-2]
    pub(crate) answers: VecDeque<(u8, u16)>,
    pub(crate) asked: Option<Asked>,
    /// The server's Receive Maximum and Topic Alias Maximum.
    pub(crate) receive_maximum: u16,
    pub(crate) alias_max: u16,
    pub(crate) own_aliases: BTreeMap<u16, String>,
    pub(crate) server_aliases: BTreeMap<u16, String>,
    /// PUBACK and PUBREC that are due, in their order, apart. [3.1.1 MQTT-4.6.0-2] [3.1.1 MQTT-4.6.0-3]
    pub(crate) due: [VecDeque<u16>; 2],
    /// QoS 0 publishes before each PINGREQ, and since the last.
    pub(crate) pinged: VecDeque<Vec<MessageNumber>>,
    pub(crate) unpinged: Vec<MessageNumber>,
    /// Whether the server may close it, and why.
    pub(crate) may_end: Option<&'static str>,
    /// When it was opened, in the world's time.
    pub(crate) opened: u64,
    /// When the server is known to have lost it.
    pub(crate) ended: Option<u64>,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) v5: bool,
    pub(crate) persistent: bool,
    pub(crate) phase: Phase,
    pub(crate) link: Option<usize>,
    pub(crate) hello: Hello,
    pub(crate) wire: Wire,
    /// Its own session: publishes that are not finished, in the order of their sending.
    pub(crate) flights: Vec<Flight>,
    /// Its own session: QoS 2 deliveries it has received and the server has not released.
    pub(crate) received: BTreeMap<u16, Publish>,
    pub(crate) must_clean: bool,
    /// The will of its connection.
    pub(crate) will: Option<MessageNumber>,
    /// Connections that broke before their CONNACKs, and that the server may still have had when the newest was opened: until it
    /// has read their CONNECTs, these would be the newer ones.
    pub(crate) ghosts: Vec<usize>,
}

impl Client {
    pub(crate) fn new(number: usize, v5: bool, persistent: bool) -> Self {
        Self {
            number,
            v5,
            persistent,
            phase: Phase::Offline,
            link: None,
            hello: Hello::default(),
            wire: Wire::default(),
            flights: Vec::new(),
            received: BTreeMap::new(),
            must_clean: false,
            will: None,
            ghosts: Vec::new(),
        }
    }

    /// A packet identifier that is not in use, the smallest, so that they come again soon.
    pub(crate) fn packet_id(&self) -> u16 {
        let asked = match &self.wire.asked {
            Some(Asked::Subscribe(id, _) | Asked::Unsubscribe(id, _)) => Some(*id),
            None => None,
        };
        (1..=u16::MAX)
            .find(|id| {
                asked != Some(*id)
                    && self
                        .flights
                        .iter()
                        .all(|flight| flight.publish.packet_id != *id)
            })
            .expect("far fewer are in use")
    }

    pub(crate) fn may_publish(&self) -> bool {
        self.flights.len() < usize::from(self.wire.receive_maximum)
    }

    /// Whether it waits for nothing.
    pub(crate) fn at_rest(&self) -> bool {
        self.phase == Phase::Open
            && self.flights.is_empty()
            && self.wire.answers.is_empty()
            && self.wire.asked.is_none()
            && self.wire.inbox.is_empty()
    }

    /// Its session is over, or it wants another one.
    pub(crate) fn forget_session(&mut self) {
        self.flights.clear();
        self.received.clear();
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, model: &mut Model, time: u64) {
        let had_session = self.phase == Phase::Open;
        let time = self.wire.ended.unwrap_or(time);
        if !had_session {
            self.ghosts.extend(self.link);
        }
        self.phase = Phase::Offline;
        self.link = None;
        self.wire = Wire::default();
        self.must_clean |= model.connection_lost(self.number, time, self.ghosts.len());
        if had_session && model.session(self.number).is_none() {
            self.forget_session();
        }
    }

    /// What it sends again on a session that goes on. [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
    fn resend(&mut self, model: &mut Model) -> Vec<u8> {
        let mut bytes = Vec::new();
        for flight in &mut self.flights {
            let packet_id = flight.publish.packet_id;
            match flight.awaits {
                Awaits::Puback | Awaits::Pubrec => {
                    flight.publish.dup = true;
                    bytes.extend(wire::publish(self.v5, &flight.publish));
                    self.wire.due[usize::from(flight.awaits == Awaits::Pubrec)]
                        .push_back(packet_id);
                    model.publish_resent(flight.message);
                }
                Awaits::Pubcomp => bytes.extend(wire::answer(wire::PUBREL, packet_id)),
            }
        }
        bytes
    }

    /// Sends the oldest answer it owes.
    pub(crate) fn answer(&mut self) -> Option<Vec<u8>> {
        let (kind, packet_id) = self.wire.answers.pop_front()?;
        if matches!(kind, wire::PUBACK | wire::PUBCOMP) {
            self.wire.window.remove(&packet_id);
        }
        Some(wire::answer(kind, packet_id))
    }

    // Reading.

    /// Acts on one packet of the server; returns what it sends at once.
    pub(crate) fn got(
        &mut self,
        packet: Packet,
        model: &mut Model,
        time: u64,
    ) -> Result<Vec<u8>, String> {
        let connack = matches!(packet, Packet::Connack { .. });
        if connack != (self.phase == Phase::Connecting) {
            return Err(format!(
                "[MQTT-3.2.0-1] client {} got {packet:?}",
                self.number
            ));
        }
        match packet {
            Packet::Connack {
                present,
                code,
                receive_maximum,
                alias_max,
                ..
            } => {
                if code != 0 {
                    return Err(format!("client {} was refused: {code}", self.number));
                }
                self.wire.receive_maximum = receive_maximum.min(self.wire.receive_maximum);
                self.wire.alias_max = alias_max;
                return self.got_connack(present, model, time);
            }
            Packet::Publish(publish) => self.got_publish(publish, model)?,
            Packet::Puback(packet_id, code) => {
                self.acknowledged(packet_id, code, Awaits::Puback, model)?
            }
            Packet::Pubrec(packet_id, code) => {
                self.acknowledged(packet_id, code, Awaits::Pubrec, model)?
            }
            Packet::Pubrel(packet_id) => {
                self.received.remove(&packet_id);
                self.wire.answers.push_back((wire::PUBCOMP, packet_id));
            }
            Packet::Pubcomp(packet_id) => self.got_pubcomp(packet_id)?,
            Packet::Suback(packet_id, codes) => match self.wire.asked.take() {
                Some(Asked::Subscribe(asked, wishes)) if asked == packet_id => {
                    model.suback(self.number, &wishes, &codes)?;
                }
                other => return Err(format!("SUBACK {packet_id} where {other:?} was asked")),
            },
            Packet::Unsuback(packet_id, codes) => match self.wire.asked.take() {
                Some(Asked::Unsubscribe(asked, filter)) if asked == packet_id => {
                    model.unsuback(self.number, &filter, &codes)?;
                }
                other => return Err(format!("UNSUBACK {packet_id} where {other:?} was asked")),
            },
            Packet::Pingresp => self.got_pingresp(model)?,
            Packet::Disconnect(code) => self.got_disconnect(code)?,
        }
        Ok(Vec::new())
    }

    /// Its session begins or goes on; what it sends again.
    fn got_connack(
        &mut self,
        present: bool,
        model: &mut Model,
        time: u64,
    ) -> Result<Vec<u8>, String> {
        self.phase = Phase::Open;
        self.must_clean = false;
        // A session that a lost CONNECT made is a new one to the client, but not to the server.
        self.wire.resumed = present;
        if !model.connack(self.number, present, time)? {
            self.forget_session();
        }
        Ok(self.resend(model))
    }

    fn got_pubcomp(&mut self, packet_id: u16) -> Verdict {
        let place = self.flights.iter().position(|flight| {
            flight.publish.packet_id == packet_id && flight.awaits == Awaits::Pubcomp
        });
        let Some(place) = place else {
            return Err(format!(
                "client {} got PUBCOMP {packet_id} for nothing",
                self.number
            ));
        };
        self.flights.remove(place);
        Ok(())
    }

    fn got_pingresp(&mut self, model: &mut Model) -> Verdict {
        let Some(numbers) = self.wire.pinged.pop_front() else {
            return Err("a PINGRESP that nobody asked for".into());
        };
        for number in numbers {
            model.publish_done(number, false);
        }
        Ok(())
    }

    fn got_disconnect(&mut self, code: u8) -> Verdict {
        match code {
            0x8B => self.wire.may_end = Some("the server shuts down"),
            // Whether it was too long, is seen where the connection ends.
            0x8D if self.hello.keep_alive > 0 => {}
            _ => return Err(format!("client {} was sent away: {code:#x}", self.number)),
        }
        Ok(())
    }

    fn acknowledged(
        &mut self,
        packet_id: u16,
        code: u8,
        awaits: Awaits,
        model: &mut Model,
    ) -> Verdict {
        let client = self.number;
        let due = &mut self.wire.due[usize::from(awaits == Awaits::Pubrec)];
        // [3.1.1 MQTT-4.6.0-2] [3.1.1 MQTT-4.6.0-3] and the same of a server in section 4.6.
        if due.pop_front() != Some(packet_id) {
            return Err(format!(
                "[MQTT-4.6.0-2] client {client} got the acknowledgement of {packet_id} out of turn"
            ));
        }
        let place = self
            .flights
            .iter()
            .position(|flight| flight.publish.packet_id == packet_id && flight.awaits == awaits);
        let Some(place) = place else {
            return Err(format!(
                "client {client} got an acknowledgement of {packet_id}, which waits for none"
            ));
        };
        let refused = code >= 0x80;
        model.publish_done(self.flights[place].message, refused);
        if awaits == Awaits::Pubrec && !refused {
            self.flights[place].awaits = Awaits::Pubcomp;
            self.wire.answers.push_back((wire::PUBREL, packet_id));
        } else {
            self.flights.remove(place);
        }
        Ok(())
    }

    fn got_publish(&mut self, mut publish: Publish, model: &mut Model) -> Verdict {
        let client = self.number;
        if let Some(maximum) = self.hello.packet_max
            && publish.bytes > maximum as usize
        {
            return Err(format!(
                "[MQTT-3.1.2-24] client {client} got {} bytes",
                publish.bytes
            ));
        }
        self.resolve_alias(&mut publish)?;
        let packet_id = publish.packet_id;
        if publish.qos > 0 {
            if !self.wire.window.insert(packet_id) {
                return Err(format!(
                    "[MQTT-2.2.1-4] client {client} got {packet_id}, which is in use"
                ));
            }
            let maximum = self.hello.receive_maximum.unwrap_or(u16::MAX);
            if self.wire.window.len() > usize::from(maximum) {
                return Err(format!(
                    "[MQTT-3.3.4-9] client {client} got more than {maximum} at once"
                ));
            }
        }
        let mut repeated = Repeated::No;
        match publish.qos {
            0 => {}
            1 => self.wire.answers.push_back((wire::PUBACK, packet_id)),
            _ => {
                if let Some(known) = self.received.get(&packet_id) {
                    if known.payload != publish.payload {
                        return Err(format!(
                            "[MQTT-2.2.1-4] client {client} got another message under {packet_id}, which is not released"
                        ));
                    }
                    if !publish.dup {
                        return Err(format!(
                            "[MQTT-3.3.1-1] client {client} got {packet_id} again without DUP"
                        ));
                    }
                    if !sends_again(known, &publish) {
                        return Err(format!(
                            "[MQTT-4.4.0-1] client {client} got {packet_id} again as another packet: {publish:?} where it was {known:?}"
                        ));
                    }
                    repeated = Repeated::Yes;
                }
                self.received.insert(packet_id, publish.clone());
                self.wire.answers.push_back((wire::PUBREC, packet_id));
            }
        }
        model.delivered(client, &publish, repeated, self.wire.resumed)
    }

    fn resolve_alias(&mut self, publish: &mut Publish) -> Verdict {
        let Some(alias) = publish.alias else {
            return Ok(());
        };
        if alias == 0 || alias > self.hello.alias_max {
            return Err(format!(
                "[MQTT-3.1.2-26] alias {alias} where {} is the maximum",
                self.hello.alias_max
            ));
        }
        if publish.topic.is_empty() {
            let Some(topic) = self.wire.server_aliases.get(&alias) else {
                return Err(format!("alias {alias} stands for nothing"));
            };
            publish.topic.clone_from(topic);
        } else {
            self.wire
                .server_aliases
                .insert(alias, publish.topic.clone());
        }
        Ok(())
    }
}

/// Whether what is sent again is the packet that was sent. [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
fn sends_again(known: &Publish, again: &Publish) -> bool {
    known.topic == again.topic
        && known.payload == again.payload
        && known.retain == again.retain
        && known.identifiers == again.identifiers
}
