//! Who shares a subscription, and who else does on other shards. Ordinary groups stand in an index, and how their
//! messages reach them is in `claims`; groups under `im/` belong to an account, whose devices take turns here.
//!
//! An `im/` share is served live: it gets what is delivered while one of its devices is connected. What it misses stays
//! in the conversations, where a device finds it with `ask sync`.

use std::sync::Arc;

use mqtt_codec::{QoS, topic};
use records::{AccountId, Millis, Pos};
use routing::{GroupInterest, Interest, Subscriber};

use crate::io::{Announcement, ChatDelivery, Output};
use crate::message::{Message, Origin};
use crate::messenger::deliver::{is_chat, wanted};
use crate::sessions::session::Membership;
use crate::shard::Shard;

/// Where else devices of an account that share a filter under `im/` are connected.
#[derive(Debug)]
pub(crate) struct ChatShare {
    pub(crate) name: Box<str>,
    pub(crate) filter: Box<str>,
    /// Other shards with a connected device; bit `n` is shard `n`.
    shards: u64,
}

impl Shard {
    // Ordinary topics.

    /// Enters a session into a group; true when it replaced a subscription.
    pub(crate) fn join_share(&mut self, slot: u32, filter: &str, subscriber: Subscriber) -> bool {
        let Some((name, plain)) = topic::shared(filter) else {
            return false;
        };
        let joined = self.shared.index.subscribe(name, plain, subscriber);
        if joined.replaced.is_none() {
            let shares = &mut self.sessions[slot].shares;
            shares.push(Membership {
                group: joined.id,
                filter: filter.into(),
            });
        }
        joined.replaced.is_some()
    }

    /// Takes a session out of a group; false when it was not in it. What has been sent to it is finished with it.
    pub(crate) fn leave_share(&mut self, slot: u32, filter: &str, now: Millis) -> bool {
        let shares = &mut self.sessions[slot].shares;
        let Some(place) = shares.iter().position(|share| &*share.filter == filter) else {
            return false;
        };
        let share = shares.swap_remove(place);
        // Among ten thousand it is the search that costs.
        self.turn
            .spend_exactly(place * std::mem::size_of::<Membership>());
        self.has_left_share(slot, &share, now);
        true
    }

    /// It is on its session's list no longer.
    pub(crate) fn has_left_share(&mut self, slot: u32, share: &Membership, now: Millis) {
        self.shared.index.unsubscribe(share.group, slot);
        self.announce_share(share, now);
        self.reassign_unsent(slot, Some(share.group), now);
        self.rebalance(share.group, now);
    }

    /// Tells the other shards who of a group is here.
    pub(crate) fn announce_share(&mut self, share: &Membership, now: Millis) {
        if !self.peers.has_others() {
            return;
        }
        let connected = |slot| self.open_connection(slot).is_some();
        let group = self.shared.index.interest(share.group, connected);
        let clock = self.clock.stamp(now);
        self.outputs.push(Output::Announce(Announcement {
            shard: self.peers.own(),
            account: None,
            filter: (&*share.filter).into(),
            interest: Interest::default(),
            group,
            clock,
        }));
    }

    /// A session has come or gone: its groups are told.
    pub(crate) fn announce_shares(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot];
        if session.has_many_subscriptions() {
            self.defer_shares(slot, session.shares.len());
        } else if self.peers.has_others() {
            for share in session.shares.clone() {
                self.announce_share(&share, now);
            }
        }
        if self.peers.has_others() {
            self.announce_chat_shares(slot, now);
        }
    }

    /// Tells the other shards of a session's latest share.
    pub(crate) fn announce_joined(&mut self, slot: u32, filter: &str, now: Millis) {
        let shares = &self.sessions[slot].shares;
        let share = shares.iter().rfind(|share| &*share.filter == filter);
        if let Some(share) = share.cloned() {
            self.announce_share(&share, now);
            self.rebalance(share.group, now);
        }
    }

    // The messenger.

    /// An account's devices share a filter, or do so no longer: the other shards are told.
    pub(crate) fn announce_chat_shares(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot];
        let (Some(account), Some(chat)) = (session.account, &session.chat) else {
            return;
        };
        let shared: Vec<(Box<str>, Box<str>)> = chat
            .filters
            .iter()
            .filter_map(|known| Some((known.share.clone()?, known.filter.clone())))
            .collect();
        for (name, filter) in shared {
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
        if self.peers.has_others() {
            let clock = self.clock.stamp(now);
            self.outputs.push(Output::Announce(Announcement {
                shard: self.peers.own(),
                account: Some(account),
                filter: format!("$share/{name}/{filter}").into(),
                interest,
                group: GroupInterest::default(),
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
            let own = u64::from(!here.is_empty()) << self.peers.own();
            let Some(slot) = choose(share.shards | own, self.peers.own(), turn, &here) else {
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
        let session = &self.sessions[slot];
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
            let chat = self.sessions[*slot].chat.as_ref();
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

/// A member of a group. QoS and identifier as granted.
pub(crate) fn member(slot: u32, options: u8, identifier: u32, lasting: bool) -> Subscriber {
    Subscriber {
        session: slot,
        identifier,
        options,
        durable: lasting && QoS::from_bits(options & 3).is_some_and(|qos| qos != QoS::AtMostOnce),
    }
}
