//! Acknowledgements in both directions: PUBACK, PUBREC, PUBREL and PUBCOMP, and the resending of what was
//! under way when a connection broke.

use mqtt_codec::{QoS, ReasonCode, Version, ack};
use mqtt_session::{Ack, AckError, AckKind, AckOrdinal, FlightState, PubrecOutcome};
use records::{Millis, Moment, Outgoing, OutgoingState, Write, key};

use crate::connections::connection::Fault;
use crate::delivery::waiting::Delivery;
use crate::io::{ConnectionId, Explanation};
use crate::message::Origin;
use crate::metrics::drops::DropReason;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::stored::positions::{claim_delete, stored_number};

impl Shard {
    // What we owe.

    /// An acknowledgement is owed and will be settled later.
    pub(crate) fn owe(&mut self, id: ConnectionId, kind: AckKind, packet_id: u16) -> AckOrdinal {
        let read_at = self.metrics.latencies.turn_at();
        self.connections
            .get_mut(id)
            .expect("a packet of this connection is being processed")
            .publishing()
            .acks
            .owe(kind, packet_id, read_at)
    }

    /// An owed acknowledgement is known; it and those it held back are sent.
    pub(crate) fn settle(
        &mut self,
        id: ConnectionId,
        ordinal: AckOrdinal,
        reason: ReasonCode,
        explanation: Option<Box<Explanation>>,
    ) {
        let Some(publishing) = self
            .connections
            .get_mut(id)
            .and_then(|connection| connection.publishing.as_mut())
        else {
            return;
        };
        publishing.acks.settle(ordinal, (reason, explanation));
        while let Some(ready) = self
            .connections
            .get_mut(id)
            .and_then(|connection| connection.publishing.as_mut())
            .and_then(|publishing| publishing.acks.next_ready())
        {
            self.send_ack(id.slot, ready);
        }
    }

    /// Acknowledges at once, or behind those that are still owed. [3.1.1 MQTT-4.6.0-6]
    pub(crate) fn acknowledge(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
        explanation: Option<Box<Explanation>>,
    ) {
        if self.connections.owes_acks(id) {
            let ordinal = self.owe(id, kind, packet_id);
            self.settle(id, ordinal, reason, explanation);
        } else {
            let ack = Ack {
                kind,
                packet_id,
                result: (reason, explanation),
                mark: self.metrics.latencies.turn_at(),
            };
            self.send_ack(id.slot, ack);
        }
    }

    fn send_ack(
        &mut self,
        connection: u32,
        ack: Ack<(ReasonCode, Option<Box<Explanation>>), Moment>,
    ) {
        self.metrics.latencies.acknowledged(ack.kind, ack.mark);
        let (reason, explanation) = ack.result;
        let explanation = explanation.as_deref().map(Explanation::as_sent);
        let packet_id = ack.packet_id;
        let version = self.connections.version(connection);
        let (reason, explanation) = match version {
            Version::V5 => (
                reason,
                explanation.filter(|_| self.connections[connection].problem_information),
            ),
            // Older versions have no word for a refusal: the acknowledgement means that it was received.
            Version::V31 | Version::V311 => (ReasonCode::SUCCESS, None),
        };
        let maximum = self.connections[connection].packet_bytes_max;
        let out = self.connections.buffer(connection);
        match ack.kind {
            AckKind::Puback => {
                ack::encode_puback(version, packet_id, reason, explanation, maximum, out)
            }
            AckKind::Pubrec => {
                ack::encode_pubrec(version, packet_id, reason, explanation, maximum, out)
            }
        }
    }

    /// PUBREL: the client has heard our PUBREC. The identifier may only be used anew once that is on disk,
    /// otherwise a crash would take a new message for a repetition. [5 MQTT-4.3.3-11]
    pub(crate) fn on_pubrel(
        &mut self,
        id: ConnectionId,
        session: u32,
        packet_id: u16,
        now: Millis,
    ) {
        let version = self.connections.version(id.slot);
        let state = &mut self.sessions[session];
        let known = state
            .inbound
            .as_mut()
            .is_some_and(|inbound| inbound.release(packet_id));
        let reason = if known {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        let sent = state.sent.as_mut();
        let was_sent = sent.is_some_and(|sent| sent.remove(&packet_id));
        if state.sent.as_ref().is_some_and(|sent| sent.is_empty()) {
            state.sent = None;
        }
        let mut packet = Vec::new();
        ack::encode_pubcomp(version, packet_id, reason, &mut packet);
        match stored_number(state.number).filter(|_| known) {
            Some(number) => {
                let mut forget = vec![Write::Delete {
                    key: key::incoming(number, packet_id),
                }];
                if was_sent {
                    let key = key::sent(number, packet_id);
                    forget.push(Write::Delete { key });
                }
                let then = Then::Send {
                    connection: id,
                    packet,
                };
                self.append(forget, then, now);
            }
            None => self.connections.buffer(id.slot).extend_from_slice(&packet),
        }
    }

    // What is owed to us.

    /// PUBACK.
    pub(crate) fn on_puback(
        &mut self,
        session: u32,
        packet_id: u16,
        now: Millis,
    ) -> Result<(), Fault> {
        let Some(outbound) = self.sessions[session].outbound.as_mut() else {
            return Ok(());
        };
        match outbound.puback(packet_id) {
            Ok(delivery) => {
                self.finished(session, &delivery, now);
                Ok(())
            }
            Err(error) => tolerate(error),
        }
    }

    /// PUBREC: exactly-once deliveries of stored messages remember it before PUBREL goes out.
    pub(crate) fn on_pubrec(
        &mut self,
        id: ConnectionId,
        session: u32,
        packet_id: u16,
        reason: ReasonCode,
        now: Millis,
    ) -> Result<(), Fault> {
        let outbound = self.sessions[session].outbound();
        match outbound.pubrec(packet_id, reason.is_error()) {
            Ok(PubrecOutcome::Release) => self.release(id, session, packet_id, now),
            Ok(PubrecOutcome::Repeat) => {
                let released = outbound
                    .flight(packet_id)
                    .is_some_and(|flight| flight.state == FlightState::AwaitPubcomp);
                if released {
                    self.send_pubrel(id.slot, packet_id, ReasonCode::SUCCESS);
                }
            }
            Ok(PubrecOutcome::Refused(delivery)) => {
                self.finished_exactly_once(session, packet_id, delivery.origin, now);
                self.finished(session, &delivery, now);
            }
            // One that refuses ends what it is about, and nothing is released. [5 MQTT-4.3.3-4]
            Err(error) if reason.is_error() => tolerate(error)?,
            // [3.1.1 MQTT-4.3.3-1]: the peer waits for a PUBREL all the same.
            Err(error) => {
                tolerate(error)?;
                let reason = match self.connections.version(id.slot) {
                    Version::V5 => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
                    Version::V31 | Version::V311 => ReasonCode::SUCCESS,
                };
                self.send_pubrel(id.slot, packet_id, reason);
            }
        }
        Ok(())
    }

    fn release(&mut self, id: ConnectionId, session: u32, packet_id: u16, now: Millis) {
        let outbound = self.sessions[session].outbound();
        let Some(origin) = outbound.flight(packet_id).map(|flight| flight.item.origin) else {
            return;
        };
        let released = Outgoing::past(packet_id, OutgoingState::Released);
        let writes = self.outgoing_writes(session, origin, &released);
        if writes.is_empty() {
            self.sessions[session].outbound().released(packet_id);
            self.send_pubrel(id.slot, packet_id, ReasonCode::SUCCESS);
        } else {
            let session = self.sessions.reference(session);
            self.append(writes, Then::Pubrel { session, packet_id }, now);
        }
    }

    /// PUBCOMP.
    pub(crate) fn on_pubcomp(
        &mut self,
        session: u32,
        packet_id: u16,
        now: Millis,
    ) -> Result<(), Fault> {
        let Some(outbound) = self.sessions[session].outbound.as_mut() else {
            return Ok(());
        };
        match outbound.pubcomp(packet_id) {
            Ok(delivery) => {
                self.finished_exactly_once(session, packet_id, delivery.origin, now);
                self.finished(session, &delivery, now);
                Ok(())
            }
            Err(error) => tolerate(error),
        }
    }

    /// Until the session's cursor is known to have passed it, a finished exactly-once delivery is remembered
    /// as done: a crash must not begin it anew. Cursor and deletion go in one commit.
    fn finished_exactly_once(&mut self, session: u32, packet_id: u16, origin: Origin, now: Millis) {
        let Some(number) = stored_number(self.sessions[session].number) else {
            return;
        };
        let stamp = origin.outgoing_key(packet_id);
        let settle = claim_delete(origin);
        if settle.is_some() || origin.stored_key().is_none() {
            // No cursor has to pass a claim, nor what was in memory: it is over, and with it what was remembered.
            let forget = Write::Delete {
                key: key::outgoing(number, stamp),
            };
            let writes = std::iter::once(forget).chain(settle).collect();
            self.append(writes, Then::Nothing, now);
            return;
        }
        let value = Outgoing::past(0, OutgoingState::Done).encode();
        let done = Write::Put {
            key: key::outgoing(number, stamp),
            value,
        };
        self.append(vec![done], Then::Nothing, now);
        self.sessions[session].done.push(origin);
    }

    fn finished(&mut self, session: u32, delivery: &Delivery, now: Millis) {
        self.chat_received(session, delivery.origin);
        if delivery.qos == QoS::AtLeastOnce {
            self.claim_over(delivery.origin, now);
        }
        self.mark_dirty(session, now);
        self.pump(session, now);
    }

    pub(crate) fn send_pubrel(&mut self, connection: u32, packet_id: u16, reason: ReasonCode) {
        let version = self.connections.version(connection);
        ack::encode_pubrel(
            version,
            packet_id,
            reason,
            self.connections.buffer(connection),
        );
    }

    // After a reconnect.

    /// Sends again what was under way, in the original order and as far as the window allows.
    /// [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
    pub(crate) fn resend(&mut self, slot: u32, now: Millis) {
        loop {
            let session = &mut self.sessions[slot];
            let connection = session.connection;
            let Some(outbound) = session.outbound.as_mut() else {
                return;
            };
            let window = self.connections[connection]
                .receive_maximum
                .min(self.settings.limits.inflight_max);
            let sent = outbound.len() - outbound.unsent();
            let full = sent >= usize::from(window)
                || self.connections[connection].backlog() > self.settings.limits.outgoing_bytes_max;
            if full || outbound.unsent() == 0 {
                return;
            }
            if self.turn.is_spent() {
                self.defer_pump(slot);
                return;
            }
            let outbound = self.sessions[slot].outbound();
            let Some(flight) = outbound.next_unsent() else {
                return;
            };
            let (packet_id, state) = (flight.packet_id, flight.state);
            match state {
                // Its PUBLISH leaves when its identifier is on disk.
                FlightState::Beginning => {}
                FlightState::AwaitPuback | FlightState::AwaitPubrec => {
                    let delivery = flight.item.clone();
                    self.frames.select(&delivery.message);
                    if self.too_large(slot, &delivery, now) {
                        self.give_up(slot, packet_id, state, now);
                        continue;
                    }
                    // [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
                    self.send_publish(connection, &delivery, Some(packet_id), true, now);
                }
                // Its PUBREL leaves when the release is on disk.
                FlightState::Releasing => {}
                FlightState::AwaitPubcomp => {
                    self.send_pubrel(connection, packet_id, ReasonCode::SUCCESS)
                }
            }
        }
    }

    /// A delivery that had begun is larger than the new connection takes: it goes on as if it had been acknowledged,
    /// or it would hold its place in the window for ever. [5 MQTT-3.1.2-25]
    fn give_up(&mut self, slot: u32, packet_id: u16, state: FlightState, now: Millis) {
        self.metrics.counters.dropped_too_large += 1;
        self.note_dropped(slot, DropReason::TooLarge, 1);
        self.mark_dirty(slot, now);
        let outbound = self.sessions[slot].outbound();
        if state == FlightState::AwaitPuback {
            // The caller has just seen it there.
            drop(outbound.puback(packet_id));
        } else if outbound.pubrec(packet_id, false).is_ok() {
            // The client may have it from the last connection and keep its identifier until PUBREL.
            let id = self.connections.id(self.sessions[slot].connection);
            self.release(id, slot, packet_id, now);
        }
    }

    /// Goes on with an exactly-once delivery that had begun before a restart.
    pub(crate) fn continue_recovered(
        &mut self,
        slot: u32,
        outgoing: Outgoing,
        delivery: Delivery,
        now: Millis,
    ) {
        // As it began, whatever its subscriptions have become since: the client is in the middle of it, and what it is sent
        // again is the packet it was sent. [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
        let delivery = Delivery {
            qos: QoS::ExactlyOnce,
            retain: outgoing.retain,
            identifiers: outgoing.identifiers,
            ..delivery
        };
        match outgoing.state {
            OutgoingState::Done => {
                self.sessions[slot].done.push(delivery.origin);
                self.mark_dirty(slot, now);
            }
            OutgoingState::Sent => {
                let outbound = self.sessions[slot].outbound();
                outbound.recover(outgoing.packet_id, FlightState::AwaitPubrec, delivery);
                self.resend(slot, now);
            }
            OutgoingState::Released => {
                let outbound = self.sessions[slot].outbound();
                outbound.recover(outgoing.packet_id, FlightState::AwaitPubcomp, delivery);
                self.resend(slot, now);
            }
        }
    }
}

/// An acknowledgement of nothing is a late echo and harmless; the wrong one for what is under way would leave that under
/// way for ever. [3.1.1 MQTT-4.8.0-1] [5 MQTT-4.13.1-1]
fn tolerate(error: AckError) -> Result<(), Fault> {
    match error {
        AckError::Unknown(_) => Ok(()),
        AckError::OutOfTurn(_) => Err(ReasonCode::PROTOCOL_ERROR),
    }
}
