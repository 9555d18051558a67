//! A process that dies and starts again: new shards from what is in the world's store.

use broker::{
    Identity, Message as Carried, RecoveredClaim, RecoveredSession, RecoveredWill, Recovery,
    RetainedMessage, Shard,
};
use bytes::Bytes;
use records::{AccountId, Claim, Outgoing, Pos, QueuedParts, Stamp, Subscription, Will, key};

use crate::world::World;

impl World {
    /// The process dies with what is on disk, and starts again.
    pub(crate) fn restart(&mut self) {
        self.restart_with(self.shards.len() as u16);
    }

    /// The next machine may have more cores or fewer.
    pub(crate) fn restart_with(&mut self, count: u16) {
        self.appends.clear();
        self.services.clear();
        self.needed = None;
        for peer in &mut self.peers {
            peer.closed = true;
        }
        self.build_shards(count);
        let mut recoveries: Vec<Recovery> = self.shards.iter().map(Shard::begin_recovery).collect();
        for (shard, recovery) in recoveries.iter_mut().enumerate() {
            self.recover_sessions(shard, recovery);
        }
        for (shard, recovery) in recoveries.iter().enumerate() {
            self.recover_messages(shard, recovery);
        }
        self.recover_claims(&recoveries);
        for (shard, recovery) in self.shards.iter_mut().zip(recoveries) {
            shard.finish_recovery(recovery, Pos::ZERO);
        }
        // Every shard knows what the others wait for.
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
                    admin: false,
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
        let claims: Vec<(Stamp, Claim)> = self
            .store
            .iter()
            .filter_map(|(at, value)| {
                let claim = key::parse_claim(at).ok()?;
                Some((claim, Claim::decode(value).expect("a claim")))
            })
            .collect();
        for (claim, record) in claims {
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
            let mut shards = self.shards.iter_mut().zip(recoveries);
            let taken = shards
                .any(|(shard, recovery)| shard.recover_begun_claim(recovery, &recovered))
                || self
                    .shards
                    .iter_mut()
                    .any(|shard| shard.recover_claim(&recovered, self.now));
            if !taken {
                self.shards[0].drop_claim(claim, self.now);
            }
        }
    }

    /// Stored messages that no shard needed the last time are thrown away, and the shards are asked again.
    pub(crate) fn trim(&mut self) {
        let needed = self.needed;
        self.store.retain(|at, _| match key::parse_queue(at) {
            Ok(stamp) => needed.is_none_or(|needed| stamp >= needed),
            Err(_) => true,
        });
        self.needed = (0..self.shards.len())
            .map(|shard| self.low_water(shard))
            .min();
    }

    fn recover_sessions(&mut self, shard: usize, recovery: &mut Recovery) {
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
    }

    fn recover_messages(&mut self, shard: usize, recovery: &Recovery) {
        for (at, value) in &self.store {
            if let Ok(stamp) = key::parse_queue(at) {
                let message = QueuedParts::decode(value).expect("a message");
                self.shards[shard].recover_queued(recovery, stamp, &message);
            }
            if key::parse_retained(at).is_ok() {
                let retained = records::Retained::decode(&Bytes::from(value.clone()));
                let retained = retained.expect("a retained message");
                let message = Carried::from_record(retained.message);
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
        let mut recovered = RecoveredSession {
            account,
            name: "".into(),
            admin: false,
            client_id: client_id.into(),
            subscriptions: Vec::new(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            record,
        };
        let number = recovered.record.number;
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
