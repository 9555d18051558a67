//! The server without its threads: shards, their mailboxes, the disk, and the sockets' near ends. It carries out
//! what shards ask for in the way `server/src/shard` does, one turn at a time, and decides nothing by itself:
//! when each thing happens is the world's choice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use broker::{
    AuthenticationRequest, ConnectionId, Identity, Input, Output, PendingConnect, Place as Seat,
    Settings, Shard, Survey,
};
use records::{AccountId, Millis, Pos, SessionRef, Stamp};

use crate::disk::{Append, Disk};
use crate::link::{Link, Place};
use crate::mutation::Mutation;
use crate::wire;

/// What lies in a mailbox.
enum Letter {
    Input(Input),
    Adopt(usize, Box<PendingConnect>),
    /// Which of these stored messages does the shard need? Asked behind what other shards have sent before.
    Survey(Arc<[Stamp]>),
}

/// The server.
pub(crate) struct Server {
    pub(crate) shards: Vec<Shard>,
    pub(crate) now: Millis,
    pub(crate) links: Vec<Link>,
    pub(crate) disk: Disk,
    mail: Vec<VecDeque<Letter>>,
    readings: Vec<(SessionRef, Vec<Stamp>)>,
    logins: Vec<(usize, AuthenticationRequest)>,
    /// Which link a shard's connection is.
    sockets: BTreeMap<(usize, ConnectionId), usize>,
    settings: Arc<Settings>,
    seeds: [u64; 4],
    /// Messages that earlier lives of the server dropped for a limit.
    dropped: u64,
    /// Below which stored message each shard needs none, as it said last.
    low_water: Vec<Option<Stamp>>,
    low_water_before: Option<Stamp>,
    surveys: Vec<Option<Box<Survey>>>,
    unneeded_before: BTreeSet<Stamp>,
    asked: bool,
    /// Up to here clients may have read of what the shards have stamped.
    told: Stamp,
    pub(crate) mutation: Mutation,
}

impl Server {
    pub(crate) fn new(
        shards: u16,
        settings: Settings,
        seeds: [u64; 4],
        now: Millis,
        mutation: Mutation,
    ) -> Self {
        let mut server = Self {
            shards: Vec::new(),
            now,
            links: Vec::new(),
            disk: Disk::default(),
            mail: Vec::new(),
            readings: Vec::new(),
            logins: Vec::new(),
            sockets: BTreeMap::new(),
            settings: Arc::new(settings),
            seeds,
            dropped: 0,
            low_water: Vec::new(),
            low_water_before: None,
            surveys: Vec::new(),
            unneeded_before: BTreeSet::new(),
            asked: false,
            told: Stamp::ZERO,
            mutation,
        };
        server.build(shards);
        server
    }

    fn build(&mut self, shards: u16) {
        let usage = Arc::new(broker::AccountUsage::default());
        self.shards = (0..shards)
            .map(|shard| {
                let seat = Seat {
                    shard,
                    shards,
                    seeds: self.seeds,
                    usage: usage.clone(),
                };
                Shard::new(&seat, self.settings.clone(), self.now)
            })
            .collect();
        self.low_water = vec![None; usize::from(shards)];
        self.low_water_before = None;
        self.surveys = vec![None; usize::from(shards)];
        self.unneeded_before.clear();
        self.asked = false;
        self.mail = (0..shards).map(|_| VecDeque::new()).collect();
    }

    // What the world makes happen.

    /// A client opens a connection, which some shard accepts.
    pub(crate) fn accept(&mut self, client: usize, v5: bool, shard: usize, room: usize) -> usize {
        let id = self.shards[shard].accept(self.now);
        self.links.push(Link::new(
            client,
            v5,
            Place::Shard(shard, id),
            room,
            self.now,
        ));
        let link = self.links.len() - 1;
        self.sockets.insert((shard, id), link);
        link
    }

    /// A shard reads so many bytes of a connection, or finds that it has ended. False when there was nothing to
    /// read or it does not want to.
    pub(crate) fn read(&mut self, link: usize, bytes: usize) -> bool {
        let Place::Shard(shard, _) = self.links[link].place else {
            return false;
        };
        let before = self.mail[shard].len();
        if self.links[link].up.is_empty() && (self.links[link].client_open || self.links[link].told)
        {
            return false;
        }
        // As in `server`: what another shard said before these bytes were sent has to be known first.
        if self.mutation != Mutation::ReadBeforeMail {
            self.open_letters(shard, before);
            self.shards[shard].observe(self.told);
        }
        let Place::Shard(shard, id) = self.links[link].place else {
            return true;
        };
        if self.links[link].closing {
            // The server throws away what comes while it waits for the peer's end.
            self.links[link].up.clear();
            if !self.links[link].client_open {
                self.links[link].told = true;
                self.forget(link);
            }
            return true;
        }
        if !self.shards[shard].wants_bytes(id) {
            return before > 0;
        }
        if self.links[link].up.is_empty() {
            self.links[link].told = true;
            self.links[link].read_out = true;
            self.links[link].ends(self.now);
            self.shards[shard].closed(id, self.now);
        } else {
            let count = bytes.min(self.links[link].up.len());
            let chunk: Vec<u8> = self.links[link].up.drain(..count).collect();
            self.links[link].heard_at = self.now;
            self.shards[shard].receive(id, &chunk, self.now);
            self.told = self.told.max(self.shards[shard].clock());
        }
        self.carry_out_all(shard);
        true
    }

    /// A shard opens so many letters of its mailbox.
    pub(crate) fn open_letters(&mut self, shard: usize, count: usize) -> bool {
        let mut any = false;
        for _ in 0..count {
            let Some(letter) = self.mail[shard].pop_front() else {
                break;
            };
            any = true;
            match letter {
                Letter::Input(input) => self.shards[shard].handle(input, self.now),
                Letter::Adopt(link, pending) => {
                    self.carry_out_all(shard);
                    let id = self.shards[shard].adopt(pending, self.now);
                    self.links[link].place = Place::Shard(shard, id);
                    self.links[link].heard_at = self.now;
                    self.sockets.insert((shard, id), link);
                }
                Letter::Survey(ends) => self.shards[shard].survey(ends, self.now),
            }
        }
        if any {
            self.carry_out_all(shard);
        }
        any
    }

    pub(crate) fn letters(&self, shard: usize) -> usize {
        self.mail[shard].len()
    }

    /// What was put off goes on.
    pub(crate) fn resume_deferred(&mut self, shard: usize) -> bool {
        let deferred = self.shards[shard].has_deferred();
        if deferred {
            self.shards[shard].resume_deferred(self.now);
            self.carry_out_all(shard);
        }
        deferred
    }

    /// A shard looks at the time.
    pub(crate) fn look_at_time(&mut self, shard: usize) -> bool {
        let due = self.shards[shard]
            .poll_timeout()
            .is_some_and(|due| due <= self.now);
        if due {
            self.shards[shard].handle_timeout(self.now);
            self.carry_out_all(shard);
        }
        due
    }

    /// So many appends are on disk, in one commit; the shards are told.
    pub(crate) fn commit(&mut self, count: usize) -> bool {
        let told = self.disk.commit(count);
        for (shard, ticket) in &told {
            self.mail[*shard].push_back(Letter::Input(Input::Appended(*ticket)));
        }
        !told.is_empty()
    }

    /// A reader brings stored messages, the first few of what was asked for.
    pub(crate) fn bring(&mut self, choice: usize, count: usize) -> bool {
        if self.readings.is_empty() {
            return false;
        }
        let choice = choice % self.readings.len();
        let (session, stamps) = self.readings.swap_remove(choice);
        let messages = stamps
            .into_iter()
            .take(count.max(1))
            .map(|stamp| (stamp, self.disk.queued(stamp)))
            .collect();
        let input = Input::Fetched { session, messages };
        self.mail[usize::from(session.shard)].push_back(Letter::Input(input));
        true
    }

    /// Somebody's credentials are checked.
    pub(crate) fn check_login(&mut self, choice: usize) -> bool {
        if self.logins.is_empty() {
            return false;
        }
        let choice = choice % self.logins.len();
        let (shard, request) = self.logins.swap_remove(choice);
        let identity = Identity {
            account: Some(AccountId::new(1)),
            name: (&*request.username).into(),
            admin: false,
            token: None,
        };
        let input = Input::Authenticated {
            connection: request.connection,
            verdict: Ok(identity),
        };
        self.mail[shard].push_back(Letter::Input(input));
        true
    }

    /// Stored messages that no shard needed in two rounds of asking are thrown away, and the next round begins, as in
    /// `server/src/service`. False while a shard has not answered.
    pub(crate) fn trim(&mut self) -> bool {
        if self.asked {
            if self.low_water.contains(&None) {
                return false;
            }
            let lowest = self.low_water.iter().copied().min().flatten();
            let before = std::mem::replace(&mut self.low_water_before, lowest);
            if let (Some(before), Some(lowest)) = (before, lowest) {
                self.disk.trim(before.min(lowest));
            }
            self.delete_unneeded();
        }
        self.asked = true;
        self.low_water.fill(None);
        // Each message a segment of its own.
        let ends: Arc<[Stamp]> = self.disk.queued_stamps().collect();
        for mail in &mut self.mail {
            mail.push_back(Letter::Survey(ends.clone()));
        }
        true
    }

    fn delete_unneeded(&mut self) {
        let mut surveys = self.surveys.iter_mut().flat_map(Option::take);
        let Some(mut all) = surveys.next() else {
            return;
        };
        for survey in surveys {
            all.add(&survey);
        }
        let ends = all.ends().iter().enumerate();
        let unneeded: BTreeSet<Stamp> = ends
            .filter(|(segment, _)| all.is_unneeded(*segment))
            .map(|(_, end)| *end)
            .collect();
        for stamp in unneeded.intersection(&self.unneeded_before) {
            self.disk.delete_queued(*stamp);
        }
        self.unneeded_before = unneeded;
    }

    /// The process dies while so many appends are being committed, and starts again with what is on disk.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.disk.crash(kept);
        self.rebuild();
    }

    /// The process is told to end, ends in good order and starts again.
    pub(crate) fn restart(&mut self) {
        for shard in 0..self.shards.len() {
            self.shards[shard].handle(Input::Shutdown, self.now);
            self.carry_out_all(shard);
        }
        loop {
            let waiting = self.disk.waiting();
            let mut busy = self.commit(waiting);
            for shard in 0..self.shards.len() {
                let letters = self.mail[shard].len();
                busy |= self.open_letters(shard, letters);
            }
            if !busy {
                break;
            }
        }
        self.rebuild();
    }

    fn rebuild(&mut self) {
        self.dropped = self.dropped();
        for link in &mut self.links {
            link.place = Place::Gone;
            link.up.clear();
            link.ends(self.now);
            link.known_at = Some(self.now);
        }
        self.sockets.clear();
        self.readings.clear();
        self.logins.clear();
        self.build(self.shards.len() as u16);
        let identity = |account: Option<AccountId>| Identity {
            account,
            name: account.map_or("", |_| crate::client::USER).into(),
            admin: false,
            token: None,
        };
        let (rows, shards) = (&self.disk.rows, &mut self.shards);
        let first = broker::recover(rows, shards, identity, Pos::ZERO, self.now);
        let first = first.expect("what a shard writes can be read");
        let clocks = self.shards.iter().map(Shard::clock);
        self.told = clocks.max().unwrap_or(Stamp::ZERO);
        for (shard, outputs) in first.into_iter().enumerate() {
            for output in outputs {
                self.carry_out(shard, output);
            }
            self.carry_out_all(shard);
        }
    }

    /// QoS 1 and 2 messages that were dropped for a limit.
    pub(crate) fn dropped(&self) -> u64 {
        let counters = self
            .shards
            .iter()
            .map(|shard| shard.counters().dropped_queued);
        self.dropped + counters.sum::<u64>()
    }

    /// The waiting bytes of a connection are written as far as its socket has room.
    pub(crate) fn flush(&mut self, link: usize) -> bool {
        let Place::Shard(shard, id) = self.links[link].place else {
            return false;
        };
        let waiting = self.shards[shard].outgoing(id);
        let socket = &mut self.links[link];
        let room = if socket.client_open {
            socket.room.saturating_sub(socket.down.len())
        } else {
            usize::MAX
        };
        let count = waiting.len().min(room);
        if count > 0 {
            self.told = self.told.max(self.shards[shard].clock());
            if socket.client_open {
                let bytes = &waiting[..count];
                if self.mutation.touches_packets() {
                    socket.raw.extend_from_slice(bytes);
                } else {
                    socket.down.extend_from_slice(bytes);
                }
            }
            self.spoil(link);
            self.shards[shard].wrote(id, count, self.now);
            self.carry_out_all(shard);
        }
        self.finish(link);
        count > 0
    }

    /// Passes on whole packets, with the mistake in them.
    fn spoil(&mut self, link: usize) {
        let raw = &mut self.links[link].raw;
        let mut packets = Vec::new();
        while let Some(length) = wire::whole(raw) {
            packets.push(raw.drain(..length).collect::<Vec<u8>>());
        }
        let (client, v5) = (self.links[link].client, self.links[link].v5);
        if self.mutation == Mutation::Stray {
            let delivery = packets.iter().find(|packet| packet[0] == 0x30);
            let other = self.links.iter_mut().rev().find(|other| {
                other.client != client
                    && other.v5 == v5
                    && other.client_open
                    && other.raw.is_empty()
            });
            if let (Some(delivery), Some(other)) = (delivery, other) {
                other.down.extend_from_slice(delivery);
            }
        }
        self.mutation.spoil_packets(v5, &mut packets);
        self.links[link].down.extend(packets.concat());
    }

    fn finish(&mut self, link: usize) {
        let Place::Shard(shard, id) = self.links[link].place else {
            return;
        };
        let socket = &self.links[link];
        if socket.closing && self.shards[shard].outgoing(id).is_empty() && socket.told {
            self.forget(link);
        }
    }

    /// The server's end is closed: what it wrote may still be read.
    pub(crate) fn forget(&mut self, link: usize) {
        if let Place::Shard(shard, id) = self.links[link].place {
            self.links[link].place = Place::Gone;
            self.sockets.remove(&(shard, id));
            self.shards[shard].forget(id);
        }
    }

    // What shards ask for.

    fn carry_out_all(&mut self, shard: usize) {
        while let Some(output) = self.shards[shard].poll_output() {
            self.carry_out(shard, output);
        }
    }

    fn carry_out(&mut self, shard: usize, output: Output) {
        match output {
            Output::Flush(_) | Output::Resume(_) => {
                // The world flushes and reads whatever can be flushed and read, in its own time.
            }
            Output::Close(id) => {
                if let Some(link) = self.sockets.get(&(shard, id)).copied() {
                    self.links[link].closing = true;
                    self.links[link].ends(self.now);
                    self.finish(link);
                }
            }
            Output::Authenticate(request) => self.logins.push((shard, *request)),
            Output::Exchange(_) => unreachable!("no client here asks for a method"),
            Output::HandOver {
                connection,
                shard: home,
                pending,
            } => {
                if let Some(link) = self.sockets.remove(&(shard, connection)) {
                    self.links[link].place = Place::Moving;
                    self.mail[usize::from(home)].push_back(Letter::Adopt(link, pending));
                }
            }
            Output::Append { ticket, mut writes } => {
                self.mutation.spoil_writes(&mut writes);
                if self.mutation == Mutation::AcknowledgeBeforeDisk {
                    self.mail[shard].push_back(Letter::Input(Input::Appended(ticket)));
                }
                self.disk.append(Append {
                    shard,
                    ticket,
                    writes,
                });
            }
            Output::Forward { .. } if self.mutation == Mutation::LoseForward => {}
            Output::Forward { shards, forwarded } => {
                for other in (0..self.shards.len()).filter(|other| *other != shard) {
                    if shards & (1 << other) != 0 {
                        let input = Input::Forwarded(forwarded.clone());
                        self.mail[other].push_back(Letter::Input(input));
                    }
                }
            }
            Output::Announce(announcement) => {
                for other in (0..self.shards.len()).filter(|other| *other != shard) {
                    let input = Input::Announced(announcement.clone());
                    self.mail[other].push_back(Letter::Input(input));
                }
            }
            Output::PassOn { shard, passed } => {
                let input = Input::PassedOn(passed);
                self.mail[usize::from(shard)].push_back(Letter::Input(input));
            }
            Output::Surveyed(survey) => self.surveys[shard] = Some(survey),
            Output::LowWater(stamp) => self.low_water[shard] = Some(stamp),
            Output::Service(_) => {}
            Output::Fetch { session, stamps } => self.readings.push((session, stamps)),
        }
    }
}
