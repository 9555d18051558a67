//! One shard: what it holds, and which inputs and outputs there are. What it holds is in the folders beside it, each a type of its own
//! that knows no `Shard`; what is done with several of them is there too, in files with an `impl Shard`.

use std::sync::Arc;

use ahash::RandomState;
use mqtt_codec::ReasonCode;
use records::{Millis, Stamp};

use crate::authentication::closed::{Closed, ClosedClients};
use crate::clock::Clock;
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
use crate::turn::deferred::DeferredWork;
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
    /// Which shard this is, and among how many.
    pub(crate) peers: Peers,
    /// What the operator has decided.
    pub(crate) settings: Arc<Settings>,
    /// What orders publishes and subscriptions.
    pub(crate) clock: Clock,
    /// What is to be done outside.
    pub(crate) outputs: Outputs,
    /// What this turn has done, and what is left for later ones.
    pub(crate) turn: Turn,
    /// What the shard counts and measures.
    pub(crate) metrics: Metrics,

    /// Network connections.
    pub(crate) connections: Connections,
    /// Accounts and tokens that were closed of late.
    pub(crate) closed_clients: ClosedClients,
    /// How fast accounts publish.
    pub(crate) publish_rates: Rates,
    /// What outlives connections.
    pub(crate) sessions: Sessions,

    /// Who gets an ordinary topic.
    pub(crate) subscriptions: Subscriptions,
    /// Who shares one.
    pub(crate) shared: SharedSubscriptions,
    /// Retained messages.
    pub(crate) retained: RetainedMessages,
    /// Sessions' part in the messenger.
    pub(crate) messenger: Messenger,

    /// The message at hand, encoded.
    pub(crate) frames: FrameCache,
    /// Messages that go to very many in pieces.
    pub(crate) fanouts: Fanouts,

    /// What is on its way to the disk.
    pub(crate) appends: Appends,
    /// What waits there.
    pub(crate) stored: StoredMessages,
    /// How far sessions have come with it.
    pub(crate) cursors: Cursors,
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
            clock: Clock::new(place.shard, now),
            outputs: Outputs::default(),
            turn: Turn::default(),
            metrics: Metrics::default(),
            connections: Connections::new(now),
            closed_clients: ClosedClients::default(),
            publish_rates: Rates::new(hasher.clone()),
            sessions: Sessions::new(peers, hasher.clone(), place.usage.clone()),
            subscriptions: Subscriptions::new(peers, place.seeds),
            shared: SharedSubscriptions::new(place.seeds),
            retained: RetainedMessages::new(),
            messenger: Messenger::new(&hasher),
            frames: FrameCache::new(hasher),
            fanouts: Fanouts::default(),
            appends: Appends::default(),
            stored: StoredMessages::default(),
            cursors: Cursors::default(),
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

    pub(crate) fn shutdown(&mut self, now: Millis) {
        self.sessions.keep_all_offline();
        self.finish_fanouts(now);
        self.finish_account_deliveries(now);
        let everyone: Vec<ConnectionId> = self.connections.ids().collect();
        for id in everyone {
            self.disconnect(id, ReasonCode::SERVER_SHUTTING_DOWN, now);
        }
        while self.cursors.has_moved() {
            self.store_cursors(now);
        }
    }

    /// Another configuration. If it sends clients elsewhere, those who are here already go too.
    pub(crate) fn reconfigure(&mut self, settings: Arc<Settings>) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.publish_rates.forget();
        let now = &self.settings;
        if (&before.access, before.allow_anonymous, &before.listeners)
            != (&now.access, now.allow_anonymous, &now.listeners)
        {
            self.check_access_again();
        }
        if self.settings.redirect.reason().is_some() {
            self.turn.defer(DeferredWork::Redirect { next: 0 });
        }
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
}
