//! Target `shared`: shared subscriptions against a plain list of members and the naive matcher: each group that gets a
//! topic chooses exactly one, one that is ready if there is any, and all that are ready in turn.

use std::collections::{BTreeMap, BTreeSet};

use routing::{Chosen, GroupInterest, SharedIndex, Standing, Subscriber};

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
    shards: BTreeMap<Group, BTreeMap<u16, GroupInterest>>,
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
        let joined = self.index.subscribe(&group.0, &group.1, subscriber);
        let members = self.members.entry(group.clone()).or_default();
        let replaced = members.insert(subscriber.session, subscriber);
        assert_eq!(joined.replaced, replaced);
        assert_eq!(self.index.id(&group.0, &group.1), Some(joined.id));
        let member = self.index.member(joined.id, subscriber.session);
        assert_eq!(member, Some(&subscriber));
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
        let id = self.index.id(&group.0, &group.1);
        let removed = id.and_then(|id| self.index.unsubscribe(id, session));
        assert_eq!(removed, expected);
        assert!(id.is_none_or(|id| self.index.member(id, session).is_none()));
    }

    fn announce(&mut self, feed: &mut Feed<'_>) {
        let group = Self::group(feed);
        let shard = 1 + feed.below(SHARDS) as u16;
        let present = feed.flag();
        let interest = GroupInterest {
            connected: (present && feed.flag()).into(),
            members: present.into(),
            durable: false,
        };
        self.index.announce(&group.0, &group.1, shard, interest);
        let shards = self.shards.entry(group).or_default();
        shards.remove(&shard);
        if present {
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
            let standing = |session| match is_ready(session) {
                true => Standing::Free,
                false => Standing::Offline,
            };
            self.index.choose(&topic, standing, |id, chosen| {
                let text = self.index.text(id).expect("a group that is there");
                let (name, filter) = mqtt_codec::topic::shared(&text).expect("a shared filter");
                let chosen = match chosen {
                    Chosen::Here(subscriber) | Chosen::Offline(subscriber) => {
                        (0, subscriber.session)
                    }
                    Chosen::Shard(shard) | Chosen::OfflineElsewhere(shard) => (shard, 0),
                    Chosen::Busy(_) => panic!("nobody is busy"),
                };
                let group = (name.to_owned(), filter.to_owned());
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
                let those = shards
                    .iter()
                    .filter(|(_, interest)| all || interest.connected > 0);
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
                let id = self.index.id(name, filter).expect("it has members");
                assert!(self.index.unsubscribe(id, *session).is_some());
            }
        }
        for ((name, filter), shards) in &self.shards {
            for shard in shards.keys() {
                self.index
                    .announce(name, filter, *shard, GroupInterest::default());
            }
        }
        assert!(self.index.is_empty());
    }
}
