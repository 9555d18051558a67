//! Shared subscriptions: which of a group's sessions gets a message, here or on another shard. Ordinary groups
//! stand in an index; those under `im/` belong to an account, whose devices take turns.
//!
//! A share is served live: its members' waiting messages are kept in memory, not in the store, and an `im/`
//! share gets what is delivered while one of its devices is connected. What it misses stays in the
//! conversations, where a device finds it with `ask sync`.

use std::sync::Arc;

use mqtt_codec::{QoS, topic};
use records::{AccountId, Millis, Pos};
use routing::{Chosen, Interest, Match, Subscriber};

use crate::deliver::Publication;
use crate::door::{Announcement, ChatDelivery, Output};
use crate::message::{Message, Origin};
use crate::messenger::{is_chat, wanted};
use crate::shard::Shard;

/// Where else devices of an account that share a filter under `im/` are connected.
#[derive(Debug)]
pub(crate) struct ChatShare {
    pub(crate) name: Box<str>,
    pub(crate) filter: Box<str>,
    /// Other shards with a connected device; bit `n` is shard `n`.
    shards: u64,
}

/// A group on another shard that is to get a message: the shard, and `$share/<name>/<filter>`.
pub(crate) type Elsewhere = Vec<(u16, Box<str>)>;

impl Shard {
    // Ordinary topics.

    /// Enters a session into a group; true when it replaced a subscription.
    pub(crate) fn join_share(&mut self, slot: u32, filter: &str, subscriber: Subscriber) -> bool {
        let Some((name, plain)) = topic::shared(filter) else {
            return false;
        };
        let replaced = self.shared.subscribe(name, plain, subscriber).is_some();
        if !replaced {
            self.sessions[slot as usize].shares.push(filter.into());
        }
        replaced
    }

    /// Takes a session out of a group; false when it was not in it.
    pub(crate) fn leave_share(&mut self, slot: u32, filter: &str, now: Millis) -> bool {
        let Some((name, plain)) = topic::shared(filter) else {
            return false;
        };
        if self.shared.unsubscribe(name, plain, slot).is_none() {
            return false;
        }
        let shares = &mut self.sessions[slot as usize].shares;
        if let Some(place) = shares.iter().position(|known| &**known == filter) {
            shares.swap_remove(place);
        }
        self.announce_share(filter, now);
        true
    }

    /// Tells the other shards who of a group is here.
    pub(crate) fn announce_share(&mut self, filter: &str, now: Millis) {
        let Some((name, plain)) = topic::shared(filter).filter(|_| self.shards > 1) else {
            return;
        };
        let ready = |slot| self.open_connection(slot).is_some();
        let interest = self.shared.interest(name, plain, ready);
        self.announce(filter, interest, now);
    }

    /// A session has come or gone: its groups are told.
    pub(crate) fn announce_shares(&mut self, slot: u32, now: Millis) {
        if self.shards == 1 {
            return;
        }
        for filter in self.sessions[slot as usize].shares.clone() {
            self.announce_share(&filter, now);
        }
        self.announce_chat_shares(slot, now);
    }

    /// Delivers to one member of each group that gets the topic, and returns the groups whose turn it is on
    /// another shard.
    pub(crate) fn deliver_shared(&mut self, publication: &mut Publication<'_>) -> Elsewhere {
        let mut elsewhere = Vec::new();
        if self.shared.is_empty() {
            return elsewhere;
        }
        let mut here = Vec::new();
        let ready = |slot| self.open_connection(slot).is_some();
        let name = publication.view.topic;
        self.shared
            .choose(name, ready, |id, group, chosen| match chosen {
                Chosen::Here(subscriber) => here.push(subscriber),
                Chosen::Shard(shard) => {
                    let mut filter = format!("$share/{group}/");
                    self.shared.write_filter(id, &mut filter);
                    elsewhere.push((shard, filter.into()));
                }
            });
        for subscriber in here {
            self.deliver_to_member(&subscriber, publication);
        }
        elsewhere
    }

    /// Another shard has found that it is this shard's turn.
    pub(crate) fn deliver_shared_here(&mut self, filter: &str, publication: &mut Publication<'_>) {
        let Some((name, plain)) = topic::shared(filter) else {
            return;
        };
        let ready = |slot| self.open_connection(slot).is_some();
        if let Some(subscriber) = self.shared.choose_here(name, plain, ready) {
            self.deliver_to_member(&subscriber, publication);
        }
    }

    fn deliver_to_member(&mut self, subscriber: &Subscriber, publication: &mut Publication<'_>) {
        // Which member it went to is remembered in memory only.
        let stamp = publication.stamp.take();
        self.deliver_match(&Match::from(subscriber), publication);
        publication.stamp = stamp;
    }

    // The messenger.

    /// An account's devices share a filter, or do so no longer: the other shards are told.
    pub(crate) fn announce_chat_shares(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot as usize];
        let (Some(account), Some(chat)) = (session.account, &session.chat) else {
            return;
        };
        let held: Vec<(Box<str>, Box<str>)> = chat
            .filters
            .iter()
            .filter_map(|known| Some((known.share.clone()?, known.filter.clone())))
            .collect();
        for (name, filter) in held {
            self.announce_chat_share(account, &name, &filter, now);
        }
    }

    pub(crate) fn announce_chat_share(
        &mut self,
        account: AccountId,
        name: &str,
        filter: &str,
        now: Millis,
    ) {
        if !self.has_chat_share(account, name, filter) {
            let shares = self.chat_shares.entry(account).or_default();
            shares.push(ChatShare {
                name: name.into(),
                filter: filter.into(),
                shards: 0,
            });
        }
        let interest = Interest {
            live: !self.sharing(account, name, filter).is_empty(),
            durable: false,
        };
        self.forget_empty_shares(account);
        if self.shards > 1 {
            let clock = self.stamp(now);
            self.output(Output::Announce(Announcement {
                shard: self.shard,
                account: Some(account),
                filter: format!("$share/{name}/{filter}").into(),
                interest,
                clock,
            }));
        }
    }

    /// Another shard's devices of an account share a filter, or do so no longer.
    pub(crate) fn chat_share_announced(&mut self, account: AccountId, announcement: &Announcement) {
        let Some((name, filter)) = topic::shared(&announcement.filter) else {
            return;
        };
        let shares = self.chat_shares.entry(account).or_default();
        let known = shares
            .iter()
            .position(|share| &*share.name == name && &*share.filter == filter);
        let place = known.unwrap_or_else(|| {
            shares.push(ChatShare {
                name: name.into(),
                filter: filter.into(),
                shards: 0,
            });
            shares.len() - 1
        });
        let bit = 1 << announcement.shard;
        shares[place].shards &= !bit;
        if announcement.interest.live {
            shares[place].shards |= bit;
        }
        self.forget_empty_shares(account);
    }

    /// Delivers to one device of each share of an account, if it is one of this shard. All shards choose alike.
    pub(crate) fn deliver_chat_shared(
        &mut self,
        account: AccountId,
        delivery: &Arc<ChatDelivery>,
        now: Millis,
    ) {
        let Some(shares) = self.chat_shares.get(&account) else {
            return;
        };
        let turn = delivery.pos.map_or(0, Pos::value);
        let mut chosen = Vec::new();
        for share in shares {
            let here = self.sharing(account, &share.name, &share.filter);
            let own = u64::from(!here.is_empty()) << self.shard;
            let Some(slot) = choose(share.shards | own, self.shard, turn, &here) else {
                continue;
            };
            chosen.push((slot, share.name.clone(), share.filter.clone()));
        }
        for (slot, name, filter) in chosen {
            for (part, message) in delivery.packets.iter().enumerate() {
                let origin = Origin::Share {
                    receipt: delivery.receipt.filter(|_| part == 0),
                };
                self.deliver_chat_member(slot, (&name, &filter), message, origin, now);
            }
        }
    }

    fn deliver_chat_member(
        &mut self,
        slot: u32,
        (name, filter): (&str, &str),
        message: &Arc<Message>,
        origin: Origin,
        now: Millis,
    ) {
        let session = &self.sessions[slot as usize];
        let wanted = wanted(session, message, |known| {
            known.share.as_deref() == Some(name) && &*known.filter == filter
        });
        if let Some(wanted) = wanted {
            self.deliver_live(slot, message, &wanted, origin, now);
        }
    }

    /// Connected sessions of this shard that share a filter of an account.
    fn sharing(&self, account: AccountId, name: &str, filter: &str) -> Vec<u32> {
        let slots = self.accounts.get(&account).map_or(&[][..], |slots| slots);
        let shares = |slot: &u32| {
            let chat = self.sessions[*slot as usize].chat.as_ref();
            chat.is_some_and(|chat| {
                chat.filters
                    .iter()
                    .any(|known| known.share.as_deref() == Some(name) && &*known.filter == filter)
            })
        };
        slots
            .iter()
            .copied()
            .filter(|slot| shares(slot) && self.open_connection(*slot).is_some())
            .collect()
    }

    fn has_chat_share(&self, account: AccountId, name: &str, filter: &str) -> bool {
        self.chat_shares.get(&account).is_some_and(|shares| {
            let mut shares = shares.iter();
            shares.any(|share| &*share.name == name && &*share.filter == filter)
        })
    }

    fn forget_empty_shares(&mut self, account: AccountId) {
        let Some(mut shares) = self.chat_shares.remove(&account) else {
            return;
        };
        shares.retain(|share| {
            share.shards != 0 || !self.sharing(account, &share.name, &share.filter).is_empty()
        });
        if !shares.is_empty() {
            self.chat_shares.insert(account, shares);
        }
    }
}

/// The session whose turn it is, if it is one of this shard's.
fn choose(shards: u64, own: u16, turn: u64, here: &[u32]) -> Option<u32> {
    let count = u64::from(shards.count_ones());
    if count == 0 || here.is_empty() {
        return None;
    }
    let below = u64::from((shards & ((1 << own) - 1)).count_ones());
    if turn % count != below {
        return None;
    }
    let place = (turn / count) % here.len() as u64;
    here.get(place as usize).copied()
}

/// Whether a filter is shared and ordinary.
pub(crate) fn is_ordinary_share(filter: &str) -> bool {
    topic::shared(filter).is_some_and(|(_, plain)| !is_chat(plain))
}

/// A group of an ordinary subscription record. QoS and identifier as granted.
pub(crate) fn member(slot: u32, options: u8, identifier: u32) -> Subscriber {
    Subscriber {
        session: slot,
        identifier,
        options,
        durable: QoS::from_bits(options & 3).is_some_and(|qos| qos != QoS::AtMostOnce),
    }
}
