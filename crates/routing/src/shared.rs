//! Shared subscriptions: groups of subscribers, possibly on several shards, of which one gets each message. It
//! takes turns among those that are ready; it does not deliver, nor know when a subscriber is ready.

use std::cell::Cell;

use crate::filter_map::{FilterId, FilterMap};
use crate::keys::Keys;
use crate::remote::SHARDS_MAX;
use crate::subscriber::{Interest, Subscriber};

/// Groups by filter, this shard's members and what other shards have.
#[derive(Debug)]
pub struct SharedIndex {
    filters: FilterMap<Vec<Group>>,
    subscriptions: usize,
}

#[derive(Debug)]
struct Group {
    name: Box<str>,
    members: Vec<Subscriber>,
    /// Other shards with a member that is ready, and with any member; bit `n` is shard `n`.
    ready_shards: u64,
    member_shards: u64,
    turn: Cell<usize>,
}

/// Who gets a message of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// A member on this shard.
    Here(Subscriber),
    /// A member on another shard, which chooses it.
    Shard(u16),
}

impl SharedIndex {
    /// An empty index; `seeds` are the secret keys of its hash tables.
    pub fn new(seeds: [u64; 4]) -> Self {
        Self {
            filters: FilterMap::new(Keys::new(seeds)),
            subscriptions: 0,
        }
    }

    /// Members on this shard.
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    /// Whether no group has members, here or elsewhere.
    pub fn is_empty(&self) -> bool {
        self.filters.len() == 0
    }

    /// Adds a member to a group, or replaces its earlier subscription.
    pub fn subscribe(
        &mut self,
        name: &str,
        filter: &str,
        subscriber: Subscriber,
    ) -> Option<Subscriber> {
        let group = self.group_mut(name, filter);
        let known = group
            .members
            .iter_mut()
            .find(|member| member.session == subscriber.session);
        if let Some(known) = known {
            return Some(std::mem::replace(known, subscriber));
        }
        group.members.push(subscriber);
        self.subscriptions += 1;
        None
    }

    /// Takes a member out of a group.
    pub fn unsubscribe(&mut self, name: &str, filter: &str, session: u32) -> Option<Subscriber> {
        let id = self.filters.find(filter)?;
        let group = self
            .filters
            .value_mut(id)
            .iter_mut()
            .find(|group| *group.name == *name)?;
        let place = group
            .members
            .iter()
            .position(|member| member.session == session)?;
        let removed = group.members.remove(place);
        self.subscriptions -= 1;
        self.forget_empty(id);
        Some(removed)
    }

    /// What this shard has to tell the others about a group: whether a member is ready (live), and whether there
    /// is any (durable).
    pub fn interest(&self, name: &str, filter: &str, ready: impl Fn(u32) -> bool) -> Interest {
        let members = self
            .group(name, filter)
            .map_or(&[][..], |group| &group.members);
        Interest {
            live: members.iter().any(|member| ready(member.session)),
            durable: !members.is_empty(),
        }
    }

    /// Replaces what is known of another shard's members of a group.
    ///
    /// # Panics
    /// When the shard's number is not below [`SHARDS_MAX`].
    pub fn announce(&mut self, name: &str, filter: &str, shard: u16, interest: Interest) {
        assert!(shard < SHARDS_MAX, "no such shard: {shard}");
        let bit = 1 << shard;
        let group = self.group_mut(name, filter);
        group.ready_shards &= !bit;
        group.member_shards &= !bit;
        if interest.live {
            group.ready_shards |= bit;
        }
        if interest.durable {
            group.member_shards |= bit;
        }
        if let Some(id) = self.filters.find(filter) {
            self.forget_empty(id);
        }
    }

    /// Chooses, for each group that gets the topic, who gets it: in turn among those who are ready, or among all
    /// when nobody is.
    pub fn choose(
        &self,
        topic: &str,
        ready: impl Fn(u32) -> bool,
        mut visit: impl FnMut(FilterId, &str, Chosen),
    ) {
        self.filters.matches(topic, |id, groups| {
            for group in groups {
                let chosen = group
                    .choose(group.ready_shards, &ready)
                    .or_else(|| group.choose(group.member_shards, |_| true));
                if let Some(chosen) = chosen {
                    visit(id, &group.name, chosen);
                }
            }
        });
    }

    /// Chooses among the members on this shard.
    pub fn choose_here(
        &self,
        name: &str,
        filter: &str,
        ready: impl Fn(u32) -> bool,
    ) -> Option<Subscriber> {
        let group = self.group(name, filter)?;
        match group
            .choose(0, &ready)
            .or_else(|| group.choose(0, |_| true))?
        {
            Chosen::Here(subscriber) => Some(subscriber),
            Chosen::Shard(_) => None,
        }
    }

    /// Appends the filter of an id in use to `text`.
    pub fn write_filter(&self, id: FilterId, text: &mut String) {
        self.filters.write_filter(id, text);
    }

    /// Whether a session is a member of a group.
    pub fn holds(&self, name: &str, filter: &str, session: u32) -> bool {
        self.group(name, filter)
            .is_some_and(|group| group.members.iter().any(|member| member.session == session))
    }

    fn group(&self, name: &str, filter: &str) -> Option<&Group> {
        let groups = self.filters.value(self.filters.find(filter)?)?;
        groups.iter().find(|group| *group.name == *name)
    }

    fn group_mut(&mut self, name: &str, filter: &str) -> &mut Group {
        let id = self.filters.find_or_insert(filter);
        let groups = self.filters.value_mut(id);
        let place = groups.iter().position(|group| *group.name == *name);
        let place = place.unwrap_or_else(|| {
            groups.push(Group {
                name: name.into(),
                members: Vec::new(),
                ready_shards: 0,
                member_shards: 0,
                turn: Cell::new(0),
            });
            groups.len() - 1
        });
        &mut groups[place]
    }

    fn forget_empty(&mut self, id: FilterId) {
        let groups = self.filters.value_mut(id);
        groups.retain(|group| {
            !group.members.is_empty() || group.ready_shards != 0 || group.member_shards != 0
        });
        if groups.is_empty() {
            self.filters.remove(id);
        }
    }
}

impl Group {
    fn choose(&self, shards: u64, ready: impl Fn(u32) -> bool) -> Option<Chosen> {
        let here = || self.members.iter().filter(|member| ready(member.session));
        let count_here = here().count();
        let count = count_here + shards.count_ones() as usize;
        if count == 0 {
            return None;
        }
        let turn = self.turn.get() % count;
        self.turn.set(turn + 1);
        if let Some(member) = here().nth(turn) {
            return Some(Chosen::Here(*member));
        }
        (0..SHARDS_MAX)
            .filter(|shard| shards & (1 << shard) != 0)
            .nth(turn - count_here)
            .map(Chosen::Shard)
    }
}
