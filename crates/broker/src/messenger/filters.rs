//! Subscriptions under `im/`: they are kept with their session, and the messenger is told of them.

use mqtt_codec::{ReasonCode, SubscriptionOptions};
use records::{AccountId, Millis};

use crate::io::{Output, Service};
use crate::sessions::session::{ChatFilter, ChatInterest};
use crate::shard::Shard;

impl Shard {
    /// Enters one subscription under `im/`; true when it replaced one.
    pub(crate) fn grant_chat(
        &mut self,
        slot: u32,
        filter: &str,
        share: Option<&str>,
        options: SubscriptionOptions,
        identifier: u32,
        now: Millis,
    ) -> Result<bool, ReasonCode> {
        if self.sessions[slot].account.is_none() {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        if !self.has_chat_room(slot, filter, share) {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let known = ChatFilter {
            filter: filter.into(),
            share: share.map(Into::into),
            options: options.bits(),
            identifier,
        };
        let existed = self.subscribe_chat(slot, known);
        if let (Some(account), Some(name)) = (self.sessions[slot].account, share) {
            self.announce_chat_share(account, name, filter, now);
        }
        Ok(existed)
    }

    /// Whether a session may hold one more filter under `im/`. Every delivery of the messenger asks each of them, and the
    /// whole contract is covered by a dozen.
    fn has_chat_room(&self, slot: u32, filter: &str, share: Option<&str>) -> bool {
        let limits = &self.settings.limits;
        let session = &self.sessions[slot];
        let filters = session.chat.as_ref().map_or(&[][..], |chat| &chat.filters);
        let existed = filters
            .iter()
            .any(|known| &*known.filter == filter && known.share.as_deref() == share);
        let share_room = session.account.zip(share).is_none_or(|(account, name)| {
            let shares = &self.messenger.shares;
            shares.has_room(account, name, filter, limits.chat_shares_max)
        });
        existed || (filters.len() < limits.chat_filters_max && share_room)
    }

    /// Adds or replaces a subscription under `im/`; true when it replaced one.
    pub(crate) fn subscribe_chat(&mut self, slot: u32, filter: ChatFilter) -> bool {
        let latest = self.messenger.latest();
        let session = &mut self.sessions[slot];
        let chat = session
            .chat
            .get_or_insert_with(|| Box::new(ChatInterest::new(latest)));
        let known = chat
            .filters
            .iter_mut()
            .find(|known| known.filter == filter.filter && known.share == filter.share);
        let existed = known.is_some();
        match known {
            Some(known) => *known = filter,
            None => chat.filters.push(filter),
        }
        if let Some(account) = session.account {
            self.messenger.join(account, slot);
        }
        existed
    }

    /// Removes a subscription under `im/`; false when there was none.
    pub(crate) fn unsubscribe_chat(
        &mut self,
        slot: u32,
        filter: &str,
        share: Option<&str>,
        now: Millis,
    ) -> bool {
        let account = self.sessions[slot].account;
        let Some(chat) = self.sessions[slot].chat.as_mut() else {
            return false;
        };
        let before = chat.filters.len();
        chat.filters
            .retain(|known| &*known.filter != filter || known.share.as_deref() != share);
        let removed = chat.filters.len() < before;
        if chat.filters.is_empty() {
            self.leave_messenger(slot, now);
        }
        if let (Some(account), Some(name), true) = (account, share, removed) {
            self.announce_chat_share(account, name, filter, now);
        }
        removed
    }

    /// The session has no part in the messenger any more.
    pub(crate) fn leave_messenger(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        let chat = session.chat.take();
        let Some(account) = session.account else {
            return;
        };
        self.messenger.leave(account, slot);
        for known in chat.iter().flat_map(|chat| &chat.filters) {
            if let Some(name) = &known.share {
                self.announce_chat_share(account, name, &known.filter, now);
            }
        }
    }

    /// Tells the messenger which filters a stored session has brought back.
    pub(crate) fn tell_resumed(&mut self, slot: u32, account: AccountId) {
        let session = &self.sessions[slot];
        let reference = self.sessions.reference(slot);
        let Some(chat) = &session.chat else { return };
        let filters: Vec<(Box<str>, u8)> = chat
            .filters
            .iter()
            .filter(|known| known.share.is_none())
            .map(|known| {
                let options = SubscriptionOptions::from_bits(known.options);
                (known.filter.clone(), options.retain_handling)
            })
            .collect();
        for (filter, retain_handling) in filters {
            self.outputs.push(Output::Service(Service::Subscribed {
                session: reference,
                account,
                filter,
                existed: true,
                retain_handling,
                resumed: true,
            }));
        }
    }
}
