//! What the shard does when too much waits on disk: who holds most loses what has waited longest, and what would have to be stored is
//! refused as long as that has not helped. How much waits on disk in the whole server is counted outside.

use std::sync::Arc;

use mqtt_codec::{Publish, QoS, ReasonCode, Version};
use records::{Millis, Stamp};

use crate::door::{ConnectionId, Pressure, Shed};
use crate::drops::DropReason;
use crate::jobs::{Job, Shedding};
use crate::publish::Fault;
use crate::session::Session;
use crate::shard::Shard;
use crate::turn::{SESSIONS_PER_PIECE, TURN_WORK_MAX, WAITING_PER_PIECE};

impl Shed {
    /// How many of so many messages of an account are to be dropped.
    fn part(&self, holder: crate::survey::Holder, messages: usize) -> usize {
        let Some(parts) = self.parts.get(&holder) else {
            return 0;
        };
        let most = messages as u64;
        (most * u64::from(*parts)).div_ceil(u64::from(Self::PARTS)) as usize
    }
}

impl Session {
    /// Stamps of the stored messages that are on their way to the client.
    fn stored_flights(&self) -> Vec<Stamp> {
        let floor = self
            .waiting
            .as_ref()
            .map_or(Stamp::ZERO, |waiting| waiting.floor);
        let flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        let needed = flights.filter_map(|flight| flight.item.origin.needs());
        needed.filter(|stamp| *stamp >= floor).collect()
    }
}

impl Shard {
    /// Stamps between which about a MiB went into the queue table each, since this was last asked.
    pub fn take_queue_marks(&mut self) -> Vec<Stamp> {
        self.queue_marks.take()
    }

    /// The word from outside.
    pub(crate) fn pressed(&mut self, pressure: Pressure) {
        self.storage_full = pressure.full;
        self.disk_full = pressure.disk_full;
    }

    /// Who holds most is to hold less.
    pub(crate) fn begin_shedding(&mut self, order: Arc<Shed>) {
        self.jobs.push_back(Job::Shed(Shedding {
            order,
            next: 0,
            left: None,
        }));
    }

    /// Drops what has waited longest of each of those accounts. What is on its way to a client stays in memory, and gets there unless
    /// the server ends before.
    pub(crate) fn shed_some(&mut self, mut shedding: Shedding, now: Millis) {
        if shedding.next == 0 && shedding.left.is_none() {
            self.shed_groups(&shedding.order, now);
        }
        let mut left = WAITING_PER_PIECE;
        let end = self.sessions.capacity();
        let last = end.min(shedding.next + SESSIONS_PER_PIECE);
        while shedding.next < last && left > 0 {
            if self.shed_session(&mut shedding, &mut left, now) {
                shedding.next += 1;
                shedding.left = None;
            }
        }
        // About what looking costs, in the turn's currency.
        self.work += TURN_WORK_MAX / 2;
        if shedding.next < end {
            self.jobs.push_back(Job::Shed(shedding));
        }
    }

    fn shed_groups(&mut self, order: &Shed, now: Millis) {
        let mut over = Vec::new();
        let mut left = WAITING_PER_PIECE;
        self.groups.backlogs.retain(|_, backlog| {
            let mut part = order.part(None, backlog.len()).min(left);
            left -= part;
            while part > 0 && backlog.oldest().is_some_and(|stamp| stamp < order.before) {
                part -= 1;
                over.extend(backlog.pop());
            }
            !backlog.is_empty()
        });
        for claim in over {
            self.counters.dropped_queued += 1;
            self.note_dropped_of_group(DropReason::ServerFull);
            self.settle_claim(claim.stored.claim, now);
        }
    }

    /// False when it has more to lose than may be dropped at once.
    fn shed_session(&mut self, shedding: &mut Shedding, left: &mut usize, now: Millis) -> bool {
        let slot = shedding.next;
        let Some(session) = self.sessions.get_mut(slot) else {
            return true;
        };
        let order = &shedding.order;
        if !order.parts.contains_key(&session.account) {
            return true;
        }
        let mut to_drop = match shedding.left {
            Some(to_drop) => to_drop,
            None => {
                let mut flights = session.stored_flights();
                let stored = session
                    .waiting
                    .as_ref()
                    .map_or(0, |waiting| waiting.stored().len());
                let part = order.part(session.account, flights.len() + stored);
                flights.sort_unstable();
                let released = flights
                    .iter()
                    .take(part)
                    .take_while(|stamp| **stamp < order.before);
                if let Some(newest) = released.last() {
                    session.waiting().floor = Stamp::new(newest.value() + 1);
                }
                part.saturating_sub(flights.len())
            }
        };
        let Some(waiting) = session.waiting.as_mut() else {
            return true;
        };
        let mut dropped = 0;
        let mut is_done = true;
        while to_drop > 0
            && waiting
                .stored()
                .front()
                .is_some_and(|stamp| stamp < order.before)
        {
            if *left == 0 {
                shedding.left = Some(to_drop);
                is_done = false;
                break;
            }
            *left -= 1;
            to_drop -= 1;
            waiting.drop_oldest_stored();
            dropped += 1;
        }
        if is_done {
            session.shed();
        }
        if dropped > 0 {
            self.mark_dirty(slot as u32, now);
        }
        self.drop_queued(slot as u32, DropReason::ServerFull, dropped);
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
        self.counters.storage_refused += 1;
        let version = self.connection(id).map(|connection| connection.version);
        if version == Some(Version::V5) {
            let sentence = if self.disk_full {
                "the server's disk is almost full"
            } else {
                "too much waits to be delivered"
            };
            return self.refuse(id, session, packet, ReasonCode::QUOTA_EXCEEDED, sentence);
        }
        if let (QoS::ExactlyOnce, Some(packet_id)) = (packet.qos, packet.packet_id)
            && let Some(inbound) = self.sessions[session as usize].inbound.as_mut()
        {
            // When it comes again, it is new.
            inbound.release(packet_id);
        }
        self.lose_connection(id, now);
        Ok(())
    }
}
