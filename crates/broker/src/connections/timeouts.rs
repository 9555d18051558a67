//! When a connection has been silent for too long: before its CONNECT, while it is kept alive, and while
//! it does not take the last bytes it is owed.

use mqtt_codec::ReasonCode;
use records::Millis;

use crate::connections::connection::Stage;
use crate::io::{ConnectionId, Output};
use crate::shard::Shard;

impl Shard {
    /// How long this connection may take until it is open.
    pub(crate) fn connect_timeout_ms(&self, id: ConnectionId) -> u64 {
        let listener = self
            .connections
            .get(id)
            .map_or(0, |connection| connection.listener);
        u64::from(self.settings.listener(listener).connect_timeout_secs) * 1000
    }

    /// The time of a check has come.
    pub(crate) fn check_connection(&mut self, id: ConnectionId, now: Millis) {
        let timeout = self.connect_timeout_ms(id);
        let now_secs = self.clock.seconds(now);
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if connection.check_secs > now_secs {
            return;
        }
        // Of the second in which it was heard the last moment counts: nobody is given up too early.
        let heard = self.clock.end_of_second(connection.heard_secs);
        match connection.stage {
            Stage::Closing => {
                // The peer does not take what was to be said: the socket is closed without it.
                self.turn.unbuffer(connection.backlog());
                self.connections.recycle(id.slot);
                self.outputs.push(Output::Close(id));
            }
            Stage::AwaitConnect => self.give_up_on(id, now),
            // An exchange in which the client has the next word is a CONNECT that has not come.
            Stage::Authenticating(_) if connection.awaits_client() => self.give_up_on(id, now),
            Stage::Authenticating(_) | Stage::Leaving(_) | Stage::Storing { .. } => {
                self.connections
                    .schedule_check(id, now.saturating_add(timeout), now, &self.clock);
            }
            Stage::Open { .. } if connection.keepalive_secs == 0 => {}
            Stage::Open { .. } => {
                // [3.1.1 MQTT-3.1.2-24] [5 MQTT-3.1.2-22]: one and a half times the keep-alive.
                let due = heard.saturating_add(u64::from(connection.keepalive_secs) * 1500);
                // Whoever we do not read by our own choice may have said something.
                let unheard = connection.paused && !connection.choked;
                if due <= now && unheard {
                    self.connections.schedule_check(
                        id,
                        now.saturating_add(timeout),
                        now,
                        &self.clock,
                    );
                } else if due <= now {
                    self.metrics.counters.keepalive_timeouts += 1;
                    self.disconnect(id, ReasonCode::KEEP_ALIVE_TIMEOUT, now);
                } else {
                    self.connections.schedule_check(id, due, now, &self.clock);
                }
            }
        }
    }
    /// It has not come as far as a CONNACK in time.
    fn give_up_on(&mut self, id: ConnectionId, now: Millis) {
        self.metrics.counters.connect_timeouts += 1;
        self.lose_connection(id, now);
    }
}
