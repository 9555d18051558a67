//! Shared subscriptions: groups of subscribers, possibly on several shards, of which one gets each message. It
//! takes turns among those that are free; it does not deliver, nor know by itself who is free.

use std::cell::Cell;
use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::filter_map::{FilterId, FilterMap};
use crate::keys::Keys;
use crate::remote::SHARDS_MAX;
use crate::subscriber::Subscriber;

/// Groups by filter, this shard's members and what other shards have.
#[derive(Debug)]
pub struct SharedIndex {
    filters: FilterMap<Vec<Group>>,
    /// Where each group stands.
    places: BTreeMap<GroupId, FilterId>,
    last_id: u32,
    subscriptions: usize,
}

/// Handle of a group; never given to another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);

#[derive(Debug)]
struct Group {
    id: GroupId,
    name: Box<str>,
    members: Vec<Subscriber>,
    /// What other shards have, by shard.
    elsewhere: SmallVec<[(u16, GroupInterest); 1]>,
    turn: Cell<usize>,
}

/// What one shard has of a group; the others take turns by it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct GroupInterest {
    /// Members that are connected.
    pub connected: u32,
    /// Members, connected or not.
    pub members: u32,
    /// Whether messages must be on disk for one of them.
    pub durable: bool,
}

/// Whether a member can take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Connected, with room.
    Free,
    /// Connected, and has enough to do.
    Busy,
    /// Not connected.
    Offline,
}

/// Who gets a message of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// A member on this shard that is free.
    Here(Subscriber),
    /// A member on another shard, which chooses it.
    Shard(u16),
    /// Nobody is free: a member on this shard that is connected.
    Busy(Subscriber),
    /// Nobody is connected: a member on this shard that may come back.
    Offline(Subscriber),
    /// Nobody is connected, and who may come back is on another shard.
    OfflineElsewhere(u16),
}

/// What subscribing to a group did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The group.
    pub id: GroupId,
    /// The member's earlier subscription.
    pub replaced: Option<Subscriber>,
}

impl SharedIndex {
    /// An empty index; `seeds` are the secret keys of its hash tables.
    pub fn new(seeds: [u64; 4]) -> Self {
        Self {
            filters: FilterMap::new(Keys::new(seeds)),
            places: BTreeMap::new(),
            last_id: 0,
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
    pub fn subscribe(&mut self, name: &str, filter: &str, subscriber: Subscriber) -> Joined {
        let group = self.group_mut(name, filter);
        let id = group.id;
        let known = group
            .members
            .iter_mut()
            .find(|member| member.session == subscriber.session);
        if let Some(known) = known {
            let replaced = Some(std::mem::replace(known, subscriber));
            return Joined { id, replaced };
        }
        group.members.push(subscriber);
        self.subscriptions += 1;
        Joined { id, replaced: None }
    }

    /// Takes a member out of a group.
    pub fn unsubscribe(&mut self, id: GroupId, session: u32) -> Option<Subscriber> {
        let place = *self.places.get(&id)?;
        let groups = self.filters.value_mut(place);
        let group = groups.iter_mut().find(|group| group.id == id)?;
        let member = group.place_of(session)?;
        let removed = group.members.remove(member);
        self.subscriptions -= 1;
        self.forget_empty(place);
        Some(removed)
    }

    /// What this shard has to tell the others about a group.
    pub fn interest(&self, id: GroupId, connected: impl Fn(u32) -> bool) -> GroupInterest {
        let members = self.group(id).map_or(&[][..], |group| &group.members);
        let connected = members.iter().filter(|member| connected(member.session));
        GroupInterest {
            connected: connected.count() as u32,
            members: members.len() as u32,
            durable: members.iter().any(|member| member.durable),
        }
    }

    /// Replaces what is known of another shard's members of a group, which may end with it.
    ///
    /// # Panics
    /// When the shard's number is not below [`SHARDS_MAX`].
    pub fn announce(
        &mut self,
        name: &str,
        filter: &str,
        shard: u16,
        interest: GroupInterest,
    ) -> GroupId {
        assert!(shard < SHARDS_MAX, "no such shard: {shard}");
        let group = self.group_mut(name, filter);
        let id = group.id;
        group.elsewhere.retain(|(known, _)| *known != shard);
        if interest.members > 0 {
            let place = group.elsewhere.partition_point(|(known, _)| *known < shard);
            group.elsewhere.insert(place, (shard, interest));
        }
        if let Some(place) = self.places.get(&id).copied() {
            self.forget_empty(place);
        }
        id
    }

    /// The group of this name and filter.
    pub fn id(&self, name: &str, filter: &str) -> Option<GroupId> {
        let groups = self.filters.value(self.filters.find(filter)?)?;
        let group = groups.iter().find(|group| *group.name == *name)?;
        Some(group.id)
    }

    /// Whether a group has members, here or elsewhere.
    pub fn exists(&self, id: GroupId) -> bool {
        self.places.contains_key(&id)
    }

    /// How members subscribe to a group: `$share/<name>/<filter>`. `None` when it has ended.
    pub fn text(&self, id: GroupId) -> Option<String> {
        let place = *self.places.get(&id)?;
        let mut text = format!("$share/{}/", self.group(id)?.name);
        self.filters.write_filter(place, &mut text);
        Some(text)
    }

    /// The members of a group on this shard.
    pub fn members(&self, id: GroupId) -> &[Subscriber] {
        self.group(id).map_or(&[], |group| &group.members)
    }

    /// A session's membership of a group.
    pub fn member(&self, id: GroupId, session: u32) -> Option<&Subscriber> {
        let group = self.group(id)?;
        Some(&group.members[group.place_of(session)?])
    }

    /// The groups that get a topic and whose messages must be on disk.
    pub fn durable(&self, topic: &str, mut visit: impl FnMut(GroupId)) {
        if self.is_empty() {
            return;
        }
        self.filters.matches(topic, |_, groups| {
            for group in groups.iter().filter(|group| group.is_durable()) {
                visit(group.id);
            }
        });
    }

    /// Chooses, for each group that gets the topic, who gets it: in turn among those who are free, or else among
    /// those who are connected, or else among all.
    pub fn choose(
        &self,
        topic: &str,
        standing: impl Fn(u32) -> Standing,
        mut visit: impl FnMut(GroupId, Chosen),
    ) {
        self.filters.matches(topic, |_, groups| {
            for group in groups {
                if let Some(chosen) = group.choose(&standing, true) {
                    visit(group.id, chosen);
                }
            }
        });
    }

    /// Chooses for one group.
    pub fn choose_of(&self, id: GroupId, standing: impl Fn(u32) -> Standing) -> Option<Chosen> {
        self.group(id)?.choose(&standing, true)
    }

    /// Chooses for one group among the members of this shard, if it has any.
    pub fn choose_here(&self, id: GroupId, standing: impl Fn(u32) -> Standing) -> Option<Chosen> {
        self.group(id)?.choose(&standing, false)
    }

    /// Another shard with a connected member of the group.
    pub fn connected_elsewhere(&self, id: GroupId) -> Option<u16> {
        let group = self.group(id)?;
        let mut elsewhere = group.elsewhere.iter();
        let found = elsewhere.find(|(_, interest)| interest.connected > 0);
        found.map(|(shard, _)| *shard)
    }

    fn group(&self, id: GroupId) -> Option<&Group> {
        let groups = self.filters.value(*self.places.get(&id)?)?;
        groups.iter().find(|group| group.id == id)
    }

    fn group_mut(&mut self, name: &str, filter: &str) -> &mut Group {
        let place = self.filters.find_or_insert(filter);
        let groups = self.filters.value_mut(place);
        let known = groups.iter().position(|group| *group.name == *name);
        let known = known.unwrap_or_else(|| {
            self.last_id += 1;
            let id = GroupId(self.last_id);
            self.places.insert(id, place);
            groups.push(Group {
                id,
                name: name.into(),
                members: Vec::new(),
                elsewhere: SmallVec::new(),
                turn: Cell::new(0),
            });
            groups.len() - 1
        });
        &mut groups[known]
    }

    fn forget_empty(&mut self, place: FilterId) {
        let groups = self.filters.value_mut(place);
        groups.retain(|group| {
            let stays = !group.members.is_empty() || !group.elsewhere.is_empty();
            if !stays {
                self.places.remove(&group.id);
            }
            stays
        });
        if groups.is_empty() {
            self.filters.remove(place);
        }
    }
}

impl Group {
    fn place_of(&self, session: u32) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.session == session)
    }

    fn is_durable(&self) -> bool {
        let mut elsewhere = self.elsewhere.iter();
        self.members.iter().any(|member| member.durable)
            || elsewhere.any(|(_, interest)| interest.durable)
    }

    fn choose(&self, standing: &impl Fn(u32) -> Standing, everywhere: bool) -> Option<Chosen> {
        let elsewhere: &[(u16, GroupInterest)] = if everywhere { &self.elsewhere } else { &[] };
        let connected = |interest: &GroupInterest| interest.connected as usize;
        let members = |interest: &GroupInterest| interest.members as usize;
        let free = |slot| standing(slot) == Standing::Free;
        let busy = |slot| standing(slot) == Standing::Busy;
        if let Some(place) = self.take(elsewhere, connected, free) {
            return Some(match place {
                Place::Member(member) => Chosen::Here(member),
                Place::Shard(shard) => Chosen::Shard(shard),
            });
        }
        if let Some(Place::Member(member)) = self.take(&[], connected, busy) {
            return Some(Chosen::Busy(member));
        }
        let place = self.take(elsewhere, members, |_| true)?;
        Some(match place {
            Place::Member(member) => Chosen::Offline(member),
            Place::Shard(shard) => Chosen::OfflineElsewhere(shard),
        })
    }

    /// The next of those who take part, from where the turn stands.
    fn take(
        &self,
        elsewhere: &[(u16, GroupInterest)],
        weight: impl Fn(&GroupInterest) -> usize,
        takes_part: impl Fn(u32) -> bool,
    ) -> Option<Place> {
        let there: usize = elsewhere.iter().map(|(_, interest)| weight(interest)).sum();
        let count = self.members.len() + there;
        for step in 0..count {
            let place = (self.turn.get() + step) % count;
            let Some(member) = self.members.get(place) else {
                self.turn.set(place + 1);
                return shard_at(elsewhere, weight, place - self.members.len()).map(Place::Shard);
            };
            if takes_part(member.session) {
                self.turn.set(place + 1);
                return Some(Place::Member(*member));
            }
        }
        None
    }
}

/// The shard that has the `place`th of the members elsewhere.
fn shard_at(
    elsewhere: &[(u16, GroupInterest)],
    weight: impl Fn(&GroupInterest) -> usize,
    mut place: usize,
) -> Option<u16> {
    for (shard, interest) in elsewhere {
        let weight = weight(interest);
        if place < weight {
            return Some(*shard);
        }
        place -= weight;
    }
    None
}

enum Place {
    Member(Subscriber),
    Shard(u16),
}
