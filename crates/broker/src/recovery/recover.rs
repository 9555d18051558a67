//! From what is on disk back to all shards of a server, in the order that the rows need each other. Where they stand, and
//! how they are read, is the caller's business; what a row means to one shard is said in `sessions` and `wills`.

use std::collections::BTreeMap;
use std::iter::Peekable;

use bytes::Bytes;
use records::{
    AccountId, Claim, Incoming, KeyError, Millis, Outgoing, Pos, QueuedParts, RecordError,
    Retained, Session, SessionNumber, Stamp, Subscription, Table, Will, Write, key,
};

use crate::access::list::Identity;
use crate::io::{Input, Output};
use crate::message::{Message, is_stamp};
use crate::recovery::rows;
use crate::recovery::sessions::{RecoveredClaim, RecoveredSession, Recovery};
use crate::retained::message::RetainedMessage;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::wills::publish::RecoveredWill;

/// Where the rows stand.
pub trait Rows {
    /// Why one cannot be read.
    type Error: From<KeyError> + From<RecordError>;

    /// Gives every key and value of a table, in the order of the keys.
    ///
    /// # Errors
    /// When the table cannot be read, or `take` has found a row that is not what should stand there.
    fn each(
        &self,
        table: Table,
        take: impl FnMut(&[u8], &Bytes) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;
}

/// A row that is not what should stand there.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its value.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Rows in memory, as tests and the simulator have them.
impl Rows for BTreeMap<Vec<u8>, Vec<u8>> {
    type Error = Unreadable;

    fn each(
        &self,
        table: Table,
        mut take: impl FnMut(&[u8], &Bytes) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let range = table.range();
        for (key, value) in self.range(range.from..range.to) {
            take(key, &Bytes::copy_from_slice(value))?;
        }
        Ok(())
    }
}

/// Takes back sessions, what they wait for, what is retained, and the wills of connections that ended with the server.
/// `identity` tells who an account is by now, and `latest_pos` how far the messenger has come. Returns what each shard
/// asks for beyond what the others have to hear.
///
/// # Errors
/// When a row cannot be read. The shards are of no use then.
///
/// # Panics
/// When a shard has sessions already.
pub fn recover<R: Rows>(
    from: &R,
    shards: &mut [Shard],
    identity: impl Fn(Option<AccountId>) -> Identity,
    latest_pos: Pos,
    now: Millis,
) -> Result<Vec<Vec<Output>>, R::Error> {
    let mut recoveries: Vec<Recovery> = shards.iter().map(Shard::begin_recovery).collect();
    sessions(from, shards, &mut recoveries, &identity, now)?;
    let mut claims = Claims::read(from)?;
    from.each(Table::Queue, |key, value| {
        let stamp = key::parse_queue(key)?;
        let message = QueuedParts::decode(value)?;
        rows::check_key(Table::Queue, key, is_stamp(stamp))?;
        rows::check_message("queued message", &message)?;
        for (shard, recovery) in shards.iter_mut().zip(&recoveries) {
            shard.recover_queued(recovery, stamp, &message);
        }
        claims.recover(stamp, &message, shards, &recoveries, now);
        Ok(())
    })?;
    claims.finish(shards, now);
    from.each(Table::Retained, |key, value| {
        let retained = Retained::decode(value)?;
        let its_own = key::parse_retained(key)? == &*retained.message.topic;
        rows::check_key(Table::Retained, key, its_own)?;
        rows::check_stamp("retained message", retained.stamp)?;
        rows::check_message("retained message", &retained.message.parts())?;
        let message = Message::from_record(retained.message);
        // One copy for all shards.
        let packed = RetainedMessage::new(retained.stamp, retained.account, &message);
        for shard in shards.iter_mut() {
            shard.recover_retained(&message.topic, packed.clone());
        }
        Ok(())
    })?;
    for (shard, recovery) in shards.iter_mut().zip(recoveries) {
        shard.finish_recovery(recovery, latest_pos);
    }
    let mut later = exchange_announcements(shards, now);
    wills(from, shards, &identity, now)?;
    // What is published finds everybody who waits for it.
    for (later, more) in later.iter_mut().zip(exchange_announcements(shards, now)) {
        later.extend(more);
    }
    // Accounts and the access list may be others than when this was stored.
    for shard in shards {
        shard.check_access_again();
    }
    Ok(later)
}

fn sessions<R: Rows>(
    from: &R,
    shards: &mut [Shard],
    recoveries: &mut [Recovery],
    identity: &impl Fn(Option<AccountId>) -> Identity,
    now: Millis,
) -> Result<(), R::Error> {
    let mut flows = Flows::read(from)?;
    from.each(Table::Session, |key, value| {
        let (account, client_id) = key::parse_session(key)?;
        let record = Session::decode(value)?;
        rows::check_session(&record)?;
        let number = record.number;
        let session = RecoveredSession {
            identity: identity(known(account)),
            client_id: client_id.into(),
            subscriptions: flows.subscriptions.remove(&number).unwrap_or_default(),
            outgoing: flows.outgoing.remove(&number).unwrap_or_default(),
            incoming: flows.incoming.remove(&number).unwrap_or_default(),
            record,
        };
        if let Some(home) = home(shards, account, client_id) {
            shards[home].recover_session(&mut recoveries[home], session, now);
        }
        Ok(())
    })?;
    if let Some(shard) = shards.first_mut() {
        delete_orphaned_subscriptions(shard, flows.subscriptions, now);
    }
    Ok(())
}

/// Strikes out the subscriptions of sessions that ended shortly before the server did.
fn delete_orphaned_subscriptions(
    shard: &mut Shard,
    subscriptions: BTreeMap<SessionNumber, Vec<(String, Subscription)>>,
    now: Millis,
) {
    let left = subscriptions.into_iter().flat_map(|(number, left)| {
        left.into_iter()
            .map(move |(filter, _)| key::subscription(number, &filter))
    });
    let writes: Vec<Write> = left.map(|key| Write::Delete { key }).collect();
    if !writes.is_empty() {
        shard.append_in_pieces(writes, Then::Nothing, now);
    }
}

/// Takes back and publishes the wills of connections that ended with the server.
fn wills<R: Rows>(
    from: &R,
    shards: &mut [Shard],
    identity: &impl Fn(Option<AccountId>) -> Identity,
    now: Millis,
) -> Result<(), R::Error> {
    from.each(Table::Will, |key, value| {
        let (account, client_id) = key::parse_will(key)?;
        let record = Will::decode(value)?;
        rows::check_message("will", &record.message.parts())?;
        let will = RecoveredWill {
            identity: identity(known(account)),
            client_id: client_id.into(),
            record,
        };
        if let Some(home) = home(shards, account, client_id) {
            shards[home].recover_will(will, now);
        }
        Ok(())
    })?;
    for shard in shards {
        shard.publish_recovered_wills(now);
    }
    Ok(())
}

/// The account of a key: zero stands for none.
fn known(account: AccountId) -> Option<AccountId> {
    (account != AccountId::ZERO).then_some(account)
}

fn home(shards: &[Shard], account: AccountId, client_id: &str) -> Option<usize> {
    shards
        .iter()
        .position(|shard| shard.owns(known(account), client_id))
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
                    shard.handle(Input::Announced(announcement.clone()), now);
                }
            }
        }
    }
    later
}

/// What is keyed by session numbers.
#[derive(Default)]
struct Flows {
    subscriptions: BTreeMap<SessionNumber, Vec<(String, Subscription)>>,
    outgoing: BTreeMap<SessionNumber, Vec<(Stamp, Outgoing)>>,
    incoming: BTreeMap<SessionNumber, Vec<(u16, Incoming)>>,
}

impl Flows {
    fn read<R: Rows>(from: &R) -> Result<Self, R::Error> {
        let mut flows = Self::default();
        from.each(Table::Subscription, |key, value| {
            let (number, filter) = key::parse_subscription(key)?;
            let subscription = Subscription::decode(value)?;
            rows::check_subscription(filter, &subscription)?;
            let known = flows.subscriptions.entry(number).or_default();
            known.push((filter.to_owned(), subscription));
            Ok(())
        })?;
        from.each(Table::Outgoing, |key, value| {
            let (number, stamp) = key::parse_outgoing(key)?;
            let outgoing = Outgoing::decode(value)?;
            rows::check_outgoing(&outgoing)?;
            let known = flows.outgoing.entry(number).or_default();
            known.push((stamp, outgoing));
            Ok(())
        })?;
        from.each(Table::Incoming, |key, value| {
            let (number, packet_id) = key::parse_incoming(key)?;
            rows::check_key(Table::Incoming, key, packet_id != 0)?;
            let incoming = Incoming::decode(value)?;
            let known = flows.incoming.entry(number).or_default();
            known.push((packet_id, incoming));
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
    fn read<R: Rows>(from: &R) -> Result<Self, R::Error> {
        let mut places: BTreeMap<Box<str>, usize> = BTreeMap::new();
        let mut found = Vec::new();
        from.each(Table::Claim, |key, value| {
            let (claim, record) = (key::parse_claim(key)?, Claim::decode(value)?);
            rows::check_key(Table::Claim, key, is_stamp(claim))?;
            rows::check_claim(&record)?;
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
