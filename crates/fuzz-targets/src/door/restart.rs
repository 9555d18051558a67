//! The server dies with what is on disk and starts again, and stored messages that nobody needs are thrown away.

use broker::{
    Identity, Message, RecoveredClaim, RecoveredSession, RecoveredWill, Recovery, RetainedMessage,
    Shard,
};
use bytes::Bytes;
use records::{AccountId, Claim, Outgoing, Pos, QueuedParts, Subscription, Will, key};

use super::world::World;

impl World {
    pub(super) fn restart(&mut self) {
        let count = self.shards.len() as u16;
        self.appends.clear();
        self.services.clear();
        self.asked.clear();
        self.logins.clear();
        self.exchanges.clear();
        self.needed = None;
        for peer in &mut self.peers {
            peer.closed = true;
        }
        self.build_shards(count);
        let mut recoveries: Vec<Recovery> = self.shards.iter().map(Shard::begin_recovery).collect();
        for (shard, recovery) in recoveries.iter_mut().enumerate() {
            self.recover(shard, recovery);
        }
        self.recover_claims(&recoveries);
        let latest = Pos::new(self.entries.len() as u64);
        for (shard, recovery) in self.shards.iter_mut().zip(recoveries) {
            shard.finish_recovery(recovery, latest);
        }
        self.settle();
        self.recover_wills();
        self.settle();
    }

    fn recover_wills(&mut self) {
        let wills: Vec<RecoveredWill> = self
            .store
            .iter()
            .filter_map(|(at, value)| {
                let (account, client_id) = key::parse_will(at).ok()?;
                let account = (account != AccountId::ZERO).then_some(account);
                let identity = Identity {
                    account,
                    name: "".into(),
                    admin: account == Some(AccountId::new(3)),
                };
                let record = Will::decode(&Bytes::from(value.clone())).expect("a will");
                Some(RecoveredWill {
                    identity,
                    client_id: client_id.into(),
                    record,
                })
            })
            .collect();
        for will in wills {
            let mut homes = self.shards.iter_mut();
            let home = homes.find(|shard| shard.owns(will.identity.account, &will.client_id));
            home.expect("a home").recover_will(will, self.now);
        }
        for shard in &mut self.shards {
            shard.publish_recovered_wills(self.now);
        }
    }

    fn recover_claims(&mut self, recoveries: &[Recovery]) {
        for (at, value) in &self.store {
            let Ok(claim) = key::parse_claim(at) else {
                continue;
            };
            let record = Claim::decode(value).expect("a claim");
            // A claim that is over may outlive its message by a moment.
            let Some(stored) = self.store.get(&key::queue(record.message)) else {
                self.shards[0].drop_claim(claim, self.now);
                continue;
            };
            let parts = QueuedParts::decode(stored).expect("a message");
            let recovered = RecoveredClaim {
                claim,
                message: record.message,
                group: &record.group,
                parts: &parts,
            };
            let mut owners = self.shards.iter_mut().zip(recoveries);
            let taken = owners.any(|(shard, own)| shard.recover_begun_claim(own, &recovered))
                || self
                    .shards
                    .iter_mut()
                    .any(|shard| shard.recover_claim(&recovered, self.now));
            if !taken {
                self.shards[0].drop_claim(claim, self.now);
            }
        }
    }

    pub(super) fn trim(&mut self) {
        let needed = self.needed;
        self.store.retain(|at, _| match key::parse_queue(at) {
            Ok(stamp) => needed.is_none_or(|needed| stamp >= needed),
            Err(_) => true,
        });
        self.low_waters.clear();
        for shard in &mut self.shards {
            shard.seek_low_water(self.now);
        }
        self.settle();
        assert_eq!(self.low_waters.len(), self.shards.len());
        self.needed = self.low_waters.iter().min().copied();
    }

    fn recover(&mut self, shard: usize, recovery: &mut Recovery) {
        for (at, value) in &self.store {
            let Ok((account, client_id)) = key::parse_session(at) else {
                continue;
            };
            let account = (account != AccountId::ZERO).then_some(account);
            if !self.shards[shard].owns(account, client_id) {
                continue;
            }
            let record = records::Session::decode(value).expect("a session");
            let recovered = self.recovered_session(account, client_id, record);
            self.shards[shard].recover_session(recovery, recovered, self.now);
        }
        for (at, value) in &self.store {
            if let Ok(stamp) = key::parse_queue(at) {
                let message = QueuedParts::decode(value).expect("a message");
                self.shards[shard].recover_queued(recovery, stamp, &message);
            }
            if key::parse_retained(at).is_ok() {
                let retained = records::Retained::decode(&Bytes::from(value.clone()));
                let retained = retained.expect("a retained message");
                let message = Message::from_record(retained.message);
                let packed = RetainedMessage::new(retained.stamp, &message);
                self.shards[shard].recover_retained(&message.topic, packed);
            }
        }
    }

    fn recovered_session(
        &self,
        account: Option<AccountId>,
        client_id: &str,
        record: records::Session,
    ) -> RecoveredSession {
        let number = record.number;
        let mut recovered = RecoveredSession {
            account,
            name: "".into(),
            admin: account == Some(AccountId::new(3)),
            client_id: client_id.into(),
            subscriptions: Vec::new(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            record,
        };
        for (at, value) in &self.store {
            if let Ok((owner, filter)) = key::parse_subscription(at)
                && owner == number
            {
                let record = Subscription::decode(value).expect("a subscription");
                recovered.subscriptions.push((filter.into(), record));
            }
            if let Ok((owner, stamp)) = key::parse_outgoing(at)
                && owner == number
            {
                let record = Outgoing::decode(value).expect("a delivery");
                recovered.outgoing.push((stamp, record));
            }
            if let Ok((owner, packet_id)) = key::parse_incoming(at)
                && owner == number
            {
                recovered.incoming.push(packet_id);
            }
        }
        recovered
    }
}
