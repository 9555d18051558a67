//! Groups under `im/`: they belong to an account, whose devices take turns.
//!
//! An `im/` share is served live: it gets what is delivered while one of its devices is connected. What it misses stays
//! in the conversations, where a device finds it with `ask sync`.

use std::sync::Arc;

use mqtt_codec::topic;
use records::{AccountId, Millis, Pos};
use routing::{GroupInterest, Interest};

use crate::io::{Announcement, ChatDelivery, Output};
use crate::message::{Message, Origin};
use crate::messenger::shares::choose;
use crate::messenger::wanted::wanted;
use crate::shard::Shard;

impl Shard {
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
        self.messenger.shares.entry(account, name, filter);
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
        let (shard, live) = (announcement.shard, announcement.interest.live);
        let share = (name, filter);
        self.messenger
            .shares
            .note_remote(account, share, shard, live);
        self.forget_empty_shares(account);
    }

    /// Delivers to one device of each share of an account, if it is one of this shard. All shards choose alike.
    pub(crate) fn deliver_chat_shared(
        &mut self,
        account: AccountId,
        delivery: &Arc<ChatDelivery>,
        now: Millis,
    ) {
        // Every shard chooses the same, and the parts of a position do not count alike: they are mixed.
        // (Fibonacci hashing, Knuth, The Art of Computer Programming, volume 3, section 6.4)
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let turn = delivery.pos.map_or(0, Pos::value).wrapping_mul(MIX) >> 32;
        let mut chosen = Vec::new();
        for share in self.messenger.shares.of(account) {
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
        let slots = self.messenger.sessions_of(account);
        let slots = slots.map_or(&[][..], |slots| slots);
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

    fn forget_empty_shares(&mut self, account: AccountId) {
        let mut here = Vec::new();
        for share in self.messenger.shares.of(account) {
            here.push(!self.sharing(account, &share.name, &share.filter).is_empty());
        }
        let mut here = here.into_iter();
        self.messenger
            .shares
            .forget_empty(account, |_| here.next().unwrap_or(false));
    }
}
