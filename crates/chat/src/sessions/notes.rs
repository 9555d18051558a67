//! What has happened in conversations, to the devices of this node: rendered with the names by which each account knows it.

use std::sync::Arc;

use records::{AccountId, ConversationId, Seq};
use smallvec::{SmallVec, smallvec};

use crate::command::Address;
use crate::format::wire;
use crate::note::{Departed, Entry, Marker, Note};
use crate::sessions::accounts::{Change, Deferred};
use crate::sessions::delivery::{self, Audience, Delivery};
use crate::sessions::{Context, Sessions};

/// Accounts and what they call a conversation.
type Addressees = SmallVec<[(Arc<[AccountId]>, Box<str>); 2]>;

/// What an account calls a conversation.
pub(super) fn conv(address: &Address, account: AccountId, context: Context<'_>) -> Box<str> {
    match address {
        Address::Group(slug) => slug.as_str().into(),
        Address::Pair { .. } => {
            let peer = address.peer(account).unwrap_or(account);
            wire::direct(context.accounts.name(peer))
        }
    }
}

/// Everybody in a conversation, by what they call it.
fn addressees(address: &Address, audience: &Arc<[AccountId]>, context: Context<'_>) -> Addressees {
    match *address {
        Address::Group(ref slug) => smallvec![(audience.clone(), slug.as_str().into())],
        Address::Pair { low, high } => {
            let to = |account| (Arc::from([account]), conv(address, account, context));
            if low == high {
                smallvec![to(low)]
            } else {
                smallvec![to(low), to(high)]
            }
        }
    }
}

impl Sessions {
    /// Something has happened in a conversation.
    pub(crate) fn note(&mut self, note: Note, context: Context<'_>) {
        match note {
            Note::Entry(entry) => self.tell_entry(&entry, context),
            Note::Marker {
                conversation,
                address,
                accounts,
                kind,
                upto,
                authors,
            } => {
                let marker = (conversation, kind, upto);
                self.tell_marker(marker, &address, &accounts, &authors, context);
            }
            Note::Changed {
                conversation,
                address,
                account,
                read,
            } => {
                if let Some(read) = read {
                    self.tell_own_read(&address, account, read, context);
                }
                self.about_changed(conversation, &address, Some(account), None, context);
            }
            Note::Joined {
                conversation,
                address,
                accounts,
            } => self.tell_joined(conversation, &address, &accounts, context),
            Note::Left {
                conversation,
                address,
                account,
            } => {
                self.change_list(account, Change::Left(conversation));
                self.about_left(conversation, account);
                self.tell_left(&address, &Arc::from([account]), false, context);
            }
            Note::Ended {
                conversation,
                address,
                members,
            } => self.tell_ended(conversation, &address, members, context),
            Note::Abandoned {
                conversation,
                maker,
                is_abandoned,
            } => self.change_list(maker, Change::Abandoned(conversation, is_abandoned)),
            Note::Typing {
                address,
                account,
                audience,
            } => self.tell_typing(&address, account, &audience, context),
            Note::Done { id, mid, outcome } => {
                self.command_done(id, mid.as_deref(), outcome, context)
            }
        }
    }

    fn tell_entry(&mut self, entry: &Entry, context: Context<'_>) {
        // Newer entries of this append are told next.
        let floor = self.told.min(entry.pos);
        let publisher = entry.speaker.and_then(|(account, device)| {
            let sessions = self.accounts.sessions(account);
            self.devices.of_id(sessions, device)
        });
        for (accounts, conv) in addressees(&entry.address, &entry.audience, context) {
            let packets = match entry.seq {
                Some(_) => delivery::message_packets(&conv, entry.wire.clone(), entry.line.clone()),
                None => delivery::event_packets(&conv, entry.wire.clone()),
            };
            self.deliver(Delivery {
                audience: Audience::Accounts(accounts),
                packets,
                pos: Some(entry.pos),
                floor,
                publisher,
                expires_at: entry.expires_at,
                receipt: entry.seq.map(|seq| (entry.conversation, seq)),
                read_at: entry.read_at,
            });
        }
        let audience = Some(&entry.audience);
        self.about_changed(entry.conversation, &entry.address, None, audience, context);
        if entry.seq.is_some() {
            self.release_members(&entry.audience, context);
        }
    }

    fn tell_marker(
        &mut self,
        (conversation, kind, upto): (ConversationId, Marker, Seq),
        address: &Address,
        accounts: &[AccountId],
        authors: &[AccountId],
        context: Context<'_>,
    ) {
        let connected = authors.iter().copied();
        let connected = connected.filter(|author| self.accounts.is_connected(*author));
        let authors: Vec<_> = connected.collect();
        let Some(first) = authors.first() else {
            return;
        };
        // In a direct chat there is one author, in a group all call it the same.
        let conv = conv(address, *first, context);
        let from = accounts
            .iter()
            .map(|account| context.accounts.name(*account));
        let packet = delivery::receipt(&conv, kind, from.collect(), upto);
        let (told, inactive) = self.tell_attentive(authors.into_iter(), &packet);
        let mut dropped = 0;
        for session in inactive {
            self.devices.hold(session, |pending| {
                for account in accounts {
                    let key = (conversation, *account, kind);
                    dropped += u64::from(!pending.hold_receipt(key, address, upto));
                }
            });
        }
        self.counters.receipts_dropped += dropped;
        self.counters.receipts_told += u64::from(told);
    }

    /// All devices of an account hear at once what one of them has read, also those that nobody looks at: what they say of it is over.
    fn tell_own_read(
        &mut self,
        address: &Address,
        account: AccountId,
        read: Seq,
        context: Context<'_>,
    ) {
        if !self.accounts.is_connected(account) {
            return;
        }
        let conv = conv(address, account, context);
        let from = vec![context.accounts.name(account)];
        let packet = delivery::receipt(&conv, Marker::Read, from, read);
        self.deliver(delivery::to_accounts(Arc::from([account]), packet));
    }

    fn tell_joined(
        &mut self,
        conversation: ConversationId,
        address: &Address,
        accounts: &[(AccountId, bool)],
        context: Context<'_>,
    ) {
        for (account, own) in accounts {
            let change = Change::Joined(conversation, address.place(*account), *own);
            self.change_list(*account, change);
        }
        let newcomers: Arc<[AccountId]> = accounts.iter().map(|(account, _)| *account).collect();
        for (accounts, conv) in addressees(address, &newcomers, context) {
            let payload = wire::own_event("conversation", &conv);
            let packet = delivery::packet("im/me/event".to_owned(), payload);
            self.deliver(delivery::to_accounts(accounts, packet));
        }
        if let Address::Pair { low, high } = *address
            && low != high
        {
            self.introduce(low, high, context);
            self.introduce(high, low, context);
        }
    }

    fn tell_left(
        &mut self,
        address: &Address,
        accounts: &Arc<[AccountId]>,
        deleted: bool,
        context: Context<'_>,
    ) {
        for (accounts, conv) in addressees(address, accounts, context) {
            let packets = delivery::left_packets(&conv, deleted);
            self.deliver(delivery::plain(Audience::Accounts(accounts), packets));
        }
    }

    fn tell_ended(
        &mut self,
        conversation: ConversationId,
        address: &Address,
        members: Vec<Departed>,
        context: Context<'_>,
    ) {
        let accounts: Arc<[AccountId]> = members.iter().map(|member| member.account).collect();
        for member in members {
            self.change_list(member.account, Change::Left(conversation));
            self.about_left(conversation, member.account);
            if member.stored_bytes > 0 {
                let deferred = Deferred::GiveBack(member.stored_bytes);
                self.with_list(member.account, deferred, context);
            }
        }
        if !accounts.is_empty() {
            self.tell_left(address, &accounts, true, context);
        }
    }
}
