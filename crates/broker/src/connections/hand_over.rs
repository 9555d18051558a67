//! Connections whose session lives on another shard: given away with what came behind their CONNECT, and taken there.

use records::Millis;

use crate::connections::connection::Stage;
use crate::connections::pending_connect::PendingConnect;
use crate::io::{ConnectionId, Output};
use crate::shard::Shard;

impl Shard {
    /// Sends the connections that belong elsewhere on their way, with what came behind their CONNECT.
    pub(crate) fn hand_over(&mut self) {
        for id in self.connections.take_leaving() {
            let leaves = self
                .connections
                .get(id)
                .is_some_and(|connection| matches!(connection.stage, Stage::Leaving(_)));
            let Some(connection) = leaves.then(|| self.remove_connection(id)).flatten() else {
                continue;
            };
            let Stage::Leaving(mut pending) = connection.stage else {
                continue;
            };
            pending.exchange = connection.exchange;
            pending.rest = connection.partial.map_or_else(Vec::new, |rest| *rest);
            self.outputs.push(Output::HandOver {
                connection: id,
                shard: pending.home,
                pending,
            });
        }
    }

    /// Takes a connection whose CONNECT another shard has accepted.
    #[expect(clippy::boxed_local, reason = "as the hand-over brings it")]
    pub fn adopt(&mut self, mut pending: Box<PendingConnect>, now: Millis) -> ConnectionId {
        let id = self.insert_connection(now);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.version = pending.version;
            connection.problem_information = pending.problem_information;
            connection.packet_bytes_max = pending.packet_bytes_max;
            connection.exchange = pending.exchange.take();
            connection.listener = pending.listener;
            let rest = std::mem::take(&mut pending.rest);
            connection.partial = (!rest.is_empty()).then(|| Box::new(rest));
            connection.paused = true;
        }
        let timeout = self.connect_timeout_ms(id);
        self.connections
            .schedule_check(id, now.saturating_add(timeout), now, &self.clock);
        self.open(id, *pending, now);
        id
    }
}
