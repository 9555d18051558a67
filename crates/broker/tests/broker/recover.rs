//! A process that dies and starts again: new shards from what is in the world's store.

use broker::{Identity, recover};
use records::{AccountId, Pos, key};

use crate::world::World;

impl World {
    /// The process dies with what is on disk, and starts again.
    pub(crate) fn restart(&mut self) {
        self.restart_with(self.shards.len() as u16);
    }

    /// The next machine may have more cores or fewer.
    pub(crate) fn restart_with(&mut self, count: u16) {
        self.restart_at(count, Pos::ZERO);
    }

    /// The messenger has come so far.
    pub(crate) fn restart_at(&mut self, count: u16, latest: Pos) {
        self.appends.clear();
        self.services.clear();
        self.needed = None;
        for peer in &mut self.peers {
            peer.closed = true;
        }
        self.build_shards(count);
        let identity = |account: Option<AccountId>| {
            let name = account.map_or(String::new(), crate::logins::name);
            Identity {
                account,
                admin: name == "root",
                name: name.into(),
                token: None,
            }
        };
        let shards = &mut self.shards;
        let first = recover(&self.store, shards, identity, latest, self.now).expect("sound rows");
        for (shard, outputs) in first.into_iter().enumerate() {
            for output in outputs {
                self.carry_out(shard, output);
            }
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
}
