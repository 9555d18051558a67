//! From the store back to the cores, before anybody is answered: accounts, conversations, sessions, stored messages.

use std::collections::HashMap;
use std::iter::Peekable;

use broker::{
    Identity, Message, Output, RecoveredClaim, RecoveredSession, RecoveredWill, Recovery,
    RetainedMessage, Shard,
};
use bytes::Bytes;
use chat::{Chat, CredentialsChange};
use records::{
    Account, AccountId, Claim, Conversation, Entry, KeyError, KeyRange, Member, Millis, Outgoing,
    Pos, QueuedParts, RecordError, Retained, Seq, Session, SessionNumber, Stamp, Subscription,
    Table, Token, Will, Write, key,
};
use store::{Batch, CommitError, Range, ReadError, Store};

use crate::logins::{Directory, Known};

/// Keys read at once.
const SLICE: usize = 4096;

/// Why the state cannot be taken back. The store's own checks have passed: this is damage they cannot see, or a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The secret is not what should stand there.
    #[error("the data directory holds a secret of {bytes} bytes; it has 32")]
    Secret {
        /// How many there are.
        bytes: usize,
    },
    /// A value is not what should stand there.
    #[error("the data directory holds a value this release cannot read: {0}")]
    Record(#[from] RecordError),
    /// A key is not what should stand there.
    #[error("the data directory holds a key this release cannot read: {0}")]
    Key(#[from] KeyError),
}

/// The server's secret; at the first start it becomes `fresh`.
pub(crate) fn secret(store: &dyn Store, fresh: [u8; 32]) -> Result<[u8; 32], RecoveryError> {
    let place = key::meta(key::META_SECRET);
    match store.get(&place)? {
        Some(kept) => kept[..]
            .try_into()
            .map_err(|_| RecoveryError::Secret { bytes: kept.len() }),
        None => {
            store.commit(Batch {
                preconditions: Vec::new(),
                writes: vec![Write::Put {
                    key: place,
                    value: fresh.to_vec(),
                }],
            })?;
            Ok(fresh)
        }
    }
}

/// Takes back accounts, tokens, conversations and members.
pub(crate) fn chat(
    store: &dyn Store,
    chat: &mut Chat,
    directory: &Directory,
    now: Millis,
) -> Result<(), RecoveryError> {
    each(store, Table::Account.range(), |key, value| {
        let (id, account) = (key::parse_account(key)?, Account::decode(value)?);
        directory.change(CredentialsChange::Account {
            id,
            account: account.clone(),
        });
        chat.recover_account(id, account);
        Ok(())
    })?;
    each(store, Table::Token.range(), |key, value| {
        let (sha256, token) = (key::parse_token(key)?, Token::decode(value)?);
        directory.change(CredentialsChange::Token {
            sha256,
            account: token.account,
            expires: token.expires,
        });
        chat.recover_token(sha256, token);
        Ok(())
    })?;
    each(store, Table::Conversation.range(), |key, value| {
        let id = key::parse_conversation(key)?;
        let newest = |range: KeyRange| {
            store
                .range(&Range::backward(range, 1))
                .map(|found| found.into_iter().next())
        };
        let last_seq = match newest(key::seqs(id))? {
            Some((key, _)) => key::parse_seq(&key)?.1,
            None => Seq::ZERO,
        };
        let last_pos = match newest(key::entries(id))? {
            Some((_, value)) => Entry::decode(&value)?.pos,
            None => Pos::ZERO,
        };
        chat.recover_conversation(id, Conversation::decode(value)?, last_seq, last_pos);
        Ok(())
    })?;
    each(store, Table::Member.range(), |key, value| {
        let (conversation, account) = key::parse_member(key)?;
        chat.recover_member(conversation, account, Member::decode(value)?);
        Ok(())
    })?;
    chat.finish_recovery(now);
    Ok(())
}

/// Takes back sessions, what they wait for, and what is retained. Returns what each shard asks for beyond that.
pub(crate) fn shards(
    store: &dyn Store,
    directory: &Directory,
    shards: &mut [Shard],
    latest_pos: Pos,
    now: Millis,
) -> Result<Vec<Vec<Output>>, RecoveryError> {
    let mut flows = Flows::read(store)?;
    let mut recoveries: Vec<Recovery> = shards.iter().map(Shard::begin_recovery).collect();
    each(store, Table::Session.range(), |key, value| {
        let (account, client_id) = key::parse_session(key)?;
        let record = Session::decode(value)?;
        let account = (account != AccountId::ZERO).then_some(account);
        let known = account.and_then(|id| directory.by_id(id));
        let session = RecoveredSession {
            account,
            name: known.as_ref().map(Known::shared_name).unwrap_or_default(),
            admin: known.is_some_and(|known| known.is_admin()),
            client_id: client_id.into(),
            subscriptions: flows
                .subscriptions
                .remove(&record.number)
                .unwrap_or_default(),
            outgoing: flows.outgoing.remove(&record.number).unwrap_or_default(),
            incoming: flows.incoming.remove(&record.number).unwrap_or_default(),
            record,
        };
        let home = shards
            .iter()
            .position(|shard| shard.owns(session.account, &session.client_id));
        if let Some(home) = home {
            shards[home].recover_session(&mut recoveries[home], session, now);
        }
        Ok(())
    })?;
    let mut claims = Claims::read(store)?;
    each(store, Table::Queue.range(), |key, value| {
        let stamp = key::parse_queue(key)?;
        let message = QueuedParts::decode(value)?;
        for (shard, recovery) in shards.iter_mut().zip(&recoveries) {
            shard.recover_queued(recovery, stamp, &message);
        }
        claims.recover(stamp, &message, shards, &recoveries, now);
        Ok(())
    })?;
    claims.finish(shards, now);
    each(store, Table::Retained.range(), |_, value| {
        let retained = Retained::decode(value)?;
        let message = Message::from_record(retained.message);
        // One copy for all shards.
        let packed = RetainedMessage::new(retained.stamp, &message);
        for shard in shards.iter_mut() {
            shard.recover_retained(&message.topic, packed.clone());
        }
        Ok(())
    })?;
    for (shard, recovery) in shards.iter_mut().zip(recoveries) {
        shard.finish_recovery(recovery, latest_pos);
    }
    let mut later = exchange_announcements(shards, now);
    wills(store, directory, shards, now)?;
    // What is published finds everybody who waits for it.
    for (later, more) in later.iter_mut().zip(exchange_announcements(shards, now)) {
        later.extend(more);
    }
    Ok(later)
}

/// Takes back and publishes the wills of connections that ended with the server.
fn wills(
    store: &dyn Store,
    directory: &Directory,
    shards: &mut [Shard],
    now: Millis,
) -> Result<(), RecoveryError> {
    each(store, Table::Will.range(), |key, value| {
        let (account, client_id) = key::parse_will(key)?;
        let account = (account != AccountId::ZERO).then_some(account);
        let known = account.and_then(|id| directory.by_id(id));
        let will = RecoveredWill {
            identity: Identity {
                account,
                name: known.as_ref().map(Known::shared_name).unwrap_or_default(),
                admin: known.is_some_and(|known| known.is_admin()),
            },
            client_id: client_id.into(),
            record: Will::decode(value)?,
        };
        let mut homes = shards.iter_mut();
        if let Some(home) = homes.find(|shard| shard.owns(account, client_id)) {
            home.recover_will(will, now);
        }
        Ok(())
    })?;
    for shard in shards {
        shard.publish_recovered_wills(now);
    }
    Ok(())
}

/// Lets every shard know what the others wait for, so that nothing is published past them. The rest is for later.
fn exchange_announcements(shards: &mut [Shard], now: Millis) -> Vec<Vec<Output>> {
    let mut later: Vec<Vec<Output>> = shards.iter().map(|_| Vec::new()).collect();
    for speaker in 0..shards.len() {
        while let Some(output) = shards[speaker].poll_output() {
            let Output::Announce(announcement) = output else {
                later[speaker].push(output);
                continue;
            };
            for (listener, shard) in shards.iter_mut().enumerate() {
                if listener != speaker {
                    shard.handle(broker::Input::Announced(announcement.clone()), now);
                }
            }
        }
    }
    later
}

/// What is keyed by session numbers.
#[derive(Default)]
struct Flows {
    subscriptions: HashMap<SessionNumber, Vec<(String, Subscription)>>,
    outgoing: HashMap<SessionNumber, Vec<(Stamp, Outgoing)>>,
    incoming: HashMap<SessionNumber, Vec<u16>>,
}

impl Flows {
    fn read(store: &dyn Store) -> Result<Self, RecoveryError> {
        let mut flows = Self::default();
        each(store, Table::Subscription.range(), |key, value| {
            let (number, filter) = key::parse_subscription(key)?;
            let subscription = (filter.to_owned(), Subscription::decode(value)?);
            flows
                .subscriptions
                .entry(number)
                .or_default()
                .push(subscription);
            Ok(())
        })?;
        each(store, Table::Outgoing.range(), |key, value| {
            let (number, stamp) = key::parse_outgoing(key)?;
            flows
                .outgoing
                .entry(number)
                .or_default()
                .push((stamp, Outgoing::decode(value)?));
            Ok(())
        })?;
        each(store, Table::Incoming.range(), |key, _| {
            let (number, packet_id) = key::parse_incoming(key)?;
            flows.incoming.entry(number).or_default().push(packet_id);
            Ok(())
        })?;
        Ok(flows)
    }
}

/// Groups' claims, in the order of their messages.
struct Claims {
    groups: Vec<Box<str>>,
    /// The message, the claim, and the group's place in `groups`.
    rest: Peekable<std::vec::IntoIter<(Stamp, Stamp, usize)>>,
    /// Claims whose message or group is gone.
    gone: Vec<Stamp>,
}

impl Claims {
    fn read(store: &dyn Store) -> Result<Self, RecoveryError> {
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        let mut found = Vec::new();
        each(store, Table::Claim.range(), |key, value| {
            let (claim, record) = (key::parse_claim(key)?, Claim::decode(value)?);
            let next = places.len();
            let place = *places.entry(record.group).or_insert(next);
            found.push((record.message, claim, place));
            Ok(())
        })?;
        found.sort_unstable();
        let mut groups = vec![Box::default(); places.len()];
        for (group, place) in places {
            groups[place] = group;
        }
        Ok(Self {
            groups,
            rest: found.into_iter().peekable(),
            gone: Vec::new(),
        })
    }

    /// Gives the claims of a message to a shard whose session has begun to get it, or else to one that has members of
    /// the group. Messages come in the order of their stamps.
    fn recover(
        &mut self,
        stamp: Stamp,
        message: &QueuedParts<'_>,
        shards: &mut [Shard],
        recoveries: &[Recovery],
        now: Millis,
    ) {
        while let Some((message_stamp, claim, place)) =
            self.rest.next_if(|(message, ..)| *message <= stamp)
        {
            let recovered = RecoveredClaim {
                claim,
                message: message_stamp,
                group: &self.groups[place],
                parts: message,
            };
            let taken = message_stamp == stamp
                && (shards
                    .iter_mut()
                    .zip(recoveries)
                    .any(|(shard, recovery)| shard.recover_begun_claim(recovery, &recovered))
                    || shards
                        .iter_mut()
                        .any(|shard| shard.recover_claim(&recovered, now)));
            if !taken {
                self.gone.push(claim);
            }
        }
    }

    fn finish(self, shards: &mut [Shard], now: Millis) {
        let rest = self.rest.map(|(_, claim, _)| claim);
        for claim in self.gone.into_iter().chain(rest) {
            if let Some(shard) = shards.first_mut() {
                shard.drop_claim(claim, now);
            }
        }
    }
}

/// Every key and value of a range, in order and in slices.
fn each(
    store: &dyn Store,
    range: KeyRange,
    mut take: impl FnMut(&[u8], &Bytes) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let mut rest = range;
    loop {
        let slice = store.range(&Range::forward(rest.clone(), SLICE))?;
        for (key, value) in &slice {
            take(key, value)?;
        }
        match slice.last() {
            Some((last, _)) if slice.len() == SLICE => rest.from = [last.as_ref(), &[0]].concat(),
            Some(_) | None => return Ok(()),
        }
    }
}
