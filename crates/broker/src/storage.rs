//! What the shard does when too much waits on disk: what has waited longest is dropped, and what would have to be stored is
//! refused as long as that has not helped. How much waits on disk in the whole server is counted outside.

use mqtt_codec::{Publish, QoS, ReasonCode, Version};
use records::{Millis, Stamp};

use crate::door::{ConnectionId, Pressure};
use crate::jobs::{Job, Shedding};
use crate::publish::Fault;
use crate::shard::Shard;
use crate::turn::{SESSIONS_PER_PIECE, TURN_WORK_MAX, WAITING_PER_PIECE};

impl Shard {
    /// The word from outside.
    pub(crate) fn pressed(&mut self, pressure: Pressure) {
        self.storage_full = pressure.full;
        self.disk_full = pressure.disk_full;
        let before = pressure.drop_before;
        if before > self.floor {
            self.jobs.push_back(Job::Shed(Shedding { before, next: 0 }));
        }
    }

    /// What is older waits for nobody here. What was on its way to a client when it was dropped for the others is still
    /// in memory, and gets there unless the server ends before.
    pub(crate) fn shed_some(&mut self, mut shedding: Shedding, now: Millis) {
        let mut left = WAITING_PER_PIECE;
        if shedding.next == 0 {
            self.shed_groups(shedding.before, &mut left, now);
        }
        let end = self.sessions.capacity();
        let last = end.min(shedding.next + SESSIONS_PER_PIECE);
        while shedding.next < last && left > 0 {
            if self.shed_session(shedding.next, shedding.before, &mut left) {
                shedding.next += 1;
            }
        }
        // About what looking costs, in the turn's currency.
        self.work += TURN_WORK_MAX / 2;
        if shedding.next < end {
            self.jobs.push_back(Job::Shed(shedding));
        } else {
            self.floor = self.floor.max(shedding.before);
        }
    }

    fn shed_groups(&mut self, before: Stamp, left: &mut usize, now: Millis) {
        let mut over = Vec::new();
        self.groups.backlogs.retain(|_, backlog| {
            while *left > 0 && backlog.oldest().is_some_and(|stamp| stamp < before) {
                *left -= 1;
                over.extend(backlog.pop());
            }
            !backlog.is_empty()
        });
        for claim in over {
            self.counters.dropped_queued += 1;
            self.settle_claim(claim.stored.claim, now);
        }
    }

    /// False when it has more than may be dropped at once.
    fn shed_session(&mut self, slot: usize, before: Stamp, left: &mut usize) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else {
            return true;
        };
        let Some(waiting) = session.waiting.as_mut() else {
            return true;
        };
        let mut dropped = false;
        while waiting.stored().front().is_some_and(|stamp| stamp < before) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            waiting.drop_oldest_stored();
            self.counters.dropped_queued += 1;
            dropped = true;
        }
        if dropped {
            session.shed();
        }
        true
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
