//! Target `shared`: shared subscriptions against a plain list of members and the naive matcher: each group that gets a
//! topic chooses exactly one, one that is ready if there is any, and all that are ready in turn.

use std::collections::{BTreeMap, BTreeSet};

use routing::{Chosen, Interest, SharedIndex, Subscriber};

use crate::feed::Feed;
use crate::naive::{self, SEEDS};

const SESSIONS: usize = 8;
const SHARDS: usize = 4;
const NAMES: [&str; 3] = ["g", "h", "\u{e9}"];

/// Steps until the bytes are used up.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World {
        index: SharedIndex::new(SEEDS),
        members: BTreeMap::new(),
        shards: BTreeMap::new(),
    };
    while !feed.is_empty() {
        match feed.byte() % 6 {
            0 | 1 => world.subscribe(&mut feed),
            2 => world.unsubscribe(&mut feed),
            3 => world.announce(&mut feed),
            _ => world.publish(&mut feed),
        }
        let members: usize = world.members.values().map(BTreeMap::len).sum();
        assert_eq!(world.index.len(), members);
    }
    world.end();
}

/// Share name and filter.
type Group = (String, String);

struct World {
    index: SharedIndex,
    members: BTreeMap<Group, BTreeMap<u32, Subscriber>>,
    shards: BTreeMap<Group, BTreeMap<u16, Interest>>,
}

impl World {
    fn group(feed: &mut Feed<'_>) -> Group {
        ((*feed.choose(&NAMES)).to_owned(), naive::filter(feed))
    }

    fn subscribe(&mut self, feed: &mut Feed<'_>) {
        let group = Self::group(feed);
        let subscriber = Subscriber {
            session: feed.below(SESSIONS) as u32,
            identifier: feed.byte().into(),
            options: feed.byte() % 3,
            durable: false,
        };
        let replaced = self.index.subscribe(&group.0, &group.1, subscriber);
        let members = self.members.entry(group.clone()).or_default();
        assert_eq!(replaced, members.insert(subscriber.session, subscriber));
        assert!(self.index.holds(&group.0, &group.1, subscriber.session));
    }

    fn unsubscribe(&mut self, feed: &mut Feed<'_>) {
        let group = match feed.byte() {
            pick if pick & 1 == 0 && !self.members.is_empty() => {
                let place = usize::from(pick >> 1) % self.members.len();
                self.members.keys().nth(place).cloned().unwrap_or_default()
            }
            _ => Self::group(feed),
        };
        let session = feed.below(SESSIONS) as u32;
        let known = self.members.get_mut(&group);
        let expected = known.and_then(|members| members.remove(&session));
        self.members.retain(|_, members| !members.is_empty());
        let removed = self.index.unsubscribe(&group.0, &group.1, session);
        assert_eq!(removed, expected);
        assert!(!self.index.holds(&group.0, &group.1, session));
    }

    fn announce(&mut self, feed: &mut Feed<'_>) {
        let group = Self::group(feed);
        let shard = 1 + feed.below(SHARDS) as u16;
        let durable = feed.flag();
        let interest = Interest {
            live: durable && feed.flag(),
            durable,
        };
        self.index.announce(&group.0, &group.1, shard, interest);
        let shards = self.shards.entry(group).or_default();
        shards.remove(&shard);
        if durable {
            shards.insert(shard, interest);
        }
        self.shards.retain(|_, shards| !shards.is_empty());
    }

    /// Publishes as often as there are candidates: each of them gets one.
    fn publish(&mut self, feed: &mut Feed<'_>) {
        let topic = naive::topic(feed);
        let ready = feed.byte();
        let is_ready = |session: u32| ready & (1 << session) != 0;
        let candidates = self.candidates(&topic, is_ready);
        let rounds = candidates.values().map(BTreeSet::len).max().unwrap_or(1);
        let mut turns: BTreeMap<Group, Vec<(u16, u32)>> = BTreeMap::new();
        for _ in 0..rounds {
            self.index.choose(&topic, is_ready, |id, name, chosen| {
                let mut filter = String::new();
                self.index.write_filter(id, &mut filter);
                let chosen = match chosen {
                    Chosen::Here(subscriber) => (0, subscriber.session),
                    Chosen::Shard(shard) => (shard, 0),
                };
                let group = (name.to_owned(), filter);
                turns.entry(group).or_default().push(chosen);
            });
        }
        assert!(
            turns.keys().eq(candidates.keys()),
            "{topic}: {turns:?} of {candidates:?}"
        );
        for (group, chosen) in &turns {
            assert_eq!(chosen.len(), rounds, "{group:?}");
            let wanted = &candidates[group];
            let turn: BTreeSet<_> = chosen[..wanted.len()].iter().copied().collect();
            assert_eq!(turn, *wanted, "{group:?} does not take turns: {chosen:?}");
        }
    }

    /// Who may get a topic, per group: those who are ready, or all when nobody is. Shard 0 is this one.
    fn candidates(
        &self,
        topic: &str,
        ready: impl Fn(u32) -> bool,
    ) -> BTreeMap<Group, BTreeSet<(u16, u32)>> {
        let mut candidates: BTreeMap<Group, BTreeSet<(u16, u32)>> = BTreeMap::new();
        for all in [false, true] {
            let mut found: BTreeMap<Group, BTreeSet<(u16, u32)>> = BTreeMap::new();
            for (group, members) in &self.members {
                let those = members.keys().filter(|session| all || ready(**session));
                let entry = found.entry(group.clone()).or_default();
                entry.extend(those.map(|session| (0, *session)));
            }
            for (group, shards) in &self.shards {
                let those = shards.iter().filter(|(_, interest)| all || interest.live);
                let entry = found.entry(group.clone()).or_default();
                // Of shards without a ready member and of ours it may be any.
                entry.extend(those.map(|(shard, _)| (*shard, 0)));
            }
            for (group, those) in found {
                if naive::matches(&group.1, topic) && !those.is_empty() {
                    candidates.entry(group).or_insert(those);
                }
            }
        }
        candidates
    }

    fn end(mut self) {
        for ((name, filter), members) in &self.members {
            for session in members.keys() {
                assert!(self.index.unsubscribe(name, filter, *session).is_some());
            }
        }
        for ((name, filter), shards) in &self.shards {
            for shard in shards.keys() {
                self.index
                    .announce(name, filter, *shard, Interest::default());
            }
        }
        assert!(self.index.is_empty());
    }
}
