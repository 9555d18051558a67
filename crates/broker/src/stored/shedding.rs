//! What the shard does when too much waits on disk: who holds most loses what has waited longest, and what would have to be stored is
//! refused as long as that has not helped. How much waits on disk in the whole server is counted outside.

use std::sync::Arc;

use mqtt_codec::{Publish, QoS, ReasonCode, Version};
use mqtt_session::FlightState;
use records::{Millis, Stamp};

use crate::connections::connection::Fault;
use crate::io::{ConnectionId, Pressure, Shed};
use crate::message::Origin;
use crate::metrics::drops::DropReason;
use crate::sessions::session::Session;
use crate::shard::Shard;
use crate::stored::survey::Holder;
use crate::turn::deferred::{DeferredWork, Shedding};
use crate::turn::work::{SESSIONS_PER_PIECE, TURN_WORK_MAX, WAITING_PER_PIECE};

impl Shedding {
    /// How many of so many messages of an account are to be dropped; what is less than one counts for the next.
    fn part(&mut self, holder: Holder, messages: usize) -> usize {
        let Some(parts) = self.order.parts.get(&holder) else {
            return 0;
        };
        self.carried += messages as u64 * u64::from(*parts);
        let all = u64::from(Shed::PARTS);
        let part = self.carried / all;
        self.carried %= all;
        part as usize
    }
}

impl Session {
    /// Stamps of the stored messages that are on their way to the client, the oldest first.
    fn stored_flights(&self) -> Vec<Stamp> {
        let waiting = self.waiting.as_ref();
        let floor = waiting.map_or(Stamp::ZERO, |waiting| waiting.floor);
        let flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        let mut stamps: Vec<Stamp> = flights
            .filter_map(|flight| match flight.item.origin {
                Origin::Queue(stamp) if stamp >= floor => Some(stamp),
                _ => None,
            })
            .collect();
        stamps.sort_unstable();
        stamps
    }

    /// Packet ids of claims that are on their way to the client and that nobody else needs to know of.
    fn claim_flights(&self, before: Stamp) -> Vec<u16> {
        let flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        flights
            .filter(|flight| match (flight.state, flight.item.origin) {
                (FlightState::AwaitPuback, Origin::Claim { stored, .. }) => {
                    stored.is_some_and(|stored| stored.message < before)
                }
                _ => false,
            })
            .map(|flight| flight.packet_id)
            .collect()
    }

    /// Keeps a claim in memory only from here on; what is to be struck out.
    fn keep_claim_in_memory(&mut self, packet_id: u16) -> Option<Stamp> {
        let flight = self.outbound.as_mut()?.flight(packet_id)?;
        let Origin::Claim { stored, .. } = &mut flight.item.origin else {
            return None;
        };
        stored.take().map(|stored| stored.claim)
    }

    /// Takes out the oldest claim that has not been sent.
    fn drop_oldest_claim(&mut self, before: Stamp) -> Option<Stamp> {
        let waiting = self.waiting.as_mut()?;
        let oldest = waiting.claims.front()?;
        let key = oldest.origin().stored_key();
        let begun = waiting
            .recovered
            .iter()
            .any(|(known, _)| Some(*known) == key);
        if begun || oldest.claim.stored.message >= before {
            return None;
        }
        let oldest = waiting.claims.pop_front()?;
        waiting.fetched_claims.pop_front();
        Some(oldest.claim.stored.claim)
    }
}

impl Shard {
    /// Stamps between which about a MiB went into the queue table each, since this was last asked.
    pub fn take_queue_marks(&mut self) -> Vec<Stamp> {
        self.stored.take_marks()
    }

    /// The word from outside.
    pub(crate) fn pressed(&mut self, pressure: Pressure) {
        self.stored.press(pressure);
    }

    /// Who holds most is to hold less.
    pub(crate) fn begin_shedding(&mut self, order: Arc<Shed>) {
        self.turn.defer(DeferredWork::Shed(Shedding {
            order,
            next: 0,
            left: None,
            carried: 0,
        }));
    }

    /// Drops what has waited longest of each of those accounts. What is on its way to a client stays in memory, and gets there unless
    /// the server ends before.
    pub(crate) fn shed_some(&mut self, mut shedding: Shedding, now: Millis) {
        if shedding.next == 0 && shedding.left.is_none() {
            self.shed_groups(&mut shedding, now);
        }
        let mut left = WAITING_PER_PIECE;
        let end = self.sessions.capacity();
        let last = end.min(shedding.next + SESSIONS_PER_PIECE);
        while shedding.next < last && left > 0 {
            let to_drop = match shedding.left {
                Some(to_drop) => to_drop,
                None => self.begin_shedding_session(&mut shedding, now),
            };
            if self.shed_session(&mut shedding, to_drop, &mut left, now) {
                shedding.next += 1;
                shedding.left = None;
            }
        }
        // About what looking costs, in the turn's currency.
        self.turn.spend_exactly(TURN_WORK_MAX / 2);
        if shedding.next < end {
            self.turn.defer(DeferredWork::Shed(shedding));
        }
    }

    fn shed_groups(&mut self, shedding: &mut Shedding, now: Millis) {
        let before = shedding.order.before;
        let part = |waiting| shedding.part(None, waiting);
        let over = self.shared.waiting.shed(part, before, WAITING_PER_PIECE);
        for claim in over {
            self.drop_claim_for_room(claim.stored.claim, now);
        }
    }

    fn drop_claim_for_room(&mut self, claim: Stamp, now: Millis) {
        self.metrics.counters.dropped_queued += 1;
        self.metrics.drops.note_of_group(DropReason::ServerFull);
        self.settle_claim(claim, now);
    }

    /// Lets go of what is under way to a session and of what groups have given it, as far as its account has to lose so much; how
    /// many of its stored messages are to be dropped beside.
    fn begin_shedding_session(&mut self, shedding: &mut Shedding, now: Millis) -> usize {
        let before = shedding.order.before;
        let Some(session) = self.sessions.at_mut(shedding.next) else {
            return 0;
        };
        if !shedding.order.parts.contains_key(&session.account) {
            return 0;
        }
        let flights = session.stored_flights();
        let claim_flights = session.claim_flights(before);
        let waiting = session.waiting.as_ref();
        let waits = waiting.map_or(0, |waiting| waiting.claims.len() + waiting.stored().len());
        let messages = flights.len() + claim_flights.len() + waits;
        let mut to_drop = shedding.part(session.account, messages);
        let released = flights.iter().take(to_drop);
        let released = released.take_while(|stamp| **stamp < before);
        if let Some(newest) = released.last() {
            session.waiting().floor = Stamp::new(newest.value() + 1);
        }
        to_drop = to_drop.saturating_sub(flights.len());
        let mut settled = Vec::new();
        for packet_id in claim_flights.into_iter().take(to_drop) {
            settled.extend(session.keep_claim_in_memory(packet_id));
        }
        to_drop -= settled.len();
        let mut dropped = Vec::new();
        while dropped.len() < to_drop
            && let Some(claim) = session.drop_oldest_claim(before)
        {
            dropped.push(claim);
        }
        to_drop -= dropped.len();
        for claim in settled {
            self.settle_claim(claim, now);
        }
        for claim in dropped {
            self.drop_claim_for_room(claim, now);
        }
        to_drop
    }

    /// False when it has more to lose than may be dropped at once.
    fn shed_session(
        &mut self,
        shedding: &mut Shedding,
        mut to_drop: usize,
        left: &mut usize,
        now: Millis,
    ) -> bool {
        let slot = shedding.next;
        let Some(session) = self.sessions.at_mut(slot) else {
            return true;
        };
        let Some(waiting) = session.waiting.as_mut() else {
            return true;
        };
        let mut dropped = 0;
        let is_old = |stamp: Stamp| stamp < shedding.order.before;
        while to_drop > 0 && *left > 0 && waiting.stored().front().is_some_and(is_old) {
            *left -= 1;
            to_drop -= 1;
            waiting.drop_oldest_stored();
            dropped += 1;
        }
        let is_done = to_drop == 0 || !waiting.stored().front().is_some_and(is_old);
        if is_done {
            session.shed();
        } else {
            shedding.left = Some(to_drop);
        }
        if dropped > 0 {
            self.mark_dirty(slot, now);
            self.drop_queued(slot, DropReason::ServerFull, dropped);
        }
        is_done
    }

    /// Answers a publish that there is no room for: MQTT 5 has a word for it. Earlier versions have none, so the connection
    /// ends without an acknowledgement, and the client still has its message.
    pub(crate) fn refuse_for_room(
        &mut self,
        id: ConnectionId,
        session: u32,
        packet: &Publish<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        self.metrics.counters.storage_refused += 1;
        let version = self
            .connections
            .get(id)
            .map(|connection| connection.version);
        if version == Some(Version::V5) {
            let sentence = if self.stored.is_disk_full() {
                "the server's disk is almost full"
            } else {
                "too much waits to be delivered"
            };
            return self.refuse(id, session, packet, ReasonCode::QUOTA_EXCEEDED, sentence);
        }
        if let (QoS::ExactlyOnce, Some(packet_id)) = (packet.qos, packet.packet_id)
            && let Some(inbound) = self.sessions[session].inbound.as_mut()
        {
            // When it comes again, it is new.
            inbound.release(packet_id);
        }
        self.lose_connection(id, now);
        Ok(())
    }
}
