//! A small strict MQTT client on a blocking socket: everything the server may not do is a panic, everything a lost
//! connection does is an error. It keeps its half of the session over reconnects, as the specification asks of clients.

mod connection;
mod dial;
mod flow;
mod stream;

use std::collections::VecDeque;
use std::time::Instant;

use mqtt_codec::{Packet, QoS, Subscribe, SubscriptionOptions, Unsubscribe, Version};

use crate::PATIENCE;
use connection::Connection;
pub use dial::Dial;
use flow::Flow;

/// A connected client, or one that was.
#[derive(Debug)]
pub struct Client {
    dial: Dial,
    connection: Connection,
    flow: Flow,
    inbox: VecDeque<Message>,
    session_present: bool,
    holds_acknowledgements: bool,
}

/// Why there is no connection (any more).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// CONNACK with this code.
    #[error("the server refused: {0:#04x}")]
    Refused(u8),
    /// DISCONNECT with this reason (MQTT 5).
    #[error("the server disconnected: {0:#04x}")]
    Disconnected(u8),
    /// The connection ended without a word, or could not be made.
    #[error("the connection is lost: {0}")]
    Lost(String),
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The QoS it came with.
    pub qos: QoS,
    /// DUP.
    pub dup: bool,
    /// RETAIN.
    pub retain: bool,
    /// Set at QoS 1 and 2.
    pub packet_id: Option<u16>,
    /// MQTT 5 correlation data.
    pub correlation: Option<Vec<u8>>,
    /// MQTT 5 subscription identifiers.
    pub subscription_identifiers: Vec<u32>,
}

impl Message {
    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload)
            .unwrap_or_else(|_| panic!("{}: not UTF-8: {:02x?}", self.topic, self.payload))
    }

    /// The payload as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.text())
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.topic, self.text()))
    }
}

/// PUBACK, or PUBREC: the server has taken over a message, or refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Of the publish.
    pub packet_id: u16,
    /// MQTT 5 reason code; 0 before MQTT 5.
    pub reason: u8,
    /// MQTT 5 reason string.
    pub sentence: Option<String>,
    /// MQTT 5 user properties.
    pub user: Vec<(String, String)>,
}

/// What has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message, now in the inbox.
    Message,
    /// PUBACK or PUBREC.
    Acknowledged(Acknowledgement),
    /// PUBCOMP for this publish.
    Completed(u16),
    /// SUBACK or UNSUBACK with its codes.
    Subscribed(u16, Vec<u8>),
    /// PINGRESP.
    Pong,
    /// Part of a QoS 2 flow that concerns nobody: PUBREL, or a message that is here already.
    Flow,
}

impl Client {
    /// Connects.
    pub fn connect(dial: Dial) -> Result<Self, ClientError> {
        let mut connection = Connection::open(&dial)?;
        let session_present = connection.greet(&dial)?;
        let mut flow = Flow::default();
        flow.connected(dial.topic_alias_maximum);
        Ok(Self {
            dial,
            connection,
            flow,
            inbox: VecDeque::new(),
            session_present,
            holds_acknowledgements: false,
        })
    }

    /// Connects again and resends what is unacknowledged. Answers whether the server still had the session; if not,
    /// the flows begin anew.
    pub fn reconnect(&mut self) -> Result<bool, ClientError> {
        self.connection = Connection::open(&self.dial)?;
        self.session_present = self.connection.greet(&self.dial)?;
        self.flow.connected(self.dial.topic_alias_maximum);
        let resent = self.flow.resume(self.dial.version, self.session_present);
        self.connection.send(&resent)?;
        Ok(self.session_present)
    }

    /// How it dials; changes count from the next `reconnect` on.
    pub fn dial_mut(&mut self) -> &mut Dial {
        &mut self.dial
    }

    /// Whether the server had a session at the last connect.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// From here on messages are acknowledged only by `acknowledge`.
    pub fn hold_acknowledgements(&mut self) {
        self.holds_acknowledgements = true;
    }

    /// Acknowledges a message that was held: PUBACK or PUBREC.
    pub fn acknowledge(&mut self, message: &Message) -> Result<(), ClientError> {
        let bytes = Flow::acknowledgement(self.dial.version, message);
        self.connection.send(&bytes)
    }

    /// Subscribes and awaits the codes.
    pub fn subscribe(&mut self, filters: &[(&str, QoS)]) -> Result<Vec<u8>, ClientError> {
        let packet_id = self.send_subscribe(filters)?;
        let codes = self.codes(packet_id)?;
        assert_eq!(codes.len(), filters.len(), "one code for each filter");
        Ok(codes)
    }

    /// Subscribes without awaiting the codes, which come as [`Event::Subscribed`] with this packet identifier.
    pub fn send_subscribe(&mut self, filters: &[(&str, QoS)]) -> Result<u16, ClientError> {
        let filters: Vec<_> = filters
            .iter()
            .map(|&(filter, qos)| (filter, SubscriptionOptions::new(qos)))
            .collect();
        let packet_id = self.flow.packet_id();
        let mut bytes = Vec::new();
        Subscribe::encode(self.dial.version, packet_id, None, &filters, &mut bytes);
        self.connection.send(&bytes)?;
        Ok(packet_id)
    }

    /// Unsubscribes and awaits the answer.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<u8>, ClientError> {
        let packet_id = self.flow.packet_id();
        let mut bytes = Vec::new();
        Unsubscribe::encode(self.dial.version, packet_id, filters, &mut bytes);
        self.connection.send(&bytes)?;
        self.codes(packet_id)
    }

    fn codes(&mut self, packet_id: u16) -> Result<Vec<u8>, ClientError> {
        self.until("SUBACK", |event| match event {
            Event::Subscribed(id, codes) if *id == packet_id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Sends a message without awaiting anything; its packet identifier (0 at QoS 0). Should the connection be gone, the
    /// message is resent by `reconnect` all the same.
    pub fn send(
        &mut self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        qos: QoS,
    ) -> Result<u16, ClientError> {
        let (packet_id, bytes) =
            self.flow
                .publish(self.dial.version, topic, payload.as_ref(), qos, false);
        self.connection.send(&bytes)?;
        Ok(packet_id)
    }

    /// Sends the first half of a message's packet and ends the connection. At QoS 1 and 2 the message is resent by `reconnect`.
    pub fn send_half(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: QoS) {
        let payload = payload.as_ref();
        let (_, bytes) = self
            .flow
            .publish(self.dial.version, topic, payload, qos, false);
        // A connection that has ended already is cut all the same.
        drop(self.connection.send(&bytes[..bytes.len() / 2]));
        self.connection.close();
    }

    /// The packet identifier of the last message that was sent at QoS 1 or 2, whether it left or not.
    pub fn last_packet_id(&self) -> u16 {
        self.flow.last_published()
    }

    /// Sends a message to be retained, otherwise as `publish`.
    pub fn retain(
        &mut self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        qos: QoS,
    ) -> Result<u8, ClientError> {
        let (packet_id, bytes) =
            self.flow
                .publish(self.dial.version, topic, payload.as_ref(), qos, true);
        self.connection.send(&bytes)?;
        self.settle(packet_id, qos)
    }

    /// Sends a message and awaits the end of its flow; the reason code.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        qos: QoS,
    ) -> Result<u8, ClientError> {
        let packet_id = self.send(topic, payload, qos)?;
        self.settle(packet_id, qos)
    }

    fn settle(&mut self, packet_id: u16, qos: QoS) -> Result<u8, ClientError> {
        if qos == QoS::AtMostOnce {
            return Ok(0);
        }
        let reason = self.until("PUBACK or PUBREC", |event| match event {
            Event::Acknowledged(ack) if ack.packet_id == packet_id => Some(ack.reason),
            _ => None,
        })?;
        if qos == QoS::ExactlyOnce && reason < 0x80 {
            self.until("PUBCOMP", |event| {
                (*event == Event::Completed(packet_id)).then_some(())
            })?;
        }
        Ok(reason)
    }

    /// Asks the server something over MQTT 3.1.1's or 5's topics, and awaits the answer. Needs a subscription that
    /// covers `im/answer/<rid>`.
    pub fn ask(
        &mut self,
        method: &str,
        rid: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, ClientError> {
        let topic = format!("im/ask/{method}/{rid}");
        let reason = self.publish(&topic, body.to_string(), QoS::AtLeastOnce)?;
        assert!(reason < 0x80, "{topic} was refused: {reason:#04x}");
        let answer = format!("im/answer/{rid}");
        Ok(self
            .receive_where(|message| message.topic == answer)?
            .json())
    }

    /// The next message.
    pub fn receive(&mut self) -> Result<Message, ClientError> {
        self.receive_where(|_| true)
    }

    /// The next message that `wanted` wants; others stay for later.
    pub fn receive_where(
        &mut self,
        wanted: impl Fn(&Message) -> bool,
    ) -> Result<Message, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        match self.receive_until(deadline, wanted)? {
            Some(message) => Ok(message),
            None => panic!(
                "no such message in {PATIENCE:?}; there are {:#?}",
                self.inbox
            ),
        }
    }

    /// The next message that `wanted` wants, if it comes before the deadline.
    pub fn receive_until(
        &mut self,
        deadline: Instant,
        wanted: impl Fn(&Message) -> bool,
    ) -> Result<Option<Message>, ClientError> {
        loop {
            if let Some(index) = self.inbox.iter().position(&wanted) {
                return Ok(self.inbox.remove(index));
            }
            if self.event(deadline)?.is_none() {
                return Ok(None);
            }
        }
    }

    /// What has been received and not been taken.
    pub fn take_inbox(&mut self) -> Vec<Message> {
        self.inbox.drain(..).collect()
    }

    /// PINGREQ, and awaits PINGRESP: whatever the server had sent before is in the inbox then.
    pub fn ping(&mut self) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        mqtt_codec::ack::encode_pingreq(&mut bytes);
        self.connection.send(&bytes)?;
        self.until("PINGRESP", |event| (*event == Event::Pong).then_some(()))
    }

    /// DISCONNECT, and awaits that the server closes.
    pub fn disconnect(mut self) {
        let mut bytes = Vec::new();
        let reason = mqtt_codec::ReasonCode::SUCCESS;
        mqtt_codec::disconnect::encode(self.dial.version, reason, &mut bytes);
        if self.connection.send(&bytes).is_ok() {
            let deadline = Instant::now() + PATIENCE;
            while let Ok(event) = self.event(deadline) {
                assert!(
                    event.is_some(),
                    "the server keeps the connection open after DISCONNECT"
                );
            }
        }
    }

    /// Ends the connection without a word. The client can `reconnect`.
    pub fn drop_connection(&mut self) {
        self.connection.close();
    }

    /// Awaits that the server ends the connection; how it did.
    pub fn end(&mut self) -> ClientError {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.event(deadline) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the connection is still open after {PATIENCE:?}"),
                Err(error) => return error,
            }
        }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.connection.send(bytes)
    }

    /// Pumps until `wanted` finds something; other events only leave their traces in inbox and flows.
    fn until<R>(
        &mut self,
        what: &str,
        wanted: impl Fn(&Event) -> Option<R>,
    ) -> Result<R, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.event(deadline)? {
                Some(event) => {
                    if let Some(result) = wanted(&event) {
                        return Ok(result);
                    }
                }
                None => panic!("no {what} in {PATIENCE:?}"),
            }
        }
    }

    /// Takes one packet in and answers it as the protocol asks; `None` at the deadline, at once if that is over.
    pub fn event(&mut self, deadline: Instant) -> Result<Option<Event>, ClientError> {
        let Some(frame) = self.connection.frame(deadline)? else {
            return Ok(None);
        };
        let limits = mqtt_codec::DecodeLimits::default();
        let packet = mqtt_codec::decode(self.dial.version, &frame, &limits)
            .unwrap_or_else(|error| panic!("the server sent {error}: {frame:02x?}"));
        let mut answer = Vec::new();
        let event = match packet {
            Packet::Publish(publish) => match self.flow.take(&publish) {
                Some(message) => {
                    if !self.holds_acknowledgements {
                        answer = Flow::acknowledgement(self.dial.version, &message);
                    }
                    self.inbox.push_back(message);
                    Event::Message
                }
                None => {
                    answer = Flow::received(self.dial.version, &publish);
                    Event::Flow
                }
            },
            Packet::Puback(ack) => Event::Acknowledged(self.flow.acknowledged(&ack)),
            Packet::Pubrec(ack) => {
                let (acknowledgement, release) = self.flow.recorded(self.dial.version, &ack);
                answer = release;
                Event::Acknowledged(acknowledgement)
            }
            Packet::Pubrel(ack) => {
                answer = self.flow.released(self.dial.version, &ack);
                Event::Flow
            }
            Packet::Pubcomp(ack) => Event::Completed(self.flow.completed(&ack)),
            Packet::Suback(suback) | Packet::Unsuback(suback) => {
                Event::Subscribed(suback.packet_id, suback.codes.to_vec())
            }
            Packet::Pingresp => Event::Pong,
            Packet::Disconnect(disconnect) => {
                assert_eq!(
                    self.dial.version,
                    Version::V5,
                    "DISCONNECT from a server is of MQTT 5"
                );
                return Err(ClientError::Disconnected(disconnect.reason.0));
            }
            other @ (Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Auth(_)) => panic!("the server sent {other:?}"),
        };
        // A connection that broke meanwhile is found by the next read. What has come is told all the same: the flow has taken
        // it in, and after a reconnect nobody would tell it again.
        drop(self.connection.send(&answer));
        Ok(Some(event))
    }
}
