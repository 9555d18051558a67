//! Target `subscriptions`: the subscription index and the other shards' interest against plain lists and the naive
//! matcher, with unsubscribes in between.

use std::collections::BTreeMap;

use routing::{
    FilterId, Interest, Match, RemoteIndex, RemoteMatch, SHARDS_MAX, Subscriber, SubscriptionIndex,
};

use crate::feed::Feed;
use crate::naive::{self, SEEDS};

const SESSIONS: usize = 6;
const NO_LOCAL: u8 = 4;
const RETAIN_AS_PUBLISHED: u8 = 8;

/// Steps until the bytes are used up.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World {
        index: SubscriptionIndex::new(SEEDS),
        model: BTreeMap::new(),
        remote: RemoteIndex::new(SEEDS),
        interests: BTreeMap::new(),
    };
    while !feed.is_empty() {
        match feed.byte() % 8 {
            0 | 1 => world.subscribe(&mut feed),
            2 => world.unsubscribe(&mut feed),
            3 => world.unsubscribe_by_id(&mut feed),
            4 => world.set_durable(&mut feed),
            5 => world.announce(&mut feed),
            _ => world.publish(&mut feed),
        }
        assert_eq!(world.index.len(), world.model.len());
    }
    world.end();
}

struct World {
    index: SubscriptionIndex,
    /// Subscriptions by filter and session.
    model: BTreeMap<(String, u32), (FilterId, Subscriber)>,
    remote: RemoteIndex,
    interests: BTreeMap<(String, u16), Interest>,
}

/// What a session must get: QoS, no local, retain as published, durable, sorted identifiers.
type Expected = BTreeMap<u32, (u8, bool, bool, bool, Vec<u32>)>;

impl World {
    fn subscribe(&mut self, feed: &mut Feed<'_>) {
        let filter = naive::filter(feed);
        let shape = feed.byte();
        let subscriber = Subscriber {
            session: feed.below(SESSIONS) as u32,
            identifier: u32::from(shape >> 6),
            options: (shape % 3) | (feed.byte() & (NO_LOCAL | RETAIN_AS_PUBLISHED | 0x30)),
            durable: shape & 0x20 != 0,
        };
        let before = self.interest(&filter);
        let done = self.index.subscribe(&filter, subscriber);
        let key = (filter.clone(), subscriber.session);
        let replaced = self.model.insert(key, (done.id, subscriber));
        assert_eq!(done.replaced, replaced.map(|(_, replaced)| replaced));
        assert_eq!(done.interest, change(before, self.interest(&filter)));
        assert_eq!(self.index.filter(done.id), filter);
    }

    fn unsubscribe(&mut self, feed: &mut Feed<'_>) {
        let filter = naive::filter(feed);
        let session = feed.below(SESSIONS) as u32;
        let before = self.interest(&filter);
        let removed = self.model.remove(&(filter.clone(), session));
        let done = self.index.unsubscribe(&filter, session);
        assert_eq!(
            done.map(|done| done.removed),
            removed.map(|(_, removed)| removed)
        );
        let reported = done.and_then(|done| done.interest);
        assert_eq!(reported, change(before, self.interest(&filter)));
    }

    fn nth(&self, feed: &mut Feed<'_>) -> Option<((String, u32), FilterId)> {
        let pick = feed.byte();
        let place = usize::from(pick).checked_rem(self.model.len())?;
        let (key, (id, _)) = self.model.iter().nth(place)?;
        Some((key.clone(), *id))
    }

    fn unsubscribe_by_id(&mut self, feed: &mut Feed<'_>) {
        let Some(((filter, session), id)) = self.nth(feed) else {
            return;
        };
        let removed = self
            .model
            .remove(&(filter, session))
            .map(|(_, removed)| removed);
        let done = self.index.unsubscribe_id(id, session);
        assert_eq!(done.map(|done| done.removed), removed);
        assert_eq!(self.index.unsubscribe_id(id, session), None);
    }

    fn set_durable(&mut self, feed: &mut Feed<'_>) {
        let Some(((filter, session), id)) = self.nth(feed) else {
            return;
        };
        let durable = feed.flag();
        let before = self.interest(&filter);
        if let Some((_, subscriber)) = self.model.get_mut(&(filter.clone(), session)) {
            subscriber.durable = durable;
        }
        let after = self.interest(&filter);
        assert_eq!(
            self.index.set_durable(id, session, durable),
            change(before, after)
        );
    }

    fn announce(&mut self, feed: &mut Feed<'_>) {
        let filter = naive::filter(feed);
        let shard = feed.byte() as u16 % SHARDS_MAX;
        let live = feed.flag();
        let interest = Interest {
            live,
            durable: live && feed.flag(),
        };
        self.remote.announce(&filter, shard, interest);
        if live {
            self.interests.insert((filter, shard), interest);
        } else {
            self.interests.remove(&(filter, shard));
        }
    }

    fn publish(&mut self, feed: &mut Feed<'_>) {
        let topic = naive::topic(feed);
        let publisher = feed.below(SESSIONS) as u32;
        let mut matches = Vec::new();
        self.index.collect(&topic, &mut matches);
        assert_eq!(found(&matches), self.expected(&topic, None), "{topic}");
        self.index.collect_from(publisher, &topic, &mut matches);
        assert_eq!(
            found(&matches),
            self.expected(&topic, Some(publisher)),
            "{topic} from {publisher}"
        );
        let durable = self
            .model
            .iter()
            .any(|((filter, _), (_, one))| one.durable && naive::matches(filter, &topic));
        assert_eq!(self.index.has_durable(&topic), durable, "{topic}");
        let mut expected = RemoteMatch::default();
        for ((filter, shard), interest) in &self.interests {
            if naive::matches(filter, &topic) {
                expected.shards |= 1 << shard;
                expected.durable |= interest.durable;
            }
        }
        assert_eq!(self.remote.matches(&topic), expected, "{topic}");
    }

    fn expected(&self, topic: &str, publisher: Option<u32>) -> Expected {
        let mut sessions = Expected::new();
        for ((filter, session), (_, subscriber)) in &self.model {
            let options = subscriber.options;
            let own = publisher == Some(*session) && options & NO_LOCAL != 0;
            if own || !naive::matches(filter, topic) {
                continue;
            }
            let entry = sessions
                .entry(*session)
                .or_insert((0, true, false, false, Vec::new()));
            entry.0 = entry.0.max(options & 3);
            entry.1 &= options & NO_LOCAL != 0;
            entry.2 |= options & RETAIN_AS_PUBLISHED != 0;
            entry.3 |= subscriber.durable;
            let identifier = (subscriber.identifier != 0).then_some(subscriber.identifier);
            entry.4.extend(identifier);
            entry.4.sort_unstable();
        }
        sessions
    }

    fn interest(&self, filter: &str) -> Interest {
        let mut interest = Interest::default();
        for ((known, _), (_, subscriber)) in &self.model {
            if known == filter {
                interest.live = true;
                interest.durable |= subscriber.durable;
            }
        }
        interest
    }

    /// Everything is as the lists say, and when it is taken out nothing is left.
    fn end(mut self) {
        for ((filter, session), (id, subscriber)) in &self.model {
            assert_eq!(self.index.filter(*id), *filter);
            assert_eq!(self.index.subscriber(*id, *session), Some(subscriber));
            assert_eq!(self.index.interest(filter), self.interest(filter));
        }
        for (filter, session) in self.model.keys() {
            assert!(self.index.unsubscribe(filter, *session).is_some());
        }
        assert_eq!((self.index.len(), self.index.filters()), (0, 0));
        for (filter, shard) in self.interests.keys() {
            self.remote.announce(filter, *shard, Interest::default());
        }
        assert!(self.remote.is_empty());
    }
}

/// The change that must have been reported.
fn change(before: Interest, after: Interest) -> Option<Interest> {
    (before != after).then_some(after)
}

fn found(matches: &[Match]) -> Expected {
    let mut sessions = Expected::new();
    for found in matches {
        let mut identifiers = found.identifiers().to_vec();
        identifiers.sort_unstable();
        let flags = (
            found.no_local(),
            found.retain_as_published(),
            found.durable(),
        );
        let entry = (found.qos(), flags.0, flags.1, flags.2, identifiers);
        let before = sessions.insert(found.session, entry);
        assert!(before.is_none(), "session {} twice", found.session);
    }
    sessions
}
