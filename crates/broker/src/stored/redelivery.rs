//! What sessions had been sent before the server died or was stopped: which stored QoS 1 messages go again with DUP, and
//! under which packet identifier. It owns that memory, on disk beside the cursors; QoS 2 has its own (`appends`).
//!
//! A record says what was under way when it was written, within the last second. What was sent after it follows it in the
//! session's order, and so do its identifiers, unless something that is not stored came between.

use std::collections::BTreeMap;

use mqtt_codec::QoS;
use mqtt_session::FlightState;
use records::{Cursor, Pos, Progress, Stamp};

use crate::delivery::waiting::Delivery;
use crate::message::Origin;
use crate::sessions::session::Session;
use crate::stored::messages::raise;
use crate::stored::positions::is_covered;

/// By session, what it had been sent before the server died or was stopped.
#[derive(Debug, Default)]
pub(crate) struct Redeliveries(BTreeMap<u32, Redelivery>);

/// What is known of one session.
#[derive(Debug)]
struct Redelivery {
    /// Deliveries that had begun, by their keys.
    under_way: Vec<(Stamp, u16)>,
    /// Per shard of origin, up to where messages had been sent: what of them is not under way is over.
    sent: Vec<Stamp>,
    /// The identifier that the first delivery behind them had, or may have had.
    next_packet_id: u16,
    /// Ordinary messages up to here, and messenger entries that this covers, may have been sent.
    queue: Stamp,
    chat: Cursor,
}

/// A message that may have been sent before: under which identifier, if that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeat(Option<u16>);

impl Redelivery {
    fn repeat_of(&mut self, session: &mut Session, delivery: &Delivery) -> Option<Repeat> {
        if session.outbound.is_none() {
            session.outbound().start_at(self.next_packet_id);
        }
        let key = delivery.origin.stored_key()?;
        if let Ok(place) = self.under_way.binary_search_by_key(&key, |(key, _)| *key) {
            let (_, packet_id) = self.under_way.remove(place);
            return Some(Repeat(Some(packet_id)));
        }
        // What had begun at QoS 2 is remembered one by one.
        let doubtful = delivery.qos == QoS::AtLeastOnce && self.may_have_been_sent(delivery.origin);
        doubtful.then_some(Repeat(None))
    }

    fn may_have_been_sent(&self, origin: Origin) -> bool {
        match origin {
            Origin::Queue(stamp) => stamp <= self.queue,
            Origin::Chat { pos, .. } => self.chat.covers(pos),
            Origin::Claim {
                stored: Some(stored),
                ..
            } => stored.message <= self.queue,
            Origin::Memory | Origin::Share { .. } | Origin::Claim { stored: None, .. } => false,
        }
    }
}

impl Repeat {
    /// The identifier that it had.
    pub(crate) fn packet_id(self) -> Option<u16> {
        self.0
    }
}

impl Redeliveries {
    /// Takes back what a session had been sent; whether that is anything. One that was connected when the server died may have
    /// been sent everything that was stored for it by then.
    pub(crate) fn recover(&mut self, slot: u32, record: &records::Session) -> bool {
        let progress = &record.progress;
        let (queue, chat) = if record.disconnected_at.is_none() {
            // Until it is known how much there was.
            (Stamp::MAX, Cursor::at(Pos::MAX))
        } else {
            let mut chat = progress.chat_sent.clone();
            chat.merge(&progress.chat_doubtful);
            (progress.queue_doubtful, chat)
        };
        let known = Redelivery {
            under_way: progress.under_way.clone(),
            sent: progress.queue_sent.clone(),
            next_packet_id: progress.next_packet_id,
            queue,
            chat,
        };
        let nothing = known.under_way.is_empty()
            && known.sent.is_empty()
            && queue == Stamp::ZERO
            && known.chat == Cursor::default();
        if !nothing {
            self.0.insert(slot, known);
        }
        !nothing
    }

    /// Everything that was stored is known: these are the newest of it.
    pub(crate) fn bound(&mut self, newest: Stamp, latest: Pos) {
        for known in self.0.values_mut() {
            known.queue = known.queue.min(newest);
            known.chat = known.chat.cut(latest);
        }
    }

    /// Whether a delivery that begins may have begun before. [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
    #[inline]
    pub(crate) fn repeat_of(
        &mut self,
        slot: u32,
        session: &mut Session,
        delivery: &Delivery,
    ) -> Option<Repeat> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get_mut(&slot)?.repeat_of(session, delivery)
    }

    /// What a session's record says beside its cursors; `sent` is how far messages have been sent, per shard of origin.
    pub(crate) fn progress(
        &self,
        slot: u32,
        session: &Session,
        record: &records::Session,
        sent: Vec<Stamp>,
    ) -> Progress {
        let known = self.0.get(&slot);
        let flights = session.outbound.iter().flat_map(|outbound| outbound.iter());
        let begun = flights.filter_map(|flight| {
            let at_least_once = flight.state == FlightState::AwaitPuback;
            let key = flight.item.origin.stored_key().filter(|_| at_least_once)?;
            Some((key, flight.packet_id))
        });
        let earlier = known.iter().flat_map(|known| &known.under_way).copied();
        let mut under_way: Vec<(Stamp, u16)> = begun.chain(earlier).collect();
        under_way.sort_unstable();
        let chat_sent = session.chat.as_ref().map(|chat| {
            let mut sent = chat.sent.clone();
            if chat.begun_packets > 0 {
                sent.advance(chat.begun);
            }
            sent
        });
        let shards = sent.len();
        let mut queue_sent = match &session.outbound {
            Some(outbound) if !outbound.is_empty() => sent,
            Some(_) | None => vec![Stamp::ZERO; shards],
        };
        for stamp in known.iter().flat_map(|known| &known.sent) {
            raise(&mut queue_sent, *stamp);
        }
        let cursors = &record.queue_cursors;
        queue_sent.retain(|sent| *sent != Stamp::ZERO && !is_covered(cursors, *sent));
        let next_packet_id = match &session.outbound {
            // One that nothing keeps is given up with this record.
            Some(outbound) if session.dirty || !outbound.is_idle() => outbound.next_id(),
            Some(_) | None => known.map_or(0, |known| known.next_packet_id),
        };
        Progress {
            under_way,
            queue_sent,
            chat_sent: chat_sent
                .filter(|sent| !record.chat_cursor.covers_all(sent))
                .unwrap_or_default(),
            next_packet_id,
            queue_doubtful: known.map_or(Stamp::ZERO, |known| known.queue),
            chat_doubtful: known.map_or_else(Cursor::default, |known| known.chat.clone()),
        }
    }

    /// Gives up what is known of a session once all that it is about has come up. What a group waits for may come up
    /// at any time.
    pub(crate) fn forget_passed(&mut self, slot: u32, session: &Session) {
        let Some(known) = self.0.get_mut(&slot) else {
            return;
        };
        let waiting = || {
            let waiting = session.waiting.iter();
            waiting.flat_map(|waiting| waiting.stored().stamps())
        };
        let queue_passed = waiting().next().is_none();
        let chat_sent = session.chat.as_ref().map(|chat| &chat.sent);
        let is_member = !session.shares.is_empty();
        known
            .under_way
            .retain(|(key, _)| match Origin::from_outgoing_key(*key) {
                Origin::Queue(_) => !queue_passed,
                Origin::Chat { pos, .. } => chat_sent.is_some_and(|sent| !sent.covers(pos)),
                Origin::Claim { .. } => is_member,
                Origin::Memory | Origin::Share { .. } => false,
            });
        let over = known.under_way.is_empty()
            && chat_sent.is_none_or(|sent| sent.covers_all(&known.chat))
            && !is_member
            && waiting().all(|stamp| stamp > known.queue && !is_covered(&known.sent, stamp));
        if over {
            self.0.remove(&slot);
        }
    }

    /// The session is no more.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.0.remove(&slot);
    }
}
