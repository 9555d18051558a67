//! The server dies with what is on disk and starts again, and stored messages that nobody needs are thrown away.

use broker::{Identity, Unreadable, recover};
use records::{AccountId, Pos, key};

use super::world::World;

impl World {
    /// The server is of no use if a row cannot be read.
    pub(super) fn restart(&mut self) -> Result<(), Unreadable> {
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
        let latest = Pos::new(self.entries.len() as u64);
        let identity = |account| Identity {
            account,
            name: "".into(),
            admin: account == Some(AccountId::new(3)),
            token: None,
        };
        let shards = &mut self.shards;
        let first = recover(&self.store, shards, identity, latest, self.now)?;
        for (shard, outputs) in first.into_iter().enumerate() {
            for output in outputs {
                self.carry_out(shard, output);
            }
        }
        self.settle();
        Ok(())
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
}
