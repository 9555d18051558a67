//! A PUBLISH under `im/`: it goes to the messenger, which says how it is acknowledged.

use bytes::Bytes;
use mqtt_codec::{Publish, ReasonCode};
use mqtt_session::{AckKind, AckOrdinal};
use records::{Incoming, Millis, SessionMid, Write, key};

use crate::connections::connection::Fault;
use crate::io::{ChatProperties, ChatPublish, ConnectionId, Explanation, Output, Service};
use crate::publishing::publish::Accepted;
use crate::sessions::session::Unsettled;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::stored::positions::stored_number;

impl Shard {
    /// A client published under `im/`.
    pub(crate) fn publish_to_messenger(
        &mut self,
        accepted: &Accepted<'_>,
        packet: &Publish<'_>,
    ) -> Result<(), Fault> {
        let session = &self.sessions[accepted.session];
        let Some(account) = session.account else {
            let sentence = "the messenger is for accounts: log in";
            return self.refuse(
                accepted.id,
                accepted.session,
                packet,
                ReasonCode::NOT_AUTHORIZED,
                sentence,
            );
        };
        let session_mid = match (stored_number(session.number), accepted.ack) {
            (Some(session), Some((AckKind::Pubrec, packet_id))) => {
                Some(SessionMid::Packet { session, packet_id })
            }
            _ => None,
        };
        let (reference, device) = (
            self.sessions.reference(accepted.session),
            session.client_id.clone(),
        );
        let ack = accepted
            .ack
            .map(|(kind, packet_id)| self.owe_chat(accepted, kind, packet_id));
        if ack.is_some() {
            self.messenger.note_asked();
        }
        self.outputs
            .push(Output::Service(Service::Publish(Box::new(ChatPublish {
                session: reference,
                account,
                device,
                topic: accepted.view.topic.into(),
                payload: Bytes::copy_from_slice(accepted.view.payload),
                ack,
                response_topic: accepted.response_topic.map(Into::into),
                correlation: accepted.correlation.map(Bytes::copy_from_slice),
                properties: ChatProperties::of(
                    packet.properties.content_type,
                    packet.properties.user(),
                    packet.properties.message_expiry,
                ),
                session_mid,
                read_at: accepted.view.read_at,
            }))));
        Ok(())
    }

    /// Owes an acknowledgement the messenger will decide on; the number it is asked under says which.
    fn owe_chat(&mut self, accepted: &Accepted<'_>, kind: AckKind, packet_id: u16) -> u64 {
        let id = accepted.id;
        let ordinal = self.owe(id, kind, packet_id);
        let ack = (u64::from(id.serial) << 32) | (ordinal.0 & u64::from(u32::MAX));
        if kind == AckKind::Pubrec {
            let waiting = Unsettled {
                ack,
                packet_id,
                connection: id,
                ordinal,
            };
            self.sessions[accepted.session].unsettled.push(waiting);
        }
        ack
    }

    /// The messenger's verdict goes to the connection that published, or that has repeated the publish since.
    pub(crate) fn settle_chat(
        &mut self,
        slot: u32,
        ack: u64,
        outcome: Result<(), (ReasonCode, Box<Explanation>)>,
        now: Millis,
    ) {
        let session = &mut self.sessions[slot];
        let number = stored_number(session.number);
        let unsettled = &mut session.unsettled;
        let place = unsettled.iter().position(|waiting| waiting.ack == ack);
        let mut receipt = None;
        let (id, ordinal) = match place.map(|place| unsettled.swap_remove(place)) {
            Some(waiting) => {
                if let (Err(_), Some(inbound)) = (&outcome, session.inbound.as_mut()) {
                    // [5 MQTT-4.3.3-9]: refused, its identifier is free, whether or not the client can be told.
                    inbound.release(waiting.packet_id);
                }
                if let (Some(number), Ok(())) = (number, &outcome) {
                    receipt = Some((number, waiting.packet_id));
                    let known = session.sent.get_or_insert_default();
                    known.insert(waiting.packet_id);
                }
                (waiting.connection, waiting.ordinal)
            }
            None => {
                let id = ConnectionId {
                    slot: session.connection,
                    serial: (ack >> 32) as u32,
                };
                (id, AckOrdinal(ack & u64::from(u32::MAX)))
            }
        };
        match (outcome, receipt) {
            // The receipt follows the message: until it is on disk, the message is known by its packet identifier.
            (Ok(()), Some((number, packet_id))) => {
                let incoming = Incoming {
                    to_conversation: true,
                };
                let receipt = Write::Put {
                    key: key::incoming(number, packet_id),
                    value: incoming.encode(),
                };
                let then = Then::Settle {
                    connection: id,
                    ordinal,
                };
                self.append(vec![receipt], then, now);
            }
            (Ok(()), None) => self.settle(id, ordinal, ReasonCode::SUCCESS, None),
            (Err((reason, explanation)), _) => {
                self.metrics.counters.publishes_refused += 1;
                self.settle(id, ordinal, reason, Some(explanation));
            }
        }
    }
}
