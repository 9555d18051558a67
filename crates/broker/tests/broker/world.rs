//! Shards in a small world: sockets, a store and a clock that do what the test says, and the accounts of `logins`.

mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use broker::{
    AuthenticationRequest, ConnectionId, ExchangeRequest, Input, Limits, Message as Carried,
    Output, Place, Service, Settings, Shard, Ticket,
};
use bytes::Bytes;
use mqtt_codec::{SubscriptionOptions, Version};
use records::key;
use records::{Millis, QueuedMessage, SessionRef, Stamp, Write};

use crate::got::{Got, Message, read, split};
use crate::logins;
pub(crate) use crate::logins::account;
use crate::packets::{self, Hello, hello, message, options, subscribe};

pub(crate) const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const SEEDS: [u64; 4] = [1, 2, 3, 4];
const START: Millis = Millis::new(1_766_000_000_000);
/// The longest key the store takes.
const KEY_BYTES_MAX: usize = 65_535;
/// Rounds after which the world does not come to rest any more.
const ROUNDS_MAX: usize = 100_000;

/// A client's end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) usize);

pub(crate) struct Peer {
    pub(crate) shard: usize,
    pub(crate) id: ConnectionId,
    version: Version,
    received: Vec<u8>,
    unsent: Vec<u8>,
    pub(crate) closed: bool,
    /// The socket takes nothing.
    blocked: bool,
}

/// What a shard wants stored.
pub(crate) struct PendingWrite {
    shard: usize,
    ticket: Ticket,
    pub(crate) writes: Vec<Write>,
}

impl PendingWrite {
    pub(crate) fn bytes(&self) -> usize {
        self.writes.iter().map(Write::bytes).sum()
    }

    /// The store would refuse it otherwise, and the server would stop.
    fn check(&self) {
        assert!(self.bytes() <= broker::APPEND_BYTES_MAX);
        for write in &self.writes {
            let (Write::Put { key, .. } | Write::Delete { key }) = write;
            assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes", key.len());
        }
    }
}

/// Everything around the shards.
pub(crate) struct World {
    pub(crate) shards: Vec<Shard>,
    pub(crate) now: Millis,
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) appends: VecDeque<PendingWrite>,
    /// Appends complete only when the test says so.
    pub(crate) slow_disk: bool,
    pub(crate) services: Vec<Service>,
    /// What shards have told each other of their subscriptions.
    pub(crate) announcements: usize,
    /// Batches of stored messages that were asked for.
    pub(crate) fetches: usize,
    /// Messages the store brings at once, at most.
    pub(crate) fetch_max: usize,
    /// What was asked of the store waits until the test says so.
    pub(crate) slow_store: bool,
    asked: Vec<(usize, SessionRef, Vec<Stamp>)>,
    /// Credentials are checked only when the test says so.
    pub(crate) slow_logins: bool,
    logins: Vec<(usize, AuthenticationRequest)>,
    exchanges: Vec<(usize, ExchangeRequest)>,
    /// Below which stamp nobody needed a stored message when the shards were last asked.
    pub(crate) needed: Option<Stamp>,
    /// What a shard has answered last.
    pub(crate) low_water: Option<Stamp>,
    pub(crate) surveys: Vec<broker::Survey>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) peers: Vec<Peer>,
    next_packet_id: u16,
}

/// Open to everybody, one shard.
pub(crate) fn open_settings() -> Settings {
    Settings {
        allow_anonymous: true,
        ..Settings::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(1, open_settings())
    }

    pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut settings = open_settings();
        change(&mut settings.limits);
        Self::with(1, settings)
    }

    pub(crate) fn with(shards: u16, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let mut world = Self {
            shards: Vec::new(),
            now: START,
            store: BTreeMap::new(),
            appends: VecDeque::new(),
            slow_disk: false,
            services: Vec::new(),
            announcements: 0,
            fetches: 0,
            fetch_max: usize::MAX,
            slow_store: false,
            asked: Vec::new(),
            slow_logins: false,
            logins: Vec::new(),
            exchanges: Vec::new(),
            needed: None,
            low_water: None,
            surveys: Vec::new(),
            settings,
            peers: Vec::new(),
            next_packet_id: 0,
        };
        world.build_shards(shards);
        world
    }

    pub(crate) fn build_shards(&mut self, shards: u16) {
        let usage = std::sync::Arc::new(broker::AccountUsage::default());
        self.shards = (0..shards)
            .map(|shard| {
                let place = Place {
                    shard,
                    shards,
                    seeds: SEEDS,
                    usage: usage.clone(),
                };
                Shard::new(&place, self.settings.clone(), self.now)
            })
            .collect();
    }

    // Clients.

    /// A new connection, on the first shard.
    pub(crate) fn open(&mut self, version: Version) -> Client {
        self.open_on(0, version)
    }

    pub(crate) fn open_on(&mut self, shard: usize, version: Version) -> Client {
        let id = self.shards[shard].accept(self.now);
        self.peers.push(Peer {
            shard,
            id,
            version,
            received: Vec::new(),
            unsent: Vec::new(),
            closed: false,
            blocked: false,
        });
        Client(self.peers.len() - 1)
    }

    /// Connects, and leaves the CONNACK to be looked at.
    pub(crate) fn connect(&mut self, hello: &Hello) -> Client {
        let client = self.open(hello.version);
        self.send(client, &hello.bytes());
        client
    }

    /// Connects and checks that it is accepted.
    pub(crate) fn join(&mut self, hello: &Hello) -> Client {
        let client = self.connect(hello);
        match &self.take(client)[..] {
            [Got::Connack { code: 0, .. }, ..] => client,
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// Connects, checks that it is accepted, and leaves what came behind the CONNACK.
    pub(crate) fn join_and_keep(&mut self, hello: &Hello) -> Client {
        let client = self.connect(hello);
        let bytes = self.take_bytes(client);
        let packets = split(hello.version, &bytes);
        let accepted = read(hello.version, &packets[0]);
        assert!(matches!(accepted, Got::Connack { code: 0, .. }));
        self.put_back(client, &packets[1..].concat());
        client
    }

    /// A client with a session that ends with its connection.
    pub(crate) fn guest(&mut self, version: Version, client_id: &str) -> Client {
        self.join(&hello(version, client_id))
    }

    pub(crate) fn version(&self, client: Client) -> Version {
        self.peers[client.0].version
    }

    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        self.peers[client.0].unsent.extend_from_slice(bytes);
        self.feed(client.0);
        self.settle();
    }

    /// Everything that came since the last look.
    pub(crate) fn take(&mut self, client: Client) -> Vec<Got> {
        let peer = &mut self.peers[client.0];
        let bytes = std::mem::take(&mut peer.received);
        let version = peer.version;
        split(version, &bytes)
            .iter()
            .map(|packet| read(version, packet))
            .collect()
    }

    /// Puts back bytes that were taken too early.
    pub(crate) fn put_back(&mut self, client: Client, bytes: &[u8]) {
        let received = &mut self.peers[client.0].received;
        received.splice(..0, bytes.iter().copied());
    }

    /// The raw bytes that came since the last look.
    pub(crate) fn take_bytes(&mut self, client: Client) -> Vec<u8> {
        std::mem::take(&mut self.peers[client.0].received)
    }

    /// The PUBLISH packets that came since the last look; nothing else may have come.
    pub(crate) fn messages(&mut self, client: Client) -> Vec<Message> {
        self.take(client)
            .into_iter()
            .map(|got| match got {
                Got::Publish(message) => message,
                other => panic!("not a message: {other:?}"),
            })
            .collect()
    }

    /// Topic and payload of the messages that came since the last look.
    pub(crate) fn texts(&mut self, client: Client) -> Vec<String> {
        self.messages(client)
            .into_iter()
            .map(|message| format!("{} {}", message.topic, message.payload))
            .collect()
    }

    /// The client's socket breaks.
    pub(crate) fn cut(&mut self, client: Client) {
        self.cut_only(client);
        self.settle();
    }

    /// The client's socket takes nothing for a while, or everything again.
    pub(crate) fn block(&mut self, client: Client, blocked: bool) {
        self.peers[client.0].blocked = blocked;
        if !blocked {
            self.flush(client.0);
        }
        self.settle();
    }

    // What clients do.

    pub(crate) fn subscribe(&mut self, client: Client, filter: &str, qos: u8) {
        self.subscribe_with(client, filter, options(qos));
    }

    /// Subscribes and checks that it is granted.
    pub(crate) fn subscribe_with(
        &mut self,
        client: Client,
        filter: &str,
        options: SubscriptionOptions,
    ) {
        let packet_id = self.packet_id();
        let packet = subscribe(self.version(client), packet_id, &[(filter, options)]);
        self.send(client, &packet);
        let got = self.peek(client);
        let granted = Got::Suback(packet_id, vec![options.qos as u8]);
        assert!(got.contains(&granted), "{filter} was not granted: {got:?}");
        self.drop_subacks(client);
    }

    pub(crate) fn publish(&mut self, client: Client, topic: &str, payload: &str, qos: u8) -> u16 {
        self.publish_retain(client, topic, payload, qos, false)
    }

    pub(crate) fn publish_retain(
        &mut self,
        client: Client,
        topic: &str,
        payload: &str,
        qos: u8,
        retain: bool,
    ) -> u16 {
        let packet_id = self.packet_id();
        let packet = message(self.version(client), topic, payload, qos, packet_id, retain);
        self.send(client, &packet);
        packet_id
    }

    pub(crate) fn packet_id(&mut self) -> u16 {
        self.next_packet_id += 1;
        self.next_packet_id
    }

    fn peek(&self, client: Client) -> Vec<Got> {
        let peer = &self.peers[client.0];
        split(peer.version, &peer.received)
            .iter()
            .map(|packet| read(peer.version, packet))
            .collect()
    }

    fn drop_subacks(&mut self, client: Client) {
        let peer = &mut self.peers[client.0];
        let packets = split(peer.version, &peer.received);
        peer.received = packets
            .into_iter()
            .filter(|packet| packet[0] != 0x90)
            .collect::<Vec<_>>()
            .concat();
    }

    // The world's own doings.

    pub(crate) fn input(&mut self, shard: usize, input: Input) {
        self.shards[shard].handle(input, self.now);
        self.settle();
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, millis: u64) {
        let end = self.now.saturating_add(millis);
        loop {
            let due = self.shards.iter().filter_map(Shard::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            for shard in &mut self.shards {
                shard.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Everything asked for so far is on disk.
    pub(crate) fn commit(&mut self) {
        while self.commit_one() {}
        self.settle();
    }

    /// The oldest append is on disk.
    pub(crate) fn commit_next(&mut self) {
        self.commit_one();
        self.settle();
    }

    fn commit_one(&mut self) -> bool {
        let Some(append) = self.appends.pop_front() else {
            return false;
        };
        for write in append.writes {
            match write {
                Write::Put { key, value } => self.store.insert(key, value),
                Write::Delete { key } => self.store.remove(&key),
            };
        }
        let appended = Input::Appended(append.ticket);
        self.shards[append.shard].handle(appended, self.now);
        true
    }

    /// The credentials that wait are checked.
    pub(crate) fn check_logins(&mut self) {
        for (shard, request) in std::mem::take(&mut self.logins) {
            self.authenticate(shard, &request);
        }
        for (shard, request) in std::mem::take(&mut self.exchanges) {
            self.exchange(shard, &request);
        }
        self.settle();
    }

    /// The store brings what it was asked for.
    pub(crate) fn bring(&mut self) {
        for (shard, session, stamps) in std::mem::take(&mut self.asked) {
            self.fetch(shard, session, stamps);
        }
        self.settle();
    }

    /// Carries out outputs until nothing is left to do.
    pub(crate) fn settle(&mut self) {
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
                self.slow_disk = true;
                self.commit();
                self.slow_disk = false;
            }
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    pub(crate) fn carry_out(&mut self, shard: usize, output: Output) {
        match output {
            Output::Flush(id) => {
                if let Some(peer) = self.peer(shard, id) {
                    self.flush(peer);
                }
            }
            Output::Close(id) => self.close(shard, id),
            Output::Resume(id) => {
                if let Some(peer) = self.peer(shard, id) {
                    self.feed(peer);
                }
            }
            Output::Authenticate(request) if self.slow_logins => {
                self.logins.push((shard, *request));
            }
            Output::Authenticate(request) => self.authenticate(shard, &request),
            Output::Exchange(request) if self.slow_logins => {
                self.exchanges.push((shard, *request));
            }
            Output::Exchange(request) => self.exchange(shard, &request),
            Output::HandOver {
                connection,
                shard: home,
                pending,
            } => {
                let peer = self
                    .peer(shard, connection)
                    .expect("a connection that is open");
                let id = self.shards[usize::from(home)].adopt(pending, self.now);
                self.peers[peer].shard = home.into();
                self.peers[peer].id = id;
                self.feed(peer);
            }
            Output::Append { ticket, writes } => {
                let append = PendingWrite {
                    shard,
                    ticket,
                    writes,
                };
                append.check();
                self.appends.push_back(append);
            }
            Output::Forward { shards, forwarded } => {
                for other in 0..self.shards.len() {
                    if shards & (1 << other) != 0 {
                        let input = Input::Forwarded(forwarded.clone());
                        self.shards[other].handle(input, self.now);
                    }
                }
            }
            Output::Announce(announcement) => {
                self.announcements += 1;
                for other in (0..self.shards.len()).filter(|other| *other != shard) {
                    let input = Input::Announced(announcement.clone());
                    self.shards[other].handle(input, self.now);
                }
            }
            Output::LowWater(stamp) => self.low_water = Some(stamp),
            Output::Surveyed(survey) => self.surveys.push(*survey),
            Output::PassOn { shard, passed } => {
                self.shards[usize::from(shard)].handle(Input::PassedOn(passed), self.now);
            }
            Output::Service(service) => self.services.push(service),
            Output::Fetch { session, stamps } if self.slow_store => {
                self.asked.push((shard, session, stamps));
            }
            Output::Fetch { session, stamps } => self.fetch(shard, session, stamps),
        }
    }

    fn authenticate(&mut self, shard: usize, request: &AuthenticationRequest) {
        let input = Input::Authenticated {
            connection: request.connection,
            verdict: logins::verdict(request),
        };
        self.shards[shard].handle(input, self.now);
    }

    fn exchange(&mut self, shard: usize, request: &ExchangeRequest) {
        let input = Input::Exchanged {
            connection: request.connection,
            outcome: logins::judge(request),
        };
        self.shards[shard].handle(input, self.now);
    }

    fn fetch(&mut self, shard: usize, session: SessionRef, stamps: Vec<Stamp>) {
        assert!(stamps.len() <= broker::FETCH_MAX);
        self.fetches += 1;
        let messages = stamps
            .into_iter()
            .take(self.fetch_max)
            .map(|stamp| {
                let value = self.store.get(&key::queue(stamp));
                let message = value.map(|value| {
                    let record = QueuedMessage::decode(&Bytes::from(value.clone()));
                    Arc::new(Carried::from_record(record.expect("a stored message")))
                });
                (stamp, message)
            })
            .collect();
        let input = Input::Fetched { session, messages };
        self.shards[shard].handle(input, self.now);
    }

    fn peer(&self, shard: usize, id: ConnectionId) -> Option<usize> {
        self.peers
            .iter()
            .position(|peer| peer.shard == shard && peer.id == id && !peer.closed)
    }

    fn flush(&mut self, peer: usize) {
        let (shard, id) = (self.peers[peer].shard, self.peers[peer].id);
        while !self.peers[peer].blocked {
            let bytes = self.shards[shard].outgoing(id).to_vec();
            if bytes.is_empty() {
                break;
            }
            self.peers[peer].received.extend_from_slice(&bytes);
            self.shards[shard].wrote(id, bytes.len(), self.now);
        }
    }

    fn close(&mut self, shard: usize, id: ConnectionId) {
        let Some(peer) = self.peer(shard, id) else {
            return;
        };
        self.flush(peer);
        if self.shards[shard].outgoing(id).is_empty() {
            self.peers[peer].closed = true;
            self.shards[shard].forget(id);
        }
    }

    /// Lets the shard read what the client has sent, as long as it wants to.
    fn feed(&mut self, peer: usize) {
        while !self.peers[peer].unsent.is_empty() && !self.peers[peer].closed {
            let (shard, id) = (self.peers[peer].shard, self.peers[peer].id);
            if !self.shards[shard].wants_bytes(id) {
                break;
            }
            let bytes = std::mem::take(&mut self.peers[peer].unsent);
            self.tell_clock(shard);
            self.shards[shard].receive(id, &bytes, self.now);
        }
    }
}

/// A persistent session of an anonymous client.
pub(crate) fn resident(version: Version, client_id: &str) -> Hello {
    packets::hello(version, client_id).persistent()
}
