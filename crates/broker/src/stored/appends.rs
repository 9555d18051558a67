//! What a shard writes to disk and what waits for it. An append is the only step back in the walk of a
//! message: whatever it holds up goes on in [`Shard::appended`], in the order of the appends.

use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode};
use mqtt_session::{AckOrdinal, FlightState};
use records::{
    AccountId, Millis, Outgoing, OutgoingState, Progress, SessionNumber, SessionRef, Stamp, Write,
    key,
};

use crate::connections::connection::Stage;
use crate::delivery::waiting::Claims;
use crate::io::{ConnectionId, Ticket};
use crate::message::{Message, Origin};
use crate::sessions::session::{Delivery, Session};
use crate::shard::Shard;

/// How often changed cursors are written; a crash repeats at most this much of QoS 1.
const CURSOR_INTERVAL_MS: u64 = 1000;
/// Sessions whose cursors are written in one call.
const CURSORS_PER_CALL: usize = 512;
/// Bytes of keys and values that whoever stores takes in one append, at least.
pub const APPEND_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What need not be written atomically is written in pieces of this many bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// Something that waits for the disk.
#[derive(Debug)]
pub(crate) struct PendingAppend {
    pub(crate) ticket: Ticket,
    pub(crate) then: Then,
}

/// What happens once it is there.
#[derive(Debug)]
pub(crate) enum Then {
    /// Nothing waits.
    Nothing,
    /// The session exists: say so.
    Connack {
        connection: ConnectionId,
        present: bool,
    },
    /// The subscriptions exist: say so, and deliver what follows a subscription.
    Suback(Box<PendingSuback>),
    /// What the packet says is on disk: it may go.
    Send {
        connection: ConnectionId,
        packet: Vec<u8>,
    },
    /// A QoS 2 message that came again is on disk: acknowledge it.
    Settle {
        connection: ConnectionId,
        ordinal: AckOrdinal,
    },
    /// The message is safe: deliver and acknowledge it.
    Publish(Box<StoredPublish>),
    /// The message is nobody else's any more: it may go at QoS 0, unless the session is offline by now.
    Live {
        session: SessionRef,
        delivery: Box<Delivery>,
    },
    /// PUBREC is remembered: PUBREL may go.
    Pubrel { session: SessionRef, packet_id: u16 },
    /// The packet identifier of an exactly-once delivery is remembered: PUBLISH may go.
    Deliver { session: SessionRef, packet_id: u16 },
}

/// A publish that waits for the disk.
#[derive(Debug)]
pub(crate) struct StoredPublish {
    pub(crate) message: Arc<Message>,
    /// Key in the queue table, if it was written there.
    pub(crate) stamp: Option<Stamp>,
    /// Set when the message is to be retained.
    pub(crate) retained: Option<Stamp>,
    /// The groups that have to get it.
    pub(crate) claims: Claims,
    pub(crate) publisher: SessionRef,
    /// The publisher's.
    pub(crate) account: Option<AccountId>,
    pub(crate) ack: Option<(ConnectionId, AckOrdinal)>,
}

/// The answer to a SUBSCRIBE or UNSUBSCRIBE, and what follows it.
#[derive(Debug)]
pub(crate) struct PendingSuback {
    pub(crate) connection: ConnectionId,
    pub(crate) session: SessionRef,
    pub(crate) packet: Vec<u8>,
    pub(crate) granted: Vec<Granted>,
    pub(crate) identifier: u32,
    /// Filters under `im/` that were given up.
    pub(crate) revoked: Vec<Box<str>>,
    /// Nothing has been sent to the session since it changed what it held.
    pub(crate) changes: bool,
}

/// A granted subscription that is still owed its retained messages.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) filter: Box<str>,
    pub(crate) qos: QoS,
    pub(crate) existed: bool,
    pub(crate) handling: u8,
}

impl Shard {
    /// Every append up to `upto` is on disk.
    pub(crate) fn appended(&mut self, upto: Ticket, now: Millis) {
        while self
            .appends
            .front()
            .is_some_and(|append| append.ticket <= upto)
        {
            let Some(append) = self.appends.pop_front() else {
                break;
            };
            self.continue_after(append.then, now);
        }
        self.wake_stalled();
    }

    pub(crate) fn continue_after(&mut self, then: Then, now: Millis) {
        match then {
            Then::Nothing => {}
            Then::Connack {
                connection,
                present,
            } => self.connected(connection, present, now),
            Then::Suback(pending) => self.subscribed(*pending, now),
            Then::Send { connection, packet } => {
                self.send_to_open(connection, &packet);
            }
            Then::Settle {
                connection,
                ordinal,
            } => self.settle(connection, ordinal, ReasonCode::SUCCESS, None),
            Then::Publish(stored) => {
                let reason = self.release_publish(&stored, now);
                if let Some((connection, ordinal)) = stored.ack {
                    self.settle(connection, ordinal, reason, None);
                }
            }
            Then::Live { session, delivery } => self.send_at_most_once(session, *delivery, now),
            Then::Pubrel { session, packet_id } => self.send_stored_pubrel(session, packet_id),
            Then::Deliver { session, packet_id } => {
                self.send_stored_publish(session, packet_id, now)
            }
        }
    }

    /// Sends a packet unless the connection has ended meanwhile.
    pub(crate) fn send_to_open(&mut self, id: ConnectionId, packet: &[u8]) -> bool {
        let open = self
            .connections
            .get(id)
            .is_some_and(|connection| matches!(connection.stage, Stage::Open { .. }));
        if open {
            self.connections.buffer(id.slot).extend_from_slice(packet);
        }
        open
    }

    /// How much is on its way to the disk or the messenger.
    pub(crate) fn under_way(&self) -> usize {
        self.appends.len() + self.chat_publishes
    }

    /// Whether clients have to wait because too much is on its way to the disk or the messenger.
    pub(crate) fn congested(&self) -> bool {
        self.under_way() >= self.settings.limits.appends_max
    }

    /// Stops reading a client until the disk has caught up. One that waits for its CONNACK is not read anyway,
    /// and not before it has it.
    pub(crate) fn stall(&mut self, id: ConnectionId) {
        let open = self
            .connections
            .get(id)
            .is_some_and(|connection| matches!(connection.stage, Stage::Open { .. }));
        if open {
            self.metrics.counters.publishers_stalled += 1;
            self.connections.pause(id);
            self.stalled.push(id);
        }
    }

    pub(crate) fn wake_stalled(&mut self) {
        if self.stalled.is_empty() || self.under_way() > self.settings.limits.appends_max / 2 {
            return;
        }
        let stalled = std::mem::take(&mut self.stalled);
        self.turn.defer_reads(stalled);
    }

    // Sessions.

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
            chat_cursor: chat_cursor(session, self.latest_pos),
            queue_cursors: queue_cursors(session, sent.clone()),
            protocol_level: session.protocol_level,
            progress: Progress::default(),
        };
        record.progress = self.progress(slot, &record, sent);
        record
    }

    /// How far a session has come with stored messages, per shard of origin.
    pub(crate) fn cursors_of(&self, slot: u32) -> Vec<Stamp> {
        queue_cursors(&self.sessions[slot], self.queue_sent(slot))
    }

    /// Per shard of origin, the newest stored message below which nothing has still to be sent to this session.
    fn queue_sent(&self, slot: u32) -> Vec<Stamp> {
        let mut sent = self.routed.clone();
        let waiting = self.sessions[slot].waiting.iter();
        let waiting = waiting.flat_map(|waiting| waiting.stored().stamps());
        stand_before(&mut sent, waiting.chain(self.pending_stamps(slot)));
        sent
    }

    /// Notes that a session's cursors have moved.
    pub(crate) fn mark_dirty(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        if session.dirty || !session.is_stored() {
            return;
        }
        session.dirty = true;
        self.cursors.dirty.push_back(slot);
        self.cursors_soon(now);
    }

    pub(crate) fn cursors_soon(&mut self, now: Millis) {
        self.cursors
            .due
            .get_or_insert(now.saturating_add(CURSOR_INTERVAL_MS));
    }

    /// Writes the cursors of sessions whose flow has moved; nobody waits for it. Those that are too many for one call
    /// are due at once.
    pub(crate) fn store_cursors(&mut self, now: Millis) {
        self.store_settled(now);
        let count = self.cursors.dirty.len().min(CURSORS_PER_CALL);
        let slots: Vec<u32> = self.cursors.dirty.drain(..count).collect();
        self.cursors.due = (!self.cursors.dirty.is_empty()).then_some(now);
        let mut writes = Vec::with_capacity(count);
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
            self.forget_redelivery(slot);
            let record = self.session_record(slot);
            writes.push(self.record_write(slot, &record));
            self.forget_passed(slot, &record, &mut writes);
            self.forget_superseded(slot, &record.queue_cursors, &mut writes);
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
        let waiting = session.waiting.iter().flat_map(|waiting| &waiting.claims);
        let claims: Vec<Stamp> = waiting
            .map(|delivery| delivery.claim.stored.claim)
            .collect();
        let passed = |origin: Origin| match origin {
            Origin::Memory | Origin::Share { .. } => true,
            Origin::Claim { stored, .. } => {
                stored.is_none_or(|stored| !claims.contains(&stored.claim))
            }
            Origin::Queue(stamp) => is_covered(&record.queue_cursors, stamp),
            Origin::Chat { pos, .. } => pos <= record.chat_cursor,
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

    /// Whether the end of some session is still on its way to the disk.
    pub(crate) fn is_ending(&self) -> bool {
        let oldest = self.appends.front().map(|append| append.ticket);
        oldest.is_some_and(|oldest| self.last_end.is_some_and(|end| oldest <= end))
    }

    /// Has writes stored in order but not atomically, however many they are; `then` follows the last.
    pub(crate) fn append_in_pieces(&mut self, writes: Vec<Write>, then: Then, now: Millis) {
        let mut piece = Vec::new();
        let mut bytes = 0;
        for write in writes {
            if bytes + write.bytes() > PIECE_BYTES && !piece.is_empty() {
                self.append(std::mem::take(&mut piece), Then::Nothing, now);
                bytes = 0;
            }
            bytes += write.bytes();
            piece.push(write);
        }
        self.append(piece, then, now);
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
        for filter in filters.chain(self.given_up_filters(slot)) {
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

    fn send_stored_pubrel(&mut self, reference: SessionRef, packet_id: u16) {
        let Some(slot) = self.sessions.slot_of(reference) else {
            return;
        };
        let session = &mut self.sessions[slot];
        let released = session
            .outbound
            .as_mut()
            .is_some_and(|outbound| outbound.released(packet_id));
        if released && let Some(connection) = self.open_connection(slot) {
            self.send_pubrel(connection, packet_id, ReasonCode::SUCCESS);
        }
    }

    fn send_stored_publish(&mut self, reference: SessionRef, packet_id: u16, now: Millis) {
        let Some(slot) = self.sessions.slot_of(reference) else {
            return;
        };
        let connection = self.open_connection(slot);
        let Some(flight) = self.sessions[slot]
            .outbound
            .as_mut()
            .and_then(|outbound| outbound.begun(packet_id))
        else {
            return;
        };
        let delivery = flight.item.clone();
        let Some(connection) = connection else { return };
        self.frames.select(&delivery.message);
        self.send_publish(connection, &delivery, Some(packet_id), false, now);
    }
}

/// Per shard of origin, the newest stored message below which a session has nothing to do: of what it has been sent, up to
/// what it has not finished. Stamps of one shard arrive in order, those of different shards do not, hence one for each.
fn queue_cursors(session: &Session, sent: Vec<Stamp>) -> Vec<Stamp> {
    let mut cursors = sent;
    let flights = session.outbound.iter().flat_map(|outbound| outbound.iter());
    let begun = flights.filter_map(|flight| match flight.item.origin {
        Origin::Queue(stamp) => Some(stamp),
        Origin::Memory | Origin::Share { .. } | Origin::Chat { .. } | Origin::Claim { .. } => None,
    });
    stand_before(&mut cursors, begun);
    cursors.retain(|cursor| *cursor != Stamp::ZERO);
    cursors
}

/// Sets cursors before whichever of these messages their shards have stamped.
fn stand_before(cursors: &mut [Stamp], stamps: impl Iterator<Item = Stamp>) {
    for stamp in stamps {
        if let Some(cursor) = cursors.get_mut(usize::from(stamp.shard())) {
            *cursor = (*cursor).min(stamp.before());
        }
    }
}

/// Sets the newest stamp of its shard to this one, if it is newer.
pub(crate) fn raise(newest: &mut [Stamp], stamp: Stamp) {
    let known = &mut newest[usize::from(stamp.shard())];
    *known = (*known).max(stamp);
}

/// Strikes out the claim that a delivery answers.
pub(crate) fn claim_delete(origin: Origin) -> Option<Write> {
    let Origin::Claim {
        stored: Some(stored),
        ..
    } = origin
    else {
        return None;
    };
    Some(Write::Delete {
        key: key::claim(stored.claim),
    })
}

/// Whether the cursors of a session are past a stored message.
pub(crate) fn is_covered(cursors: &[Stamp], stamp: Stamp) -> bool {
    cursors
        .iter()
        .any(|cursor| cursor.shard() == stamp.shard() && *cursor >= stamp)
}

/// The key of a session's record.
pub(crate) fn session_key(session: &Session) -> Vec<u8> {
    key::session(
        session.account.unwrap_or(AccountId::ZERO),
        &session.client_id,
    )
}

fn chat_cursor(session: &Session, latest: records::Pos) -> records::Pos {
    let Some(chat) = &session.chat else {
        return latest;
    };
    let flights = session.outbound.iter().flat_map(|outbound| outbound.iter());
    let begun = flights.filter_map(|flight| match flight.item.origin {
        Origin::Chat { pos, .. } => Some(records::Pos::new(pos.value().saturating_sub(1))),
        Origin::Memory | Origin::Share { .. } | Origin::Queue(_) | Origin::Claim { .. } => None,
    });
    begun.fold(chat.sent, records::Pos::min)
}

/// Whether a session number stands for a stored session.
pub(crate) fn stored_number(number: SessionNumber) -> Option<SessionNumber> {
    (number != SessionNumber::ZERO).then_some(number)
}
