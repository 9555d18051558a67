//! Sockets, a store, logins, a clock and a messenger around the shards, which do what the input's steps say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use broker::{
    AuthenticationRequest, ChatDelivery, ExchangeRequest, Exchanged, Identity, Input, Limits,
    Message, Output, Place, Service, Settings, Shard, Ticket,
};
use bytes::Bytes;
use mqtt_codec::{ReasonCode, Version};
use records::{AccountId, Cursor, Millis, Pos, QueuedMessage, SessionRef, Stamp, Write, key};

use super::peer::Peer;
use crate::feed::Feed;
use crate::naive::SEEDS;

pub(super) const START: Millis = Millis::new(1_766_000_000_000);
/// Connections open at once.
const PEERS_MAX: usize = 6;
/// Sessions that a step may name.
const SESSIONS_KNOWN_MAX: usize = 16;
/// Rounds after which the world does not come to rest any more.
const ROUNDS_MAX: usize = 100_000;
/// The longest key the store takes.
const KEY_BYTES_MAX: usize = 65_535;

/// See the file's header.
pub(super) struct World {
    pub(super) shards: Vec<Shard>,
    pub(super) now: Millis,
    pub(super) store: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) appends: VecDeque<(usize, Ticket, Vec<Write>)>,
    pub(super) services: VecDeque<Service>,
    pub(super) asked: VecDeque<(usize, SessionRef, Vec<Stamp>)>,
    pub(super) logins: VecDeque<(usize, AuthenticationRequest)>,
    pub(super) exchanges: VecDeque<(usize, ExchangeRequest)>,
    pub(super) peers: Vec<Peer>,
    /// Appends, logins, and reads from the store happen only when a step says so.
    pub(super) slow_disk: bool,
    pub(super) slow_logins: bool,
    pub(super) slow_store: bool,
    pub(super) needed: Option<Stamp>,
    /// What the shards have answered when they were asked which stored messages they need.
    pub(super) low_waters: Vec<Stamp>,
    settings: Arc<Settings>,
    sessions: Vec<SessionRef>,
    /// Stored entries of the messenger.
    pub(super) entries: Vec<Arc<ChatDelivery>>,
}

fn settings(generous: bool) -> Arc<Settings> {
    let scale = if generous { 4 } else { 1 };
    Arc::new(Settings {
        limits: Limits {
            connect_bytes_max: 512,
            packet_bytes_max: 1024,
            keepalive_max_secs: 20,
            session_expiry_max_secs: 3600,
            receive_maximum: 3 * scale as u16,
            topic_alias_maximum: 4,
            topic_aliases_sent_max: 3,
            inflight_max: 4 * scale as u16,
            queued_messages_max: 4 * scale,
            queued_bytes_max: 2048 * scale,
            stored_messages_max: 8 * scale,
            stored_bytes_max: 4096 * scale as u64,
            offline_sessions_max: 3 * scale,
            outgoing_bytes_max: 1024 * scale,
            subscriptions_max: 4 * scale,
            topic_bytes_max: 64,
            topic_levels_max: 8,
            user_properties_max: 4,
            connections_max: 5,
            sessions_max: 6,
            retained_messages_max: 4,
            retained_bytes_max: 4096,
            appends_max: 3,
            ..Limits::default()
        },
        allow_anonymous: true,
        ..Settings::default()
    })
}

impl World {
    pub(super) fn new(shards: u16) -> Self {
        let mut world = Self {
            shards: Vec::new(),
            now: START,
            store: BTreeMap::new(),
            appends: VecDeque::new(),
            services: VecDeque::new(),
            asked: VecDeque::new(),
            logins: VecDeque::new(),
            exchanges: VecDeque::new(),
            peers: Vec::new(),
            slow_disk: false,
            slow_logins: false,
            slow_store: false,
            needed: None,
            low_waters: Vec::new(),
            settings: settings(false),
            sessions: Vec::new(),
            entries: Vec::new(),
        };
        world.build_shards(shards);
        world
    }

    pub(super) fn build_shards(&mut self, shards: u16) {
        let usage = Arc::new(broker::AccountUsage::default());
        let place = |shard| Place {
            shard,
            shards,
            seeds: SEEDS,
            usage: usage.clone(),
        };
        let shard = |shard| Shard::new(&place(shard), self.settings.clone(), self.now);
        self.shards = (0..shards).map(shard).collect();
    }

    // Clients.

    /// One of the open connections, or a new one.
    pub(super) fn choose_peer(&mut self, feed: &mut Feed<'_>) -> Option<usize> {
        let pick = feed.byte();
        let open: Vec<usize> = (0..self.peers.len())
            .filter(|peer| !self.peers[*peer].closed)
            .collect();
        let new = open.is_empty() || (pick >= 0xC0 && open.len() < PEERS_MAX);
        if !new {
            return Some(open[usize::from(pick) % open.len()]);
        }
        let shard = usize::from(pick) % self.shards.len();
        let id = self.shards[shard].accept(self.now);
        self.peers.push(Peer::new(shard, id));
        self.settle();
        let peer = self.peers.len() - 1;
        (!self.peers[peer].closed).then_some(peer)
    }

    pub(super) fn version(&self, peer: usize) -> Version {
        self.peers[peer].version()
    }

    pub(super) fn say(&mut self, peer: usize, bytes: &[u8]) {
        self.peers[peer].say(bytes);
        self.feed(peer);
        self.settle();
    }

    pub(super) fn say_anything(&mut self, peer: usize, bytes: &[u8]) {
        self.peers[peer].say_anything(bytes);
        self.feed(peer);
        self.settle();
    }

    pub(super) fn acknowledgement(&mut self, peer: usize, feed: &mut Feed<'_>) -> Vec<u8> {
        self.peers[peer].acknowledgement(feed)
    }

    /// What the server reads at once from here on: `size` bytes, or everything.
    pub(super) fn piecewise(&mut self, peer: usize, size: u8) {
        self.peers[peer].piece = if size == 0 { usize::MAX } else { size.into() };
    }

    pub(super) fn cut(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.closed = true;
        let (shard, id) = (peer.shard, peer.id);
        self.shards[shard].closed(id, self.now);
        self.settle();
        self.shards[shard].forget(id);
        self.settle();
    }

    pub(super) fn block(&mut self, peer: usize, blocked: bool) {
        self.peers[peer].blocked = blocked;
        self.flush(peer);
        self.settle();
    }

    /// A blocked socket takes some bytes.
    pub(super) fn take_some(&mut self, peer: usize, count: usize) {
        self.take(peer, count);
        self.settle();
    }

    /// A session that was heard of.
    pub(super) fn session(&self, feed: &mut Feed<'_>) -> Option<SessionRef> {
        let pick = usize::from(feed.byte());
        let place = pick.checked_rem(self.sessions.len())?;
        Some(self.sessions[place])
    }

    // What happens outside.

    pub(super) fn input_all(&mut self, input: impl Fn() -> Input) {
        for shard in &mut self.shards {
            shard.handle(input(), self.now);
        }
        self.settle();
    }

    pub(super) fn reconfigure(&mut self, generous: bool) {
        self.settings = settings(generous);
        let settings = self.settings.clone();
        self.input_all(|| Input::Reconfigure(settings.clone()));
    }

    pub(super) fn advance(&mut self, millis: u64) {
        let end = self.now.saturating_add(millis);
        for _ in 0..ROUNDS_MAX {
            let due = self.shards.iter().filter_map(Shard::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            for shard in &mut self.shards {
                shard.handle_timeout(self.now);
            }
            self.settle();
        }
        panic!("timeouts without end");
    }

    pub(super) fn commit(&mut self, count: usize) {
        for _ in 0..=count {
            self.commit_one();
        }
        self.settle();
    }

    fn commit_one(&mut self) {
        let Some((shard, ticket, writes)) = self.appends.pop_front() else {
            return;
        };
        self.write(writes);
        self.shards[shard].handle(Input::Appended(ticket), self.now);
    }

    fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            assert!(write.key().len() <= KEY_BYTES_MAX);
            match write {
                Write::Put { key, value } => self.store.insert(key, value),
                Write::Delete { key } => self.store.remove(&key),
            };
        }
    }

    pub(super) fn check_logins(&mut self, sound: bool) {
        while let Some((shard, request)) = self.logins.pop_front() {
            self.authenticate(shard, &request, sound);
        }
        while let Some((shard, request)) = self.exchanges.pop_front() {
            self.exchange(shard, &request, sound);
        }
        self.settle();
    }

    /// A method of two steps, which trusts whoever says an even byte in the second.
    fn exchange(&mut self, shard: usize, request: &ExchangeRequest, sound: bool) {
        let said = request.data.as_ref().and_then(|data| data.first());
        let outcome = match said {
            _ if request.state.is_empty() => Exchanged::Continue {
                data: b"challenge".as_slice().into(),
                state: b"awaits".as_slice().into(),
            },
            Some(said) if sound && said % 2 == 0 => Exchanged::Proved {
                identity: Identity {
                    account: Some(AccountId::new(1 + u64::from(said / 2 % 3))),
                    name: "proved".into(),
                    admin: false,
                    token: None,
                },
                data: b"welcome".as_slice().into(),
            },
            _ => Exchanged::Refused(ReasonCode::NOT_AUTHORIZED),
        };
        let connection = request.connection;
        let input = Input::Exchanged {
            connection,
            outcome,
        };
        self.shards[shard].handle(input, self.now);
    }

    fn authenticate(&mut self, shard: usize, request: &AuthenticationRequest, sound: bool) {
        let account = match &*request.username {
            "alice" => Some(1),
            "bob" => Some(2),
            "root" => Some(3),
            _ => None,
        };
        let verdict = match account {
            Some(account) if sound => Ok(Identity {
                account: Some(AccountId::new(account)),
                name: (&*request.username).into(),
                admin: account == 3,
                token: None,
            }),
            _ => Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        };
        let connection = request.connection;
        let input = Input::Authenticated {
            connection,
            verdict,
        };
        self.shards[shard].handle(input, self.now);
    }

    /// The store brings what it was asked for, a part of each at a time.
    pub(super) fn bring(&mut self, at_once: usize) {
        while let Some((shard, session, stamps)) = self.asked.pop_front() {
            self.fetch(shard, session, stamps, at_once);
        }
        self.settle();
    }

    fn fetch(&mut self, shard: usize, session: SessionRef, stamps: Vec<Stamp>, at_once: usize) {
        assert!(!stamps.is_empty() && stamps.len() <= broker::FETCH_MAX);
        let messages = stamps.into_iter().take(at_once).map(|stamp| {
            let value = self.store.get(&key::queue(stamp));
            let message = value.map(|value| {
                let record = QueuedMessage::decode(&Bytes::from(value.clone()));
                Arc::new(Message::from_record(record.expect("a stored message")))
            });
            (stamp, message)
        });
        let messages = messages.collect();
        let input = Input::Fetched { session, messages };
        self.shards[shard].handle(input, self.now);
    }

    // The messenger.

    pub(super) fn next_pos(&self) -> Pos {
        Pos::new(self.entries.len() as u64 + 1)
    }

    pub(super) fn deliver(&mut self, delivery: ChatDelivery) {
        let delivery = Arc::new(delivery);
        if delivery.pos.is_some() {
            self.entries.push(delivery.clone());
        }
        self.input_all(|| Input::Deliver(delivery.clone()));
    }

    /// The messenger comes to what was asked of it first.
    pub(super) fn answer_service(&mut self, feed: &mut Feed<'_>) {
        let choice = feed.byte();
        if let Some(service) = self.services.pop_front() {
            self.serve(service, choice);
        }
        self.settle();
    }

    fn serve(&mut self, service: Service, choice: u8) {
        match service {
            Service::Publish(publish) => {
                let Some(ack) = publish.ack else { return };
                let session = publish.session;
                let outcome = if choice & 1 == 0 {
                    Ok(())
                } else {
                    Err((ReasonCode::QUOTA_EXCEEDED, "too much".into()))
                };
                let input = Input::Acknowledged {
                    session,
                    ack,
                    outcome,
                };
                self.shards[usize::from(session.shard)].handle(input, self.now);
            }
            Service::CatchUp { session, since, .. } => {
                let is_missed = |pos| !since.covers(pos);
                let entries = self.entries.iter();
                let missed = entries.filter(|entry| entry.pos.is_some_and(is_missed));
                let most = 1 + usize::from(choice % 4);
                let entries: Vec<_> = missed.clone().take(most).cloned().collect();
                let more = entries.len() < missed.count();
                let last = entries.last().and_then(|entry| entry.pos);
                let upto = last.map_or_else(|| since.clone(), Cursor::at);
                let input = Input::CaughtUp {
                    session,
                    entries,
                    upto,
                    more,
                };
                self.shards[usize::from(session.shard)].handle(input, self.now);
            }
            Service::SessionUp { session, .. } => {
                self.sessions.truncate(SESSIONS_KNOWN_MAX - 1);
                self.sessions.insert(0, session);
            }
            _ => {}
        }
    }

    // Carrying out.

    /// Everything that was put off happens, and every socket takes what waits for it.
    pub(super) fn come_to_rest(&mut self) {
        (self.slow_disk, self.slow_logins, self.slow_store) = (false, false, false);
        for peer in 0..self.peers.len() {
            self.peers[peer].blocked = false;
            self.flush(peer);
        }
        self.check_logins(true);
        self.bring(usize::MAX);
        self.settle();
        while let Some(service) = self.services.pop_front() {
            self.serve(service, 3);
            self.settle();
        }
        for peer in self.peers.iter().filter(|peer| !peer.closed) {
            assert!(peer.is_between_packets(), "half a packet: {peer:?}");
            assert!(self.shards[peer.shard].outgoing(peer.id).is_empty());
        }
        assert!(self.appends.is_empty());
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for shard in 0..self.shards.len() {
                while let Some(output) = self.shards[shard].poll_output() {
                    busy = true;
                    self.carry_out(shard, output);
                }
                if self.shards[shard].has_deferred() {
                    busy = true;
                    self.shards[shard].resume_deferred(self.now);
                }
            }
            if !self.slow_disk && !self.appends.is_empty() {
                busy = true;
                self.commit_one();
            }
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    pub(super) fn carry_out(&mut self, shard: usize, output: Output) {
        match output {
            Output::Flush(id) => {
                if let Some(peer) = self.peer(shard, id) {
                    self.flush(peer);
                }
            }
            Output::Close(id) => {
                if let Some(peer) = self.peer(shard, id) {
                    self.peers[peer].closing = true;
                    self.flush(peer);
                }
            }
            Output::Resume(id) => {
                if let Some(peer) = self.peer(shard, id) {
                    self.feed(peer);
                }
            }
            Output::Authenticate(request) if self.slow_logins => {
                self.logins.push_back((shard, *request));
            }
            Output::Authenticate(request) => self.authenticate(shard, &request, true),
            Output::Exchange(request) if self.slow_logins => {
                self.exchanges.push_back((shard, *request));
            }
            Output::Exchange(request) => self.exchange(shard, &request, true),
            Output::HandOver {
                connection,
                shard: home,
                pending,
            } => {
                let home = usize::from(home);
                let peer = self.peer(shard, connection).expect("an open connection");
                let id = self.shards[home].adopt(pending, self.now);
                (self.peers[peer].shard, self.peers[peer].id) = (home, id);
                self.feed(peer);
            }
            Output::Append { ticket, writes } => {
                let bytes: usize = writes.iter().map(Write::bytes).sum();
                assert!(!writes.is_empty() && bytes <= broker::APPEND_BYTES_MAX);
                self.appends.push_back((shard, ticket, writes));
            }
            Output::Forward { shards, forwarded } => {
                for other in (0..self.shards.len()).filter(|other| shards & (1 << other) != 0) {
                    let input = Input::Forwarded(forwarded.clone());
                    self.shards[other].handle(input, self.now);
                }
            }
            Output::Announce(announcement) => {
                for other in (0..self.shards.len()).filter(|other| *other != shard) {
                    let input = Input::Announced(announcement.clone());
                    self.shards[other].handle(input, self.now);
                }
            }
            Output::PassOn { shard, passed } => {
                self.shards[usize::from(shard)].handle(Input::PassedOn(passed), self.now);
            }
            Output::LowWater(stamp) => self.low_waters.push(stamp),
            Output::Surveyed(_) => {}
            Output::Service(service) => self.services.push_back(service),
            Output::Fetch { session, stamps } if self.slow_store => {
                self.asked.push_back((shard, session, stamps));
            }
            Output::Fetch { session, stamps } => self.fetch(shard, session, stamps, usize::MAX),
        }
    }

    fn peer(&self, shard: usize, id: broker::ConnectionId) -> Option<usize> {
        self.peers
            .iter()
            .position(|peer| peer.shard == shard && peer.id == id && !peer.closed)
    }

    fn flush(&mut self, peer: usize) {
        while !self.peers[peer].blocked && self.take(peer, usize::MAX) > 0 {}
        let Peer { shard, id, .. } = self.peers[peer];
        let known = &mut self.peers[peer];
        if known.closing && !known.closed && self.shards[shard].outgoing(id).is_empty() {
            known.closed = true;
            // Who takes nothing is given up with what waits for it.
            assert!(
                known.blocked || known.is_between_packets(),
                "closed within a packet: {known:?}"
            );
            self.shards[shard].forget(id);
        }
    }

    fn take(&mut self, peer: usize, count: usize) -> usize {
        let known = &mut self.peers[peer];
        if known.closed {
            return 0;
        }
        let shard = &mut self.shards[known.shard];
        let outgoing = shard.outgoing(known.id);
        let count = count.min(outgoing.len());
        known.receive(&outgoing[..count]);
        if count > 0 {
            shard.wrote(known.id, count, self.now);
        }
        count
    }

    /// Lets the shard read what the client has sent, as long as it wants to.
    fn feed(&mut self, peer: usize) {
        loop {
            let known = &mut self.peers[peer];
            let shard = &mut self.shards[known.shard];
            if known.unsent.is_empty() || known.closed || !shard.wants_bytes(known.id) {
                return;
            }
            let count = known.piece.min(known.unsent.len());
            let piece: Vec<u8> = known.unsent.drain(..count).collect();
            shard.receive(known.id, &piece, self.now);
        }
    }

    // Bounds.

    pub(super) fn check(&self) {
        let (generous, limits) = (settings(true), &self.settings.limits);
        let most = &generous.limits;
        // What is on its way to the disk has been let in and is not counted yet.
        let on_its_way = limits.appends_max * self.shards.len();
        for shard in &self.shards {
            let population = shard.population();
            assert!(population.connections <= limits.connections_max + PEERS_MAX);
            assert!(population.sessions <= limits.sessions_max, "{population:?}");
            assert!(population.subscriptions <= limits.sessions_max * most.subscriptions_max);
            assert!(
                population.retained <= limits.retained_messages_max + on_its_way,
                "{population:?}"
            );
            assert!(
                population.retained_bytes
                    <= limits.retained_bytes_max + on_its_way * most.packet_bytes_max as usize,
                "{population:?}"
            );
        }
        let outgoing_max = most.outgoing_bytes_max * 4 + most.packet_bytes_max as usize * 4;
        for peer in self.peers.iter().filter(|peer| !peer.closed) {
            let outgoing = self.shards[peer.shard].outgoing(peer.id).len();
            assert!(
                outgoing <= outgoing_max,
                "{outgoing} bytes wait for one client"
            );
        }
    }
}
