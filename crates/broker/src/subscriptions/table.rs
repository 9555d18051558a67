//! The subscriptions of a shard's sessions to ordinary filters, what other shards want to hear of, and what filters were while
//! something waited for them. Shared filters and those of the messenger stand elsewhere.

use mqtt_codec::SubscriptionOptions;
use records::{SessionNumber, Stamp, Subscription, Terms, Write, key};
use routing::{FilterId, Match, RemoteIndex, Subscriber, SubscriptionIndex};

use crate::peers::Peers;
use crate::sessions::session::Session;
use crate::subscriptions::changes::PendingChanges;
use crate::subscriptions::superseded::{Fullness, SupersededTerms};

/// The options that say how a message is matched: all but retain handling.
const MATCHING: u8 = 0x0F;

/// The subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    peers: Peers,
    /// Of this shard's sessions.
    pub(crate) index: SubscriptionIndex,
    /// Of other shards.
    remote: RemoteIndex,
    superseded: SupersededTerms,
    pub(crate) changes: PendingChanges,
    /// Room for the recipients of the next message.
    matches: Vec<Match>,
}

impl Subscriptions {
    pub(crate) fn new(peers: Peers, seeds: [u64; 4]) -> Self {
        Self {
            peers,
            index: SubscriptionIndex::new(seeds),
            remote: RemoteIndex::new(seeds),
            superseded: SupersededTerms::default(),
            changes: PendingChanges::default(),
            matches: Vec::new(),
        }
    }

    // Who gets a topic.

    /// The recipients here of what is published to a topic by this session, if it is one of this shard. [5 MQTT-3.8.3-3] The list
    /// is to be given back with [`Subscriptions::reuse`] once it is empty.
    #[inline]
    pub(crate) fn recipients(&mut self, publisher: Option<u32>, topic: &str) -> Vec<Match> {
        let mut matches = std::mem::take(&mut self.matches);
        match publisher {
            Some(slot) => self.index.collect_from(slot, topic, &mut matches),
            None => self.index.collect(topic, &mut matches),
        }
        matches
    }

    /// Keeps the room of a list for the next one.
    #[inline]
    pub(crate) fn reuse(&mut self, mut matches: Vec<Match>) {
        matches.clear();
        self.matches = matches;
    }

    /// Whether a persistent session anywhere wants QoS 1 or 2 messages of this topic.
    #[inline]
    pub(crate) fn has_durable(&self, topic: &str) -> bool {
        self.index.has_durable(topic)
            || (self.peers.has_others() && self.remote.matches(topic).durable)
    }

    /// The bit mask of the other shards with subscribers to a topic.
    pub(crate) fn interested_shards(&self, topic: &str) -> u64 {
        self.remote.matches(topic).shards & self.peers.others()
    }

    /// Another shard's interest in a filter has changed.
    pub(crate) fn note_remote(&mut self, filter: &str, shard: u16, interest: routing::Interest) {
        self.remote.announce(filter, shard, interest);
    }

    // One filter of a session.

    /// A session's subscription to a filter.
    pub(crate) fn current(&self, slot: u32, filter: &str) -> Option<(FilterId, &Subscriber)> {
        let id = self.index.id(filter)?;
        Some((id, self.index.subscriber(id, slot)?))
    }

    /// Whether a filter is not held on these terms.
    pub(crate) fn differs(&self, slot: u32, filter: &str, options: u8, identifier: u32) -> bool {
        self.current(slot, filter).is_none_or(|(_, current)| {
            (current.options ^ options) & MATCHING != 0 || current.identifier != identifier
        })
    }

    /// Whether a filter may be subscribed to on these terms: how often filters change while something waits is bounded, for
    /// one, and for all of a session to `most`. They can always be given up.
    pub(crate) fn room_for_change(
        &self,
        slot: u32,
        filter: &str,
        (options, identifier): (SubscriptionOptions, u32),
        most: usize,
    ) -> Fullness {
        let fullness = self.superseded.fullness(slot, filter, most);
        if fullness == Fullness::Room || !self.differs(slot, filter, options.bits(), identifier) {
            return Fullness::Room;
        }
        fullness
    }

    /// Forgets what these cursors of a session have passed of what a filter was; whether that is anything.
    pub(crate) fn make_room_for_change(
        &mut self,
        slot: u32,
        filter: &str,
        cursors: &[Stamp],
    ) -> bool {
        let changed = self.superseded.forget_passed(slot, Some(filter), cursors);
        !changed.is_empty()
    }

    /// Whether subscribing to a filter on these terms, or giving it up, changes by what is stored for the session is matched.
    pub(crate) fn changes_matching(
        &self,
        slot: u32,
        filter: &str,
        terms: Option<(SubscriptionOptions, u32)>,
    ) -> bool {
        let durable = self
            .current(slot, filter)
            .is_some_and(|(_, current)| current.durable);
        durable
            && terms.is_none_or(|(options, identifier)| {
                self.differs(slot, filter, options.bits(), identifier)
            })
    }

    /// A filter is about to be subscribed to on these terms: what it was until now is remembered if it was another. `routed` is
    /// how far stored messages have been matched here.
    pub(crate) fn replace_terms(
        &mut self,
        slot: u32,
        session: &Session,
        filter: &str,
        (options, identifier): (SubscriptionOptions, u32),
        routed: &[Stamp],
    ) {
        if !session.is_stored() {
            return;
        }
        if self.differs(slot, filter, options.bits(), identifier) {
            self.keep_terms(slot, session, filter, routed);
        }
        self.superseded.set_given_up(slot, filter, false);
    }

    /// A filter is about to be given up.
    pub(crate) fn end_terms(
        &mut self,
        slot: u32,
        session: &Session,
        filter: &str,
        routed: &[Stamp],
    ) {
        if session.is_stored() {
            self.keep_terms(slot, session, filter, routed);
            self.superseded.set_given_up(slot, filter, true);
        }
    }

    /// Remembers on which terms a filter has been held up to here, if they are any and something may wait that was matched
    /// by them. If nothing waits at all, the session's cursors are past everything that was.
    fn keep_terms(&mut self, slot: u32, session: &Session, filter: &str, routed: &[Stamp]) {
        if !session.has_stored_unfinished() {
            self.superseded.forget_filter(slot, filter);
            return;
        }
        let Some((id, current)) = self.current(slot, filter) else {
            return;
        };
        let Some(since) = session.since(id) else {
            return;
        };
        let routed = routed.iter().copied();
        let until: Vec<Stamp> = routed.filter(|stamp| *stamp != Stamp::ZERO).collect();
        if until.iter().all(|stamp| *stamp <= since) {
            return;
        }
        let terms = Terms {
            options: current.options,
            identifier: (current.identifier != 0).then_some(current.identifier),
            since,
            until,
        };
        self.superseded.push(slot, filter, terms);
    }

    // What stands on disk.

    /// What a filter that is held was before.
    pub(crate) fn superseded_terms(&self, slot: u32, filter: &str) -> Vec<Terms> {
        self.superseded.of(slot, filter).to_vec()
    }

    /// Whether something is remembered of what a session's filters were.
    pub(crate) fn has_superseded_terms(&self, slot: u32) -> bool {
        self.superseded.has(slot)
    }

    /// The filters that a session has given up and that are still remembered.
    pub(crate) fn given_up_filters(&self, slot: u32) -> impl Iterator<Item = &str> {
        self.superseded.given_up_filters(slot)
    }

    /// What the store knows of a filter that was given up.
    pub(crate) fn given_up_write(&self, slot: u32, number: SessionNumber, filter: &str) -> Write {
        let key = key::subscription(number, filter);
        match self.superseded.given_up_row(slot, filter) {
            Some(record) => Write::Put {
                key,
                value: record.encode(),
            },
            None => Write::Delete { key },
        }
    }

    /// Forgets the terms that only what these cursors have passed was matched by, and writes the rows that change by it.
    pub(crate) fn forget_passed(
        &mut self,
        slot: u32,
        session: &Session,
        cursors: &[Stamp],
        writes: &mut Vec<Write>,
    ) {
        for filter in self.superseded.forget_passed(slot, None, cursors) {
            writes.push(self.subscription_write(slot, session, &filter));
        }
    }

    /// Writes the row of an ordinary filter as it stands, held or given up.
    fn subscription_write(&self, slot: u32, session: &Session, filter: &str) -> Write {
        let Some(record) = self.current_record(slot, session, filter) else {
            return self.given_up_write(slot, session.number, filter);
        };
        Write::Put {
            key: key::subscription(session.number, filter),
            value: record.encode(),
        }
    }

    /// What stands on disk of an ordinary filter that a stored session holds.
    fn current_record(&self, slot: u32, session: &Session, filter: &str) -> Option<Subscription> {
        let (id, current) = self.current(slot, filter)?;
        Some(Subscription {
            options: current.options,
            identifier: (current.identifier != 0).then_some(current.identifier),
            since: session.since(id)?,
            until: Vec::new(),
            former: self.superseded_terms(slot, filter),
        })
    }

    /// Takes back what a filter was. Whoever reads the rows has seen that they can be.
    pub(crate) fn recover_terms(&mut self, slot: u32, filter: &str, record: &Subscription) {
        self.superseded.recover(slot, filter, record);
    }

    /// The session is no more.
    pub(crate) fn forget_session(&mut self, slot: u32) {
        self.superseded.forget(slot);
        self.changes.forget(slot);
    }
}
