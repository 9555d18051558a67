//! Clients whose accounts publish too fast are not read for a while.

use records::Millis;

use crate::io::ConnectionId;
use crate::publishing::rates::Payer;
use crate::shard::Shard;

impl Shard {
    /// A client has published to an ordinary topic: it is not read for a while if that was one too many for now.
    pub(crate) fn charge_publish(&mut self, id: ConnectionId, slot: u32, now: Millis) {
        let per_second = self.settings.limits.publishes_per_second_max;
        if per_second == 0 {
            return;
        }
        let session = &self.sessions[slot];
        let payer = session
            .account
            .map_or(Payer::Session(session.serial), Payer::Account);
        let allowances = &self.settings.allowances;
        let rates = &mut self.publish_rates;
        if rates.slows(id, payer, allowances, per_second, now) {
            self.metrics.counters.publishers_slowed += 1;
            self.connections.pause(id);
        }
    }

    /// Reads those again whose time has come.
    pub(crate) fn read_slowed(&mut self, now: Millis) {
        let due: Vec<ConnectionId> =
            std::iter::from_fn(|| self.publish_rates.take_due(now)).collect();
        self.turn.defer_reads(due);
    }
}
