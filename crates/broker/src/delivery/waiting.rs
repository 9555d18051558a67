//! What waits for one session because its window or its socket is full or its client is offline. It owns the
//! queues and knows what they weigh; how much may wait, those who push decide.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::QoS;
use records::Stamp;
use routing::{GroupId, RetainedCursor};

use crate::message::{Message, Origin};
use crate::shared::claim::{ClaimDelivery, Reassigned};
use crate::stored::queue::{Identifiers, StoredDelivery, StoredQueue};

/// Stored messages read at once for one session.
pub const FETCH_MAX: usize = 256;

/// A delivery that waits or is under way.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) origin: Origin,
    pub(crate) identifiers: Identifiers,
}

impl Delivery {
    /// Stands for an exactly-once delivery of which only PUBREL is left to send.
    pub(crate) fn released(origin: Origin) -> Self {
        Self {
            message: Arc::new(Message::released()),
            qos: QoS::ExactlyOnce,
            retain: false,
            origin,
            identifiers: None,
        }
    }
}

/// A new subscription that is still getting retained messages.
#[derive(Debug)]
pub(crate) struct RetainedReplay {
    pub(crate) filter: Box<str>,
    pub(crate) qos: QoS,
    pub(crate) identifier: u32,
    pub(crate) cursor: RetainedCursor,
}

/// A session's queues.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// QoS 1 and 2, with the number of each arrival.
    flows: VecDeque<(u64, Delivery)>,
    /// QoS 0, which no window holds back.
    live: VecDeque<(u64, Delivery)>,
    arrivals: u64,
    queued_bytes: usize,
    stored: StoredQueue,
    stored_bytes: u64,
    /// Older stored messages are kept for this session in memory only, while they are under way to its client.
    pub(crate) floor: Stamp,
    /// The front of `stored`, as far as it has been read.
    fetched: VecDeque<(Stamp, Option<Arc<Message>>)>,
    /// The store has been asked for the front of `stored`.
    fetching: bool,
    /// It was asked for the front of `claims`.
    fetching_claims: bool,
    /// What this session's groups have given it, a few at a time.
    claims: VecDeque<ClaimDelivery>,
    /// The front of `claims`, as far as it has been read.
    fetched_claims: VecDeque<(Stamp, Option<Arc<Message>>)>,
    retained: VecDeque<RetainedReplay>,
    /// The session is listed for a slice of retained messages.
    retained_listed: bool,
    /// What the store remembers of exactly-once deliveries begun before a restart.
    pub(crate) recovered: Vec<(Stamp, records::Outgoing)>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.queued() == 0
            && self.stored.is_empty()
            && self.claims.is_empty()
            && self.retained.is_empty()
            && self.recovered.is_empty()
            && self.floor == Stamp::ZERO
    }

    /// Whether a new QoS 1 or 2 message has to queue behind others. What is merely remembered holds nothing back.
    pub(crate) fn holds_back(&self) -> bool {
        !(self.flows.is_empty()
            && self.stored.is_empty()
            && self.claims.is_empty()
            && self.retained.is_empty())
    }

    /// Whether a message that is only in memory has to queue behind others of its kind: QoS 0 waits for no
    /// acknowledgement. [5 MQTT-4.9.0-3]
    pub(crate) fn queues(&self, qos: QoS) -> bool {
        match qos {
            QoS::AtMostOnce => !self.live.is_empty(),
            QoS::AtLeastOnce | QoS::ExactlyOnce => !self.flows.is_empty(),
        }
    }

    // In memory.

    /// Messages in memory.
    pub(crate) fn queued(&self) -> usize {
        self.flows.len() + self.live.len()
    }

    /// Stored messages that some of them are.
    pub(crate) fn needed_by_queued(&self) -> impl Iterator<Item = Stamp> + '_ {
        let flows = self.flows.iter();
        flows.filter_map(|(_, delivery)| delivery.origin.needs())
    }

    /// What they weigh.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(crate) fn enqueue(&mut self, delivery: Delivery) {
        self.arrivals += 1;
        self.queued_bytes += delivery.message.weight();
        let entry = (self.arrivals, delivery);
        match entry.1.qos {
            QoS::AtMostOnce => self.live.push_back(entry),
            QoS::AtLeastOnce | QoS::ExactlyOnce => self.flows.push_back(entry),
        }
    }

    /// The next message in memory, in the order of their arrival as far as the windows allow: `flow` while a
    /// QoS 1 or 2 delivery may begin, `live` while the socket takes more.
    pub(crate) fn next_queued(&mut self, flow: bool, live: bool) -> Option<Delivery> {
        let arrival =
            |queue: &VecDeque<(u64, Delivery)>| queue.front().map(|(arrival, _)| *arrival);
        let flow = arrival(&self.flows).filter(|_| flow);
        let live = arrival(&self.live).filter(|_| live);
        let first_is_live = match (flow, live) {
            (None, None) => return None,
            (Some(flow), Some(live)) => live < flow,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        if first_is_live {
            self.drop_live()
        } else {
            self.drop_flow()
        }
    }

    /// Takes out the oldest QoS 0 message, or the oldest of all when there is none.
    pub(crate) fn drop_oldest(&mut self) -> Option<Delivery> {
        self.drop_live().or_else(|| self.drop_flow())
    }

    /// Forgets the QoS 0 messages and says how many there were.
    pub(crate) fn drop_all_live(&mut self) -> usize {
        let dropped = std::mem::take(&mut self.live);
        let bytes: usize = dropped
            .iter()
            .map(|(_, delivery)| delivery.message.weight())
            .sum();
        self.queued_bytes -= bytes;
        dropped.len()
    }

    /// Drops what is only in memory and whose topic is not wanted; how many there were.
    pub(crate) fn retain_queued(&mut self, wants: impl Fn(&str) -> bool) -> usize {
        let before = self.queued();
        let mut bytes = 0;
        for queue in [&mut self.flows, &mut self.live] {
            queue.retain(|(_, delivery)| {
                let stays =
                    !matches!(delivery.origin, Origin::Memory) || wants(&delivery.message.topic);
                if !stays {
                    bytes += delivery.message.weight();
                }
                stays
            });
        }
        self.queued_bytes -= bytes;
        before - self.queued()
    }

    fn drop_live(&mut self) -> Option<Delivery> {
        let (_, delivery) = self.live.pop_front()?;
        self.queued_bytes -= delivery.message.weight();
        Some(delivery)
    }

    fn drop_flow(&mut self) -> Option<Delivery> {
        let (_, delivery) = self.flows.pop_front()?;
        self.queued_bytes -= delivery.message.weight();
        Some(delivery)
    }

    // In the queue table.

    /// Deliveries whose messages are on disk, in their order.
    pub(crate) fn stored(&self) -> &StoredQueue {
        &self.stored
    }

    /// What their messages weigh.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    pub(crate) fn push_stored(&mut self, delivery: StoredDelivery) {
        self.stored_bytes += u64::from(delivery.weight);
        self.stored.push_back(delivery);
    }

    pub(crate) fn pop_stored(&mut self) -> Option<StoredDelivery> {
        let delivery = self.stored.pop_front()?;
        self.stored_bytes -= u64::from(delivery.weight);
        Some(delivery)
    }

    /// Takes out the oldest delivery, and its message if that has been read already.
    pub(crate) fn drop_oldest_stored(&mut self) -> Option<StoredDelivery> {
        let delivery = self.pop_stored()?;
        if !self.fetched.is_empty() {
            self.fetched.pop_front();
        }
        Some(delivery)
    }

    // Reading the store.

    /// Which messages are to be read next: of groups first, or the oldest of the others. `None` while the store has been asked already.
    pub(crate) fn begin_fetch(&mut self) -> Option<Vec<Stamp>> {
        if std::mem::replace(&mut self.fetching, true) {
            return None;
        }
        self.fetching_claims = !self.claims.is_empty();
        Some(if self.fetching_claims {
            self.needed_by_claims().take(FETCH_MAX).collect()
        } else {
            self.stored.stamps().take(FETCH_MAX).collect()
        })
    }

    /// The store has answered; whether what it has read is wanted is another matter.
    pub(crate) fn end_fetch(&mut self) {
        self.fetching = false;
    }

    /// Keeps what was read, as far as it is still waited for; false if nothing is. A message that is `withdrawn`, by its topic, is as good
    /// as gone.
    pub(crate) fn take_fetched(
        &mut self,
        messages: Vec<(Stamp, Option<Arc<Message>>)>,
        withdrawn: impl Fn(&str) -> bool,
    ) -> bool {
        if self.fetching_claims {
            self.take_fetched_claims(messages);
            return true;
        }
        // What was dropped for the bound meanwhile is no longer at the front. An answer from before a reconnect may have been asked
        // for groups, and have the same message first.
        let Some(front) = self.stored.front() else {
            return false;
        };
        let wanted = messages
            .into_iter()
            .skip_while(|(stamp, _)| *stamp != front)
            .zip(self.stored.stamps())
            .take_while(|((stamp, _), wanted)| stamp == wanted);
        self.fetched = wanted
            .map(|((stamp, mut message), _)| {
                message.take_if(|message| withdrawn(&message.topic));
                (stamp, message)
            })
            .collect();
        true
    }

    /// Some of it may have gone to other members meanwhile.
    fn take_fetched_claims(&mut self, messages: Vec<(Stamp, Option<Arc<Message>>)>) {
        let mut messages = messages.into_iter();
        let claims = self.claims.iter();
        self.fetched_claims = claims
            .map_while(|delivery| {
                let message = delivery.claim.stored.message;
                messages.find(|(stamp, _)| *stamp == message)
            })
            .collect();
    }

    /// The oldest stored delivery with its message, unless that is gone; `None` when it has to be read first.
    pub(crate) fn next_fetched(&mut self) -> Option<(StoredDelivery, Option<Arc<Message>>)> {
        let (stamp, message) = self.fetched.pop_front()?;
        let delivery = self.pop_stored()?;
        assert_eq!(
            delivery.stamp, stamp,
            "messages come back in the order in which they were asked for"
        );
        Some((delivery, message))
    }

    /// The same of what groups have given.
    pub(crate) fn next_fetched_claim(&mut self) -> Option<(ClaimDelivery, Option<Arc<Message>>)> {
        let (stamp, message) = self.fetched_claims.pop_front()?;
        let delivery = self.claims.pop_front()?;
        assert_eq!(
            delivery.claim.stored.message, stamp,
            "messages come back in the order in which they were asked for"
        );
        Some((delivery, message))
    }

    /// What was read is read again when it is wanted again.
    pub(crate) fn forget_fetched(&mut self) {
        self.fetched = VecDeque::new();
    }

    // Of groups.

    /// Whether groups have given something.
    pub(crate) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// What groups have given and is not under way, oldest first.
    pub(crate) fn claims(&self) -> impl ExactSizeIterator<Item = &ClaimDelivery> {
        self.claims.iter()
    }

    /// The stored messages that that is.
    pub(crate) fn needed_by_claims(&self) -> impl Iterator<Item = Stamp> + '_ {
        let claims = self.claims.iter();
        claims.map(|delivery| delivery.claim.stored.message)
    }

    /// A group has given a claim.
    pub(crate) fn push_claim(&mut self, delivery: ClaimDelivery) {
        self.claims.push_back(delivery);
    }

    /// Takes out the oldest claim, if its message is older than `before` and nothing of it has been sent.
    pub(crate) fn drop_oldest_claim(&mut self, before: Stamp) -> Option<Stamp> {
        let oldest = self.claims.front()?;
        let key = oldest.origin().stored_key();
        let begun = self.recovered.iter().any(|(known, _)| Some(*known) == key);
        if begun || oldest.claim.stored.message >= before {
            return None;
        }
        let oldest = self.claims.pop_front()?;
        self.fetched_claims.pop_front();
        Some(oldest.claim.stored.claim)
    }

    /// Takes out what has come from groups, of one or of all, and has not been sent.
    pub(crate) fn take_claims(&mut self, only: Option<GroupId>) -> Vec<Reassigned> {
        let concerned = |group| only.is_none_or(|only| only == group);
        let mut reassigned = Vec::new();
        let recovered = &self.recovered;
        self.claims.retain(|delivery| {
            let key = delivery.origin().stored_key();
            // One that had begun before a restart is finished with its member. [5 MQTT-4.8.2-4]
            let begun = recovered.iter().any(|(known, _)| Some(*known) == key);
            if begun || !concerned(delivery.group) {
                return true;
            }
            reassigned.push(Reassigned::Stored(delivery.group, delivery.claim));
            false
        });
        if !reassigned.is_empty() {
            // It is read again as it stands now.
            self.fetched_claims.clear();
        }
        let bytes = &mut self.queued_bytes;
        self.flows.retain(|(_, delivery)| match delivery.origin {
            Origin::Claim { group, stored, qos } if concerned(group) => {
                *bytes -= delivery.message.weight();
                reassigned.push(Reassigned::of(group, stored, qos, &delivery.message));
                false
            }
            _ => true,
        });
        reassigned
    }

    // Retained messages.

    /// A new subscription is to get what is retained.
    pub(crate) fn push_replay(&mut self, replay: RetainedReplay) {
        self.retained.push_back(replay);
    }

    /// Lists the session for its next slice; false if there is none, or it is listed already.
    pub(crate) fn list_replay(&mut self) -> bool {
        !self.retained.is_empty() && !std::mem::replace(&mut self.retained_listed, true)
    }

    /// The subscription whose slice is next. The session is listed no longer.
    pub(crate) fn next_replay(&mut self) -> Option<RetainedReplay> {
        self.retained_listed = false;
        self.retained.pop_front()
    }

    /// It is to get more.
    pub(crate) fn continue_replay(&mut self, replay: RetainedReplay) {
        self.retained.push_front(replay);
    }

    /// Gives up those of filters that are not allowed any more.
    pub(crate) fn retain_replays(&mut self, wants: impl Fn(&str) -> bool) {
        self.retained.retain(|replay| wants(&replay.filter));
    }

    // From before a restart.

    /// Begins to remember an exactly-once delivery the store knows of.
    pub(crate) fn take_recovered(&mut self, stamp: Stamp) -> Option<records::Outgoing> {
        let place = self
            .recovered
            .iter()
            .position(|(known, _)| *known == stamp)?;
        Some(self.recovered.swap_remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message {
            topic: topic.into(),
            payload: Bytes::from_static(b"12345"),
            ..Message::released()
        })
    }

    fn delivery(topic: &str, qos: QoS) -> Delivery {
        Delivery {
            qos,
            ..Delivery {
                message: message(topic),
                ..Delivery::released(Origin::Memory)
            }
        }
    }

    fn stored(number: u64) -> StoredDelivery {
        StoredDelivery {
            stamp: Stamp::of(number, 0),
            qos: QoS::AtLeastOnce,
            retain: false,
            weight: 10,
            identifiers: None,
        }
    }

    fn topics(mut waiting: Waiting, flow: bool, live: bool) -> Vec<String> {
        let next = std::iter::from_fn(|| waiting.next_queued(flow, live));
        next.map(|delivery| delivery.message.topic.to_string())
            .collect()
    }

    fn three() -> Waiting {
        let mut waiting = Waiting::default();
        waiting.enqueue(delivery("a", QoS::AtLeastOnce));
        waiting.enqueue(delivery("b", QoS::AtMostOnce));
        waiting.enqueue(delivery("c", QoS::AtLeastOnce));
        waiting
    }

    #[test]
    fn what_waits_goes_in_the_order_in_which_it_came_as_far_as_it_may() {
        assert_eq!(topics(three(), true, true), ["a", "b", "c"]);
        assert_eq!(topics(three(), true, false), ["a", "c"]);
        assert_eq!(topics(three(), false, true), ["b"]);
        let mut waiting = three();
        let dropped = std::iter::from_fn(|| waiting.drop_oldest());
        let dropped: Vec<_> = dropped
            .map(|delivery| delivery.message.topic.to_string())
            .collect();
        assert_eq!(dropped, ["b", "a", "c"], "QoS 0 goes first");
        assert_eq!((waiting.queued(), waiting.queued_bytes()), (0, 0));
    }

    /// What the store has read is what was asked for; some of it may be wanted no longer, and some of it may be gone.
    #[test]
    fn an_answer_of_the_store_is_taken_as_far_as_it_is_still_waited_for() {
        let mut waiting = Waiting::default();
        (1..=4).for_each(|number| waiting.push_stored(stored(number)));
        let asked = waiting.begin_fetch().expect("nothing was asked yet");
        assert_eq!(asked.len(), 4);
        assert!(waiting.begin_fetch().is_none(), "it has been asked");
        // The oldest is dropped for the bound before the answer comes.
        waiting.drop_oldest_stored();
        waiting.end_fetch();
        let answer = asked.into_iter().map(|stamp| {
            let topic = if stamp == Stamp::of(3, 0) {
                "secret"
            } else {
                "open"
            };
            (stamp, Some(message(topic)))
        });
        assert!(waiting.take_fetched(answer.collect(), |topic| topic == "secret"));
        let mut next = || {
            let (delivery, message) = waiting.next_fetched()?;
            Some((delivery.stamp.micros(), message.is_some()))
        };
        assert_eq!(next(), Some((2, true)));
        assert_eq!(next(), Some((3, false)));
        assert_eq!(next(), Some((4, true)));
        assert_eq!(next(), None);
        assert!(waiting.is_empty());
        assert!(!waiting.take_fetched(vec![(Stamp::of(9, 0), None)], |_| false));
    }
}
