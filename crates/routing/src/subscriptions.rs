//! The subscriptions of one shard's sessions: who receives a topic here, and what other shards must be told. It
//! keeps no list per session: a session keeps the ids of its own filters.

use crate::collect::{Match, join_sessions};
use crate::filter_map::{FilterId, FilterMap};
use crate::keys::Keys;
use crate::roster::Subscribers;
use crate::subscriber::{Interest, Subscriber};

/// Subscriptions by filter.
#[derive(Debug)]
pub struct SubscriptionIndex {
    filters: FilterMap<Subscribers>,
    subscriptions: usize,
    durable: usize,
}

/// What subscribing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// Handle of the filter, for the session to keep.
    pub id: FilterId,
    /// The session's earlier subscription to the same filter. [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3]
    pub replaced: Option<Subscriber>,
    /// The shard's interest in the filter if it has changed.
    pub interest: Option<Interest>,
}

/// What unsubscribing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribed {
    /// The subscription that ended.
    pub removed: Subscriber,
    /// The shard's interest in the filter if it has changed.
    pub interest: Option<Interest>,
}

impl SubscriptionIndex {
    /// An empty index; `seeds` are the secret keys of its hash tables.
    pub fn new(seeds: [u64; 4]) -> Self {
        Self {
            filters: FilterMap::new(Keys::new(seeds)),
            subscriptions: 0,
            durable: 0,
        }
    }

    /// Subscriptions.
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    /// Whether there are no subscriptions.
    pub fn is_empty(&self) -> bool {
        self.subscriptions == 0
    }

    /// Filters with at least one subscriber.
    pub fn filters(&self) -> usize {
        self.filters.len()
    }

    /// Adds a subscription or replaces the session's earlier one to the same filter.
    pub fn subscribe(&mut self, filter: &str, subscriber: Subscriber) -> Subscribed {
        let id = self.filters.find_or_insert(filter);
        let subscribers = self.filters.value_mut(id);
        let before = subscribers.interest();
        let replaced = subscribers.insert(subscriber);
        let interest = changed(before, subscribers.interest());
        self.subscriptions += usize::from(replaced.is_none());
        self.durable += usize::from(subscriber.durable);
        self.durable -= usize::from(replaced.is_some_and(|replaced| replaced.durable));
        Subscribed {
            id,
            replaced,
            interest,
        }
    }

    /// Ends a session's subscription to exactly this filter, if it has one. [3.1.1 MQTT-3.10.4-1]
    pub fn unsubscribe(&mut self, filter: &str, session: u32) -> Option<Unsubscribed> {
        self.unsubscribe_id(self.filters.find(filter)?, session)
    }

    /// Ends a session's subscription to the filter of this id, if it has one.
    pub fn unsubscribe_id(&mut self, id: FilterId, session: u32) -> Option<Unsubscribed> {
        self.subscriber(id, session)?;
        let subscribers = self.filters.value_mut(id);
        let before = subscribers.interest();
        let removed = subscribers.remove(session)?;
        let after = subscribers.interest();
        if !after.live {
            self.filters.remove(id);
        }
        self.subscriptions -= 1;
        self.durable -= usize::from(removed.durable);
        Some(Unsubscribed {
            removed,
            interest: changed(before, after),
        })
    }

    /// Says whether a subscription is durable from now on; the shard's interest in the filter if that changed.
    pub fn set_durable(&mut self, id: FilterId, session: u32, durable: bool) -> Option<Interest> {
        let present = *self.subscriber(id, session)?;
        let subscribers = self.filters.value_mut(id);
        let before = subscribers.interest();
        subscribers.insert(Subscriber { durable, ..present });
        let after = subscribers.interest();
        self.durable += usize::from(durable);
        self.durable -= usize::from(present.durable);
        changed(before, after)
    }

    /// The id of a filter in use.
    pub fn id(&self, filter: &str) -> Option<FilterId> {
        self.filters.find(filter)
    }

    /// A session's subscription to the filter of an id.
    pub fn subscriber(&self, id: FilterId, session: u32) -> Option<&Subscriber> {
        self.filters.value(id)?.find(session)
    }

    /// Appends the filter of an id in use to `text`.
    pub fn write_filter(&self, id: FilterId, text: &mut String) {
        self.filters.write_filter(id, text);
    }

    /// The filter of an id in use.
    pub fn filter(&self, id: FilterId) -> String {
        let mut text = String::new();
        self.write_filter(id, &mut text);
        text
    }

    /// The shard's interest in a filter.
    pub fn interest(&self, filter: &str) -> Interest {
        let subscribers = self
            .filters
            .find(filter)
            .and_then(|id| self.filters.value(id));
        subscribers.map_or(Interest::default(), Subscribers::interest)
    }

    /// Visits the subscribers of each filter that matches the topic. A session with several such filters comes
    /// several times.
    pub fn matches(&self, topic: &str, visit: &mut impl FnMut(FilterId, &[Subscriber])) {
        self.filters
            .matches(topic, |id, subscribers| visit(id, subscribers.as_slice()));
    }

    /// Replaces `matches` by the sessions that receive the topic, each once. With one matching filter they come
    /// in the filter's order, with several in the order of sessions.
    pub fn collect(&self, topic: &str, matches: &mut Vec<Match>) {
        self.collect_where(topic, matches, |_| true);
    }

    /// Like [`Self::collect`], for a message published by a session of this shard: its subscriptions with the
    /// no local option do not take part. [5 MQTT-3.8.3-3]
    pub fn collect_from(&self, publisher: u32, topic: &str, matches: &mut Vec<Match>) {
        self.collect_where(topic, matches, |subscriber| {
            subscriber.session != publisher || !subscriber.no_local()
        });
    }

    /// Whether a durable subscription matches the topic.
    pub fn has_durable(&self, topic: &str) -> bool {
        let mut durable = false;
        if self.durable > 0 {
            self.filters.matches(topic, |_, subscribers| {
                durable |= subscribers.interest().durable
            });
        }
        durable
    }

    fn collect_where(
        &self,
        topic: &str,
        matches: &mut Vec<Match>,
        takes: impl Fn(&Subscriber) -> bool,
    ) {
        matches.clear();
        let mut filters = 0;
        self.filters.matches(topic, |_, subscribers| {
            filters += 1;
            matches.extend(
                subscribers
                    .as_slice()
                    .iter()
                    .filter(|one| takes(one))
                    .map(Match::from),
            );
        });
        if filters > 1 {
            join_sessions(matches);
        }
    }
}

fn changed(before: Interest, after: Interest) -> Option<Interest> {
    (before != after).then_some(after)
}
