//! What stands on disk of a session beside its subscriptions: its record with its cursors, and what is remembered of exactly-once
//! deliveries. The record is written once it has changed, within a second.

use mqtt_codec::QoS;
use mqtt_session::FlightState;
use records::{Millis, Outgoing, OutgoingState, Progress, Stamp, Write, key};

use crate::delivery::waiting::Delivery;
use crate::message::Origin;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::stored::completed::PIECE_BYTES;
use crate::stored::positions::{
    chat_cursor, claim_delete, is_covered, queue_cursors, session_key, stand_before,
};

impl Shard {
    /// Writes the record of a stored session as it stands.
    pub(crate) fn session_write(&self, slot: u32) -> Write {
        self.record_write(slot, &self.session_record(slot))
    }

    fn record_write(&self, slot: u32, record: &records::Session) -> Write {
        Write::Put {
            key: session_key(&self.sessions[slot]),
            value: record.encode(),
        }
    }

    fn session_record(&self, slot: u32) -> records::Session {
        let session = &self.sessions[slot];
        let sent = self.queue_sent(slot);
        let mut record = records::Session {
            number: session.number,
            expiry_secs: session.expiry_secs,
            disconnected_at: session.disconnected_at,
            chat_cursor: chat_cursor(session, self.messenger.latest()),
            queue_cursors: queue_cursors(session, sent.clone()),
            protocol_level: session.protocol_level,
            progress: Progress::default(),
        };
        let known = &self.cursors.redeliveries;
        record.progress = known.progress(slot, session, &record, sent);
        record
    }

    /// How far a session has come with stored messages, per shard of origin.
    pub(crate) fn cursors_of(&self, slot: u32) -> Vec<Stamp> {
        queue_cursors(&self.sessions[slot], self.queue_sent(slot))
    }

    /// Per shard of origin, the newest stored message below which nothing has still to be sent to this session.
    fn queue_sent(&self, slot: u32) -> Vec<Stamp> {
        let mut sent = self.stored.routed().to_vec();
        let waiting = self.sessions[slot].waiting.iter();
        let waiting = waiting.flat_map(|waiting| waiting.stored().stamps());
        stand_before(&mut sent, waiting.chain(self.fanouts.pending_stamps(slot)));
        sent
    }

    /// Notes that a session's cursors have moved.
    pub(crate) fn mark_dirty(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        if session.dirty || !session.is_stored() {
            return;
        }
        session.dirty = true;
        self.cursors.note_moved(slot, now);
    }

    /// Writes the cursors of sessions whose flow has moved; nobody waits for it. Those that are too many for one call
    /// are due at once.
    pub(crate) fn store_cursors(&mut self, now: Millis) {
        self.store_settled(now);
        let slots = self.cursors.take(now);
        let mut writes = Vec::with_capacity(slots.len());
        let mut bytes = 0;
        let mut moved = Vec::new();
        for slot in slots {
            let Some(session) = self.sessions.at_mut(slot) else {
                continue;
            };
            if !std::mem::take(&mut session.dirty) || !session.is_stored() {
                continue;
            }
            // A session's cursors and what they make superfluous stay together.
            let begin = writes.len();
            let session = &self.sessions[slot];
            self.cursors.redeliveries.forget_passed(slot, session);
            let record = self.session_record(slot);
            writes.push(self.record_write(slot, &record));
            self.forget_passed(slot, &record, &mut writes);
            let session = &self.sessions[slot];
            let cursors = &record.queue_cursors;
            self.subscriptions
                .forget_passed(slot, session, cursors, &mut writes);
            self.sessions[slot].shed();
            bytes += writes[begin..].iter().map(Write::bytes).sum::<usize>();
            moved.push(slot);
            if bytes >= PIECE_BYTES {
                self.append(std::mem::take(&mut writes), Then::Nothing, now);
                bytes = 0;
            }
        }
        if !writes.is_empty() {
            self.append(writes, Then::Nothing, now);
        }
        for slot in moved {
            self.pump(slot, now);
            self.sessions[slot].shed();
        }
    }

    /// Finished exactly-once deliveries need no memory once the cursors written beside have passed them, nor do
    /// those from before a restart whose message has not come up again.
    fn forget_passed(&mut self, slot: u32, record: &records::Session, writes: &mut Vec<Write>) {
        let session = &self.sessions[slot];
        let remembers = session
            .waiting
            .as_ref()
            .is_some_and(|waiting| !waiting.recovered.is_empty());
        if session.done.is_empty() && !remembers {
            return;
        }
        let number = session.number;
        let waiting = session.waiting.iter();
        let waiting = waiting.flat_map(|waiting| waiting.claims());
        let claims: Vec<Stamp> = waiting
            .map(|delivery| delivery.claim.stored.claim)
            .collect();
        let passed = |origin: Origin| match origin {
            Origin::Memory | Origin::Share { .. } => true,
            Origin::Claim { stored, .. } => {
                stored.is_none_or(|stored| !claims.contains(&stored.claim))
            }
            Origin::Queue(stamp) => is_covered(&record.queue_cursors, stamp),
            // A later record may say less of partitions that are ahead: an older entry of another can hold the floor back when
            // they no longer are. The floor itself only rises.
            Origin::Chat { pos, .. } => pos <= record.chat_cursor.floor(),
        };
        let mut forget = |stamp| {
            writes.push(Write::Delete {
                key: key::outgoing(number, stamp),
            });
        };
        let session = &mut self.sessions[slot];
        session.done.retain(|origin| {
            let passed = passed(*origin);
            if let (true, Some(stamp)) = (passed, origin.stored_key()) {
                forget(stamp);
            }
            !passed
        });
        if !remembers {
            return;
        }
        let mut released = Vec::new();
        session.waiting().recovered.retain(|(stamp, flow)| {
            let passed = passed(Origin::from_outgoing_key(*stamp));
            if passed {
                forget(*stamp);
                if flow.state == OutgoingState::Sent {
                    released.push(flow.packet_id);
                }
            }
            !passed
        });
        // Its message is not coming any more, but the client may hold the identifier: PUBREL frees it, and until PUBCOMP
        // it is remembered.
        for packet_id in released {
            let placeholder = Delivery::released(Origin::Memory);
            let outgoing = Outgoing::past(packet_id, OutgoingState::Released);
            writes.extend(self.outgoing_writes(slot, placeholder.origin, &outgoing));
            let session = &mut self.sessions[slot];
            let state = FlightState::AwaitPubcomp;
            session.outbound().recover(packet_id, state, placeholder);
        }
    }

    /// What the store knows of a session that has ended; its own record comes last. The subscriptions of a long session
    /// are not among it.
    pub(crate) fn session_deletes(&self, slot: u32) -> Vec<Write> {
        let session = &self.sessions[slot];
        let mut writes = Vec::new();
        let number = session.number;
        // Those of a long session follow in pieces; whatever a crash leaves of them is found without a session.
        let filters = if session.has_many_subscriptions() {
            Self::chat_filters_of(session)
        } else {
            self.filters_of(session)
        };
        let filters = filters.iter().map(String::as_str);
        for filter in filters.chain(self.subscriptions.given_up_filters(slot)) {
            writes.push(Write::Delete {
                key: key::subscription(number, filter),
            });
        }
        for packet_id in session
            .inbound
            .iter()
            .flat_map(|inbound| inbound.packet_ids())
        {
            writes.push(Write::Delete {
                key: key::incoming(number, *packet_id),
            });
        }
        for packet_id in session.sent.iter().flat_map(|sent| sent.iter()) {
            writes.push(Write::Delete {
                key: key::sent(number, *packet_id),
            });
        }
        let flights = session.outbound.iter().flat_map(|outbound| outbound.iter());
        let begun = flights
            .filter(|flight| flight.item.qos == QoS::ExactlyOnce)
            .map(|flight| {
                (
                    flight.item.origin.outgoing_key(flight.packet_id),
                    flight.item.origin,
                )
            });
        let done = session.done.iter();
        let done = done.filter_map(|origin| Some((origin.stored_key()?, *origin)));
        let waiting = session.waiting.iter();
        let recovered = waiting
            .flat_map(|waiting| &waiting.recovered)
            .map(|(stamp, _)| (*stamp, Origin::from_outgoing_key(*stamp)));
        for (stamp, origin) in begun.chain(done).chain(recovered) {
            writes.push(Write::Delete {
                key: key::outgoing(number, stamp),
            });
            // [5 MQTT-4.8.2-5]: no other member gets what was under way exactly once.
            writes.extend(claim_delete(origin));
        }
        writes.push(Write::Delete {
            key: session_key(session),
        });
        writes
    }

    // Exactly-once deliveries.

    /// Whether the store has to know of an exactly-once delivery.
    pub(crate) fn is_remembered(&self, slot: u32, origin: Origin) -> bool {
        self.sessions[slot].is_stored() || claim_delete(origin).is_some()
    }

    /// Remembers an exactly-once delivery before it begins: after a crash it goes on under the same
    /// identifier instead of beginning again, and if that cannot be, because the session ends with the crash,
    /// nobody else gets it. [5 MQTT-4.8.2-5]
    pub(crate) fn outgoing_writes(
        &self,
        slot: u32,
        origin: Origin,
        outgoing: &Outgoing,
    ) -> Vec<Write> {
        let session = &self.sessions[slot];
        let mut writes = Vec::new();
        let begins = match outgoing.state {
            OutgoingState::Sent => true,
            OutgoingState::Released | OutgoingState::Done => false,
        };
        if session.is_stored() {
            writes.push(Write::Put {
                key: key::outgoing(session.number, origin.outgoing_key(outgoing.packet_id)),
                value: outgoing.encode(),
            });
        }
        // A claim is over when its message is with a lasting member, or on its way to another.
        if begins != session.is_stored() {
            writes.extend(claim_delete(origin));
        }
        writes
    }
}
