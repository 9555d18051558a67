//! What is told to devices when they can get it: one reading of the store per session at a time, and nothing but messages while
//! nobody looks. What was held back goes out in one burst with the next message, or when somebody looks again.

use std::sync::Arc;

use records::{AccountId, ConversationId, Millis, Moment, Pos, SessionRef};

use crate::address;
use crate::chat::Chat;
use crate::delivery::{self, Answer, Audience, Delivery, Packet};
use crate::door::Output;
use crate::log::Batch;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::timers::Timer;
use crate::wire;

/// Packets in one delivery.
pub(crate) const PACKETS_MAX: usize = 4;

impl Chat {
    // Questions to the store.

    /// Whether a question of a session that needs the store would be read or kept. Asked before it is prepared, which is work too.
    pub(crate) fn check_turn(&mut self, session: SessionRef, now: Millis) -> Result<(), Refusal> {
        if !self.live.has_pending(session) {
            return Ok(());
        }
        let most = self.settings.questions_waiting_max;
        match self.live.pending(session) {
            Some(pending) if pending.is_busy(now) && !pending.has_room(most) => {
                self.counters.reads_refused += 1;
                Err(Refusal::unavailable())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Reads something for a session: now, or after what is being read for it. Refused if too much waits already.
    pub(crate) fn ask_store(
        &mut self,
        session: SessionRef,
        query: Query,
        batch: &mut Batch,
        now: Millis,
    ) {
        let most = self.settings.questions_waiting_max;
        let Some(pending) = self.live.pending(session) else {
            batch.tell(Output::Read(query));
            return;
        };
        if !pending.is_busy(now) {
            pending.begin(now);
            batch.tell(Output::Read(query));
        } else if pending.has_room(most) {
            pending.wait(query);
        } else {
            self.counters.reads_refused += 1;
            if let Some(Answer::Deliver(delivery)) = query.refuse() {
                batch.tell(Output::Deliver(delivery));
            }
        }
    }

    /// What was read for a session has been read, or refused.
    pub(crate) fn read_done(&mut self, session: SessionRef, now: Millis) {
        if !self.live.has_pending(session) {
            return;
        }
        if let Some(pending) = self.live.pending(session) {
            pending.end();
        }
        self.pump(session, now);
    }

    /// Goes on with what waits for a session.
    pub(crate) fn pump(&mut self, session: SessionRef, now: Millis) {
        if let Some(pending) = self.live.pending(session)
            && !pending.is_busy(now)
            && let Some(query) = pending.next()
        {
            pending.begin(now);
            self.log.tell(Output::Read(query));
        }
        self.tell_due(session, now);
        self.live.tidy(session);
    }

    /// Describes conversations that are due, as far as that takes no second reading.
    fn tell_due(&mut self, session: SessionRef, now: Millis) {
        let Some(account) = self.live.account_of(session) else {
            return;
        };
        let (mut packets, mut lacking, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(pending) = self.live.pending(session) {
            let busy = pending.is_busy(now);
            let Some(id) = pending.due.pop_first() else {
                break;
            };
            // What is being read of it arrives later and is older: then it is told again.
            if busy && pending.reading.contains(&id) {
                kept.push(id);
                continue;
            }
            let Some(row) = self.row(id, account) else {
                continue;
            };
            if !row.lacks_head() {
                let topic = format!("im/about/{}", row.conv);
                packets.push(delivery::packet(topic, row.json()));
            } else if !busy && lacking.len() < PACKETS_MAX {
                lacking.push((id, row));
            } else {
                kept.push(id);
                break;
            }
        }
        if let Some(pending) = self.live.pending(session) {
            pending.due.extend(kept);
        }
        self.tell_session(session, packets);
        if lacking.is_empty() {
            return;
        }
        let (ids, rows): (Vec<_>, Vec<_>) = lacking.into_iter().unzip();
        if let Some(pending) = self.live.pending(session) {
            pending.begin(now);
            pending.reading.extend(ids);
        }
        self.log.tell(Output::Read(Query::about(session, rows)));
    }

    /// Packets that are no entries, for one session.
    pub(crate) fn tell_session(&mut self, session: SessionRef, packets: Vec<Packet>) {
        let mut packets = packets.into_iter().peekable();
        while packets.peek().is_some() {
            let some = packets.by_ref().take(PACKETS_MAX).collect();
            self.log.tell(Output::Deliver(Delivery {
                audience: Audience::Session(session),
                packets: some,
                pos: None,
                receipt: None,
                read_at: Moment::UNKNOWN,
            }));
        }
    }

    // What is held back.

    /// Tells something that is held back from devices nobody looks at. Yields whether there was anybody to tell, and those devices.
    pub(crate) fn tell_attentive(
        &mut self,
        accounts: impl Iterator<Item = AccountId>,
        packet: &Packet,
    ) -> (bool, Vec<SessionRef>) {
        let split = self.live.split(accounts);
        let told = !split.whole.is_empty() || !split.active.is_empty();
        if !split.whole.is_empty() {
            let whole = Arc::from(split.whole);
            self.log.tell(address::to_accounts(whole, packet.clone()));
        }
        for session in split.active {
            self.log.tell(address::to_session(session, packet.clone()));
        }
        (told, split.inactive)
    }

    /// A message has come into a conversation: devices that were left alone get the rest along with it.
    pub(crate) fn release_members(&mut self, id: ConversationId, now: Millis) {
        if self.live.held().is_empty() {
            return;
        }
        let Some(room) = self.rooms.find_mut(id) else {
            return;
        };
        let members = room.audience();
        let held = self.live.held();
        let waiting: Vec<AccountId> = if held.len() < members.len() {
            let is_member = |account: &&AccountId| members.binary_search(account).is_ok();
            held.iter().filter(is_member).copied().collect()
        } else {
            let waits = |account: &&AccountId| held.contains(*account);
            members.iter().filter(waits).copied().collect()
        };
        for account in waiting {
            for session in self.live.take_held(account) {
                self.release(session, now);
            }
        }
    }

    /// Tells a session what was held back from it.
    pub(crate) fn release(&mut self, session: SessionRef, now: Millis) {
        let Some(account) = self.live.account_of(session) else {
            return;
        };
        let Some(pending) = self.live.pending(session) else {
            return;
        };
        let abouts = std::mem::take(&mut pending.abouts);
        pending.due.extend(abouts);
        let presences = std::mem::take(&mut pending.presences);
        let receipts = std::mem::take(&mut pending.receipts);
        let mut packets: Vec<Packet> = presences
            .into_iter()
            .map(|other| self.presence_packet(other))
            .collect();
        for ((id, from, kind), upto) in receipts {
            // Who has left in the meantime is told nothing of it any more.
            if self
                .rooms
                .find(id)
                .and_then(|room| room.member(account))
                .is_none()
            {
                continue;
            }
            let payload = wire::json(&wire::Receipt {
                pos: self.log.newest().to_string(),
                kind,
                from: self.directory.name(from),
                seq: upto.value(),
            });
            let topic = format!("im/in/{}/event", self.conv_name(id, account));
            packets.push(delivery::packet(topic, payload));
        }
        self.tell_session(session, packets);
        self.pump(session, now);
    }

    // Catching up.

    /// A session wants what is stored after a position. What is told before is older than what is read then, what is told after is
    /// newer.
    pub(crate) fn catch_up(
        &mut self,
        session: SessionRef,
        account: AccountId,
        since: Pos,
        now: Millis,
    ) {
        if let Some(until) = self.live.catch_ups.repeats(session, since, now) {
            self.counters.catch_ups_delayed += 1;
            if let Some(pending) = self.live.pending(session)
                && pending.again.replace(since).is_none()
            {
                self.timers.set(until, Timer::CatchUp(session));
            }
            return;
        }
        let feed = self.feed(account, since);
        if feed.is_empty() {
            self.live.catch_ups.forget(session);
        } else {
            self.live.catch_ups.begun(session, since, now);
        }
        self.log.tell(Output::Read(Query::catch_up(session, feed)));
    }

    /// A session that asked again has waited long enough.
    pub(crate) fn catch_up_due(&mut self, session: SessionRef, now: Millis) {
        if !self.live.has_pending(session) {
            return;
        }
        let again = self
            .live
            .pending(session)
            .and_then(|pending| pending.again.take());
        if let (Some(since), Some(account)) = (again, self.live.account_of(session)) {
            self.live.tidy(session);
            self.catch_up(session, account, since, now);
        }
    }
}
