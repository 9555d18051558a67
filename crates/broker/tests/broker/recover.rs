//! A process that dies and starts again: new shards from what is in the world's store.

use broker::{Message as Carried, RecoveredSession, RetainedMessage};
use bytes::Bytes;
use records::{AccountId, Outgoing, Pos, QueuedParts, Subscription, key};

use crate::world::World;

impl World {
    /// The process dies with what is on disk, and starts again.
    pub(crate) fn restart(&mut self) {
        let count = self.shards.len() as u16;
        self.appends.clear();
        self.services.clear();
        self.needed = None;
        for peer in &mut self.peers {
            peer.closed = true;
        }
        self.build_shards(count);
        for shard in 0..usize::from(count) {
            self.recover(shard);
        }
        self.settle();
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

    fn recover(&mut self, shard: usize) {
        let mut recovery = self.shards[shard].begin_recovery();
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
            self.shards[shard].recover_session(&mut recovery, recovered, self.now);
        }
        for (at, value) in &self.store {
            if let Ok(stamp) = key::parse_queue(at) {
                let message = QueuedParts::decode(value).expect("a message");
                self.shards[shard].recover_queued(&recovery, stamp, &message);
            }
            if key::parse_retained(at).is_ok() {
                let retained = records::Retained::decode(&Bytes::from(value.clone()));
                let retained = retained.expect("a retained message");
                let message = Carried::from_record(retained.message);
                let packed = RetainedMessage::new(retained.stamp, &message);
                self.shards[shard].recover_retained(&message.topic, packed);
            }
        }
        self.shards[shard].finish_recovery(recovery, Pos::ZERO);
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
