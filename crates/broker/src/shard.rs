//! One shard: its tables of connections and sessions, its clock, its inputs and outputs. What it does with each is in the
//! folders beside it, in files with an `impl Shard`.

use std::sync::Arc;

use ahash::RandomState;
use records::{Millis, Stamp};

use crate::authentication::closed::{Closed, ClosedClients};
use crate::clock::Clock;
use crate::connections::connection::{Connection, Stage};
use crate::connections::table::Connections;
use crate::delivery::fanouts::Fanouts;
use crate::delivery::frames::FrameCache;
use crate::io::{ConnectionId, Input, Output};
use crate::messenger::interest::Messenger;
use crate::metrics::collected::Metrics;
use crate::metrics::counters::{Counters, Population, SlowClient};
use crate::metrics::latency::Latencies;
use crate::outputs::Outputs;
use crate::peers::Peers;
use crate::publishing::rates::Rates;
use crate::retained::table::RetainedMessages;
use crate::sessions::account_usage::AccountUsage;
use crate::sessions::table::Sessions;
use crate::settings::Settings;
use crate::shared::table::SharedSubscriptions;
use crate::stored::appends::Appends;
use crate::stored::cursors::Cursors;
use crate::stored::messages::StoredMessages;
use crate::subscriptions::table::Subscriptions;
use crate::turn::work::{TURN_WORK_MAX, Turn};

/// Most shards a server can have: they are addressed by bit masks and by eight bits of a stamp.
pub const SHARDS_MAX: u16 = 64;
/// Connections checked in one call.
const CHECKS_PER_CALL: usize = 1024;
/// Sessions that end, or wills that are published, in one call.
const ENDS_PER_CALL: usize = 128;
/// What a shard is, among how many.
#[derive(Debug, Clone)]
pub struct Place {
    /// This shard's number.
    pub shard: u16,
    /// How many there are.
    pub shards: u16,
    /// Keys of the hash tables: random, but the same for every shard.
    pub seeds: [u64; 4],
    /// What accounts take, the same for every shard.
    pub usage: Arc<AccountUsage>,
}

/// One shard of the broker.
pub struct Shard {
    pub(crate) peers: Peers,
    pub(crate) settings: Arc<Settings>,
    pub(crate) connections: Connections,
    pub(crate) sessions: Sessions,
    pub(crate) messenger: Messenger,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) shared: SharedSubscriptions,
    pub(crate) retained: RetainedMessages,
    pub(crate) frames: FrameCache,
    pub(crate) appends: Appends,
    pub(crate) stored: StoredMessages,
    pub(crate) clock: Clock,
    pub(crate) outputs: Outputs,
    pub(crate) turn: Turn,
    pub(crate) fanouts: Fanouts,
    pub(crate) publish_rates: Rates,
    pub(crate) closed_clients: ClosedClients,
    pub(crate) cursors: Cursors,
    pub(crate) metrics: Metrics,
}

impl Shard {
    /// An empty shard.
    pub fn new(place: &Place, settings: Arc<Settings>, now: Millis) -> Self {
        assert!(
            place.shards <= SHARDS_MAX && place.shard < place.shards,
            "shards are numbered from zero"
        );
        let [a, b, c, d] = place.seeds;
        let hasher = RandomState::with_seeds(a, b, c, d);
        let peers = Peers::new(place.shard, place.shards);
        Self {
            peers,
            settings,
            connections: Connections::new(now),
            sessions: Sessions::new(peers, hasher.clone(), place.usage.clone()),
            messenger: Messenger::new(&hasher),
            subscriptions: Subscriptions::new(peers, place.seeds),
            shared: SharedSubscriptions::new(place.seeds),
            retained: RetainedMessages::new(),
            publish_rates: Rates::new(hasher.clone()),
            frames: FrameCache::new(hasher),
            appends: Appends::default(),
            stored: StoredMessages::default(),
            clock: Clock::new(place.shard, now),
            outputs: Outputs::default(),
            turn: Turn::default(),
            fanouts: Fanouts::default(),
            closed_clients: ClosedClients::default(),
            cursors: Cursors::default(),
            metrics: Metrics::default(),
        }
    }

    /// A socket was accepted.
    pub fn accept(&mut self, now: Millis) -> ConnectionId {
        self.accept_through(0, now)
    }

    /// A connection through a listener with limits of its own, or 0.
    pub fn accept_through(&mut self, listener: u8, now: Millis) -> ConnectionId {
        self.accept_late(listener, 0, now)
    }

    /// A connection that began `waited` milliseconds ago, outside: so much of the time for its CONNECT has gone.
    pub fn accept_late(&mut self, listener: u8, waited: u64, now: Millis) -> ConnectionId {
        self.metrics.counters.connections_accepted += 1;
        let id = self.insert_connection(now);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.listener = listener;
        }
        let left = self.connect_timeout_ms(id).saturating_sub(waited);
        self.connections
            .schedule_check(id, now.saturating_add(left), now, &self.clock);
        id
    }

    /// Who this connection is has been proved outside, before its CONNECT: whatever name that gives, or none, it is asked
    /// about with [`Output::Authenticate`].
    pub fn vouch(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.vouched = true;
        }
    }

    /// Whether the connection is to be read; false while something has to happen first.
    pub fn wants_bytes(&self, id: ConnectionId) -> bool {
        self.connections
            .get(id)
            .is_some_and(|connection| !connection.paused)
    }

    /// The socket was closed by the peer or failed.
    pub fn closed(&mut self, id: ConnectionId, now: Millis) {
        if self.connections.get(id).is_some() {
            self.lose_connection(id, now);
        }
    }

    /// Bytes that wait for this connection's socket.
    pub fn outgoing(&self, id: ConnectionId) -> &[u8] {
        self.connections.get(id).map_or(&[], |connection| {
            &connection.outgoing[connection.written as usize..]
        })
    }

    /// The first `count` bytes of [`Shard::outgoing`] are written.
    pub fn wrote(&mut self, id: ConnectionId, count: usize, now: Millis) {
        self.metrics.counters.bytes_sent += count as u64;
        self.turn.unbuffer(count);
        let low_water = self.settings.limits.outgoing_bytes_max / 2;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.written += count as u32;
        assert!(
            connection.written as usize <= connection.outgoing.len(),
            "only what waits can be written"
        );
        if connection.backlog() == 0 {
            self.connections.recycle(id.slot);
        }
        let connection = &mut self.connections[id.slot];
        if connection.backlog() > low_water {
            return;
        }
        let choked = std::mem::take(&mut connection.choked);
        if let Stage::Open { session } = connection.stage
            && self.sessions[session].wants_room()
        {
            self.pump(session, now);
        }
        if choked {
            self.resume(id, now);
        }
    }

    /// Something happened outside.
    pub fn handle(&mut self, input: Input, now: Millis) {
        match input {
            Input::Authenticated {
                connection,
                verdict,
            } => self.authenticated(connection, verdict, now),
            Input::Exchanged {
                connection,
                outcome,
            } => self.exchanged(connection, outcome, now),
            Input::Appended(ticket) => self.appended(ticket, now),
            Input::Forwarded(forwarded) => self.forwarded(&forwarded, now),
            Input::Announced(announcement) => self.announced(&announcement, now),
            Input::PassedOn(passed) => self.passed_on(passed, now),
            Input::Deliver(delivery) => self.deliver_chat(&delivery, now),
            Input::CaughtUp {
                session,
                entries,
                upto,
                more,
            } => {
                self.caught_up(session, entries, upto, more, now);
            }
            Input::Fetched { session, messages } => self.fetched(session, messages, now),
            Input::Acknowledged {
                session,
                ack,
                outcome,
            } => self.chat_acknowledged(session, ack, outcome, now),
            Input::CloseAccount { account, reason } => {
                self.close_clients(Closed::account(account), reason, now);
            }
            Input::CloseToken {
                account,
                token,
                reason,
            } => self.close_clients(Closed::token(account, token), reason, now),
            Input::System(figures) => self.update_system_figures(&figures, now),
            Input::Storage(pressure) => self.pressed(pressure),
            Input::Shed(order) => self.begin_shedding(order),
            Input::Reconfigure(settings) => self.reconfigure(settings),
            Input::Shutdown => self.shutdown(now),
        }
        self.hand_over();
    }

    /// The newest stamp this shard has given or heard of. Whatever it writes to a socket tells of moments up to here.
    pub fn clock(&self) -> Stamp {
        self.clock.latest()
    }

    /// A stamp of elsewhere: ours go on from there. Before bytes are received, every shard whose bytes their sender may
    /// have read has to be heard of, or a subscription could seem older than what was acknowledged before it.
    pub fn observe(&mut self, stamp: Stamp) {
        self.clock.observe(stamp);
    }

    /// What has to be done outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop() {
            return Some(output);
        }
        self.connections.next_touched().map(Output::Flush)
    }

    /// When [`Shard::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Millis> {
        [
            self.connections.next_due(),
            self.sessions.next_due(),
            self.cursors.next_due(),
            self.publish_rates.next_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has passed. What is left over is due at once.
    pub fn handle_timeout(&mut self, now: Millis) {
        for _ in 0..CHECKS_PER_CALL {
            let Some(id) = self.connections.take_due(now) else {
                break;
            };
            self.check_connection(id, now);
        }
        let before = self.turn.work();
        for _ in 0..ENDS_PER_CALL {
            let Some((slot, serial)) = self.sessions.take_due(now) else {
                break;
            };
            self.check_session(slot, serial, now);
            // Each may have a few hundred subscriptions.
            if self.turn.work() - before > TURN_WORK_MAX {
                break;
            }
        }
        if self.cursors.next_due().is_some_and(|due| due <= now) {
            self.store_cursors(now);
        }
        self.read_slowed(now);
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            packets_sent: self.connections.packets(),
            ..self.metrics.counters
        }
    }

    /// How long acknowledgements and deliveries have taken since the start.
    pub fn latencies(&self) -> &Latencies {
        self.metrics.latencies.total()
    }

    /// The connected clients for which most waited when [`Self::seek_low_water`] was last answered, the most first; at most
    /// [`SlowClient::MAX`].
    pub fn slowest(&self) -> &[SlowClient] {
        self.metrics.slowest()
    }

    /// Connections, sessions, subscriptions and retained messages at this moment.
    pub fn population(&self) -> Population {
        let waits = self.metrics.waits();
        Population {
            connections: self.connections.len(),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.index.len() + self.shared.index.len(),
            retained: self.retained.len(),
            retained_bytes: self.retained.bytes(),
            appends_pending: self.appends.len(),
            offline: self.sessions.offline(),
            shared_subscriptions: self.shared.index.len(),
            waiting_messages: waits.messages,
            waiting_bytes: waits.bytes,
        }
    }

    // Tables.

    pub(crate) fn insert_connection(&mut self, now: Millis) -> ConnectionId {
        self.connections.insert(self.clock.seconds(now))
    }

    pub(crate) fn remove_connection(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(id)?;
        self.turn.unbuffer(connection.backlog());
        Some(connection)
    }
}
