//! From rows back to shards, as `server/src/recovery.rs` does it: sessions with what is theirs, then stored
//! messages oldest first, then retained ones, then the shards hear of each other.

use std::collections::BTreeMap;

use broker::{
    Identity, Input, Message, Output, RecoveredClaim, RecoveredSession, RecoveredWill, Recovery,
    RetainedMessage, Shard,
};
use bytes::Bytes;
use records::{
    AccountId, Claim, Millis, Outgoing, Pos, QueuedParts, Retained, Session, SessionNumber, Stamp,
    Subscription, Table, Will, key,
};

use crate::disk::Disk;

/// Takes back everything, and returns what each shard asks for beyond that.
pub(crate) fn recover(disk: &Disk, shards: &mut [Shard], now: Millis) -> Vec<Vec<Output>> {
    let mut flows = Flows::read(disk);
    let mut recoveries: Vec<Recovery> = shards.iter().map(Shard::begin_recovery).collect();
    for (row, value) in rows(disk, Table::Session) {
        let (account, client_id) = key::parse_session(row).expect("a session's key");
        let record = Session::decode(value).expect("a session");
        let account = (account != AccountId::ZERO).then_some(account);
        let session = flows.session(account, client_id, record);
        let home = shards
            .iter()
            .position(|shard| shard.owns(session.account, &session.client_id))
            .expect("every session has a home");
        shards[home].recover_session(&mut recoveries[home], session, now);
    }
    for (row, value) in rows(disk, Table::Queue) {
        let stamp = key::parse_queue(row).expect("a stamp");
        let message = QueuedParts::decode(value).expect("a stored message");
        for (shard, recovery) in shards.iter_mut().zip(&recoveries) {
            shard.recover_queued(recovery, stamp, &message);
        }
    }
    recover_claims(disk, shards, &recoveries, now);
    for (_, value) in rows(disk, Table::Retained) {
        let retained = Retained::decode(&Bytes::from(value.clone())).expect("a retained message");
        let message = Message::from_record(retained.message);
        let packed = RetainedMessage::new(retained.stamp, &message);
        for shard in shards.iter_mut() {
            shard.recover_retained(&message.topic, packed.clone());
        }
    }
    for (shard, recovery) in shards.iter_mut().zip(recoveries) {
        shard.finish_recovery(recovery, Pos::ZERO);
    }
    let mut later = introduce(shards, now);
    for (row, value) in rows(disk, Table::Will) {
        let (account, client_id) = key::parse_will(row).expect("a will's key");
        let account = (account != AccountId::ZERO).then_some(account);
        let will = RecoveredWill {
            identity: Identity {
                account,
                name: "".into(),
                admin: false,
            },
            client_id: client_id.into(),
            record: Will::decode(&Bytes::from(value.clone())).expect("a will"),
        };
        let mut homes = shards.iter_mut();
        let home = homes.find(|shard| shard.owns(account, client_id));
        home.expect("every client has a home")
            .recover_will(will, now);
    }
    for shard in shards.iter_mut() {
        shard.publish_recovered_wills(now);
    }
    for (later, more) in later.iter_mut().zip(introduce(shards, now)) {
        later.extend(more);
    }
    later
}

/// A group's claim goes to the session that has begun to get the message, or else to a shard with members.
fn recover_claims(disk: &Disk, shards: &mut [Shard], recoveries: &[Recovery], now: Millis) {
    for (row, value) in rows(disk, Table::Claim) {
        let claim = key::parse_claim(row).expect("a claim's key");
        let record = Claim::decode(value).expect("a claim");
        // A claim that is over may outlive its message by a moment.
        let Some(stored) = disk.rows.get(&key::queue(record.message)) else {
            shards[0].drop_claim(claim, now);
            continue;
        };
        let parts = QueuedParts::decode(stored).expect("a stored message");
        let recovered = RecoveredClaim {
            claim,
            message: record.message,
            group: &record.group,
            parts: &parts,
        };
        let mut owners = shards.iter_mut().zip(recoveries);
        let taken = owners.any(|(shard, own)| shard.recover_begun_claim(own, &recovered))
            || shards
                .iter_mut()
                .any(|shard| shard.recover_claim(&recovered, now));
        if !taken {
            shards[0].drop_claim(claim, now);
        }
    }
}

fn introduce(shards: &mut [Shard], now: Millis) -> Vec<Vec<Output>> {
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

/// The rows of a table.
pub(crate) fn rows(disk: &Disk, table: Table) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
    let range = table.range();
    disk.rows.range(range.from..range.to)
}

/// What is keyed by session numbers.
#[derive(Default)]
struct Flows {
    subscriptions: BTreeMap<SessionNumber, Vec<(String, Subscription)>>,
    outgoing: BTreeMap<SessionNumber, Vec<(Stamp, Outgoing)>>,
    incoming: BTreeMap<SessionNumber, Vec<u16>>,
}

impl Flows {
    fn read(disk: &Disk) -> Self {
        let mut flows = Self::default();
        for (row, value) in rows(disk, Table::Subscription) {
            let (number, filter) = key::parse_subscription(row).expect("a subscription's key");
            let record = Subscription::decode(value).expect("a subscription");
            let known = flows.subscriptions.entry(number).or_default();
            known.push((filter.to_owned(), record));
        }
        for (row, value) in rows(disk, Table::Outgoing) {
            let (number, stamp) = key::parse_outgoing(row).expect("a delivery's key");
            let record = Outgoing::decode(value).expect("a delivery");
            flows
                .outgoing
                .entry(number)
                .or_default()
                .push((stamp, record));
        }
        for (row, _) in rows(disk, Table::Incoming) {
            let (number, packet_id) = key::parse_incoming(row).expect("a receipt's key");
            flows.incoming.entry(number).or_default().push(packet_id);
        }
        flows
    }

    fn session(
        &mut self,
        account: Option<AccountId>,
        client_id: &str,
        record: Session,
    ) -> RecoveredSession {
        RecoveredSession {
            account,
            name: account.map_or("", |_| crate::client::USER).into(),
            admin: false,
            client_id: client_id.into(),
            subscriptions: self
                .subscriptions
                .remove(&record.number)
                .unwrap_or_default(),
            outgoing: self.outgoing.remove(&record.number).unwrap_or_default(),
            incoming: self.incoming.remove(&record.number).unwrap_or_default(),
            record,
        }
    }
}
