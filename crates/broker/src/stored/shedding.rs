//! What the shard does when too much waits on disk: who holds most loses what has waited longest, and what would have to be stored is
//! refused as long as that has not helped. How much waits on disk in the whole server is counted outside.

use std::sync::Arc;

use mqtt_codec::{Publish, QoS, ReasonCode, Version};
use records::{Millis, Stamp};

use crate::connections::connection::Fault;
use crate::io::{ConnectionId, Pressure, Shed};
use crate::metrics::drops::DropReason;
use crate::shard::Shard;
use crate::stored::shed_order::Shedding;
use crate::turn::deferred::DeferredWork;
use crate::turn::pieces::{SESSIONS_PER_PIECE, WAITING_PER_PIECE};
use crate::turn::work::TURN_WORK_MAX;

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
        self.turn.defer(DeferredWork::Shed(Shedding::new(order)));
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
        let waits = waiting.map_or(0, |waiting| waiting.claims().len() + waiting.stored().len());
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
            && let Some(waiting) = session.waiting.as_mut()
            && let Some(claim) = waiting.drop_oldest_claim(before)
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
