//! One shard's thread: an event loop around the pure core. A turn is: poll, read what is readable, carry out what the core
//! asks for, flush every touched connection once. It holds sockets and order; every rule is the core's.

mod accept;
mod arrivals;
mod gauges;
mod outputs;
mod pipes;
mod quick_acks;
mod sockets;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{ConnectionId, Input, Output, Shard};
use mio::{Events, Poll, Token};
use net::{Drained, Readiness, Received};
use records::Moment;
use store::{Append, Submitter};

use crate::admission::Admission;
use crate::clock::{Clock, Told};
use crate::drops::Drops;
use crate::listener::ServedListeners;
use crate::listeners::Share;
use crate::logins::Logins;
use crate::mailbox::Mailbox;
use crate::origin::Origin;
use crate::post::{Post, ServiceEvent, ShardEvent};
use crate::readers::Readers;
use crate::repeats::Repeats;
use crate::service::Needs;
use crate::tally::Tallies;
use accept::Acceptor;
use gauges::Gauges;
use pipes::PipeWatcher;
use sockets::Sockets;

/// The mailbox's place among the poll's tokens; connections count from zero, listeners from below this downwards.
pub(crate) const MAILBOX: Token = Token(usize::MAX);
/// Events taken from the poll at once.
const EVENTS_MAX: usize = 1024;
/// Bytes read at once; one buffer for all connections.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Reads of one connection in a turn, so that a fast publisher does not hold up the others.
const READS_PER_TURN: usize = 4;
/// Connections read in a turn.
const VISITS_PER_TURN: usize = 1024;
/// What is read in a turn from all of them, about, when they are many.
const READ_BYTES_PER_TURN: usize = 4 * 1024 * 1024;
/// What is read from each all the same.
const READ_BYTES_MIN: usize = 4096;
/// Longest sleep: gauges are told and closed sockets are given up about so often.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Sleep while somebody else cannot keep up.
const CONGESTED_SLEEP: Duration = Duration::from_millis(1);
/// How long the last bytes may take when the server ends.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Connections that the poll does not take.
static UNWATCHED: Repeats = Repeats::new();

/// What a shard's thread works with.
pub(crate) struct Parts {
    pub(crate) number: u16,
    pub(crate) core: Shard,
    /// What the core asked for during recovery.
    pub(crate) first: Vec<Output>,
    pub(crate) poll: Poll,
    pub(crate) mailbox: Mailbox<ShardEvent>,
    pub(crate) post: Post,
    pub(crate) submitter: Submitter,
    pub(crate) logins: Arc<Logins>,
    pub(crate) readers: Readers,
    pub(crate) admission: Arc<Admission>,
    pub(crate) needs: Arc<Needs>,
    pub(crate) told: Arc<Told>,
    pub(crate) tallies: Tallies,
    pub(crate) drops: Arc<Drops>,
    /// From when on all shards count the time they measure.
    pub(crate) began: Instant,
    pub(crate) served: Arc<ServedListeners>,
    pub(crate) listeners: Vec<Share>,
}

/// The thread's state.
pub(crate) struct ShardThread {
    number: u16,
    core: Shard,
    poll: Poll,
    mailbox: Mailbox<ShardEvent>,
    letters: VecDeque<ShardEvent>,
    post: Post,
    sockets: Sockets,
    acceptor: Acceptor,
    served: Arc<ServedListeners>,
    /// Connections that have to be read though no event will say so.
    ready: VecDeque<ConnectionId>,
    /// The same for those whose MQTT has not begun.
    arrivals: VecDeque<ConnectionId>,
    /// Connections to be flushed at the end of the turn.
    flushes: Vec<ConnectionId>,
    /// Connections whose bytes TCP acknowledges at the end of the turn if nothing is written to them: at most one for each read.
    unanswered: Vec<ConnectionId>,
    submitter: Submitter,
    /// Appends the committer had no room for, in their order.
    waiting_appends: VecDeque<Append>,
    logins: Arc<Logins>,
    readers: Readers,
    needs: Arc<Needs>,
    told: Arc<Told>,
    gauges: Gauges,
    began: Instant,
    clock: Clock,
    scratch: Box<[u8]>,
    stop_at: Option<Instant>,
}

impl ShardThread {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let acceptor = Acceptor::open(
            parts.listeners,
            parts.served.clone(),
            parts.poll.registry(),
            parts.admission.clone(),
        )?;
        let mut thread = Self {
            number: parts.number,
            core: parts.core,
            poll: parts.poll,
            sockets: Sockets::new(
                parts.admission,
                Arc::new(PipeWatcher(parts.mailbox.clone())),
            ),
            mailbox: parts.mailbox,
            letters: VecDeque::new(),
            post: parts.post,
            acceptor,
            ready: VecDeque::new(),
            arrivals: VecDeque::new(),
            served: parts.served,
            flushes: Vec::new(),
            unanswered: Vec::new(),
            submitter: parts.submitter,
            waiting_appends: VecDeque::new(),
            logins: parts.logins,
            readers: parts.readers,
            needs: parts.needs,
            told: parts.told,
            gauges: Gauges::new(parts.number, parts.tallies, parts.drops),
            began: parts.began,
            clock: Clock::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            stop_at: None,
        };
        for output in parts.first {
            thread.carry_out(output);
        }
        Ok(thread)
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.has_ended() {
            let sleep = self.sleep();
            match self.poll.poll(&mut events, Some(sleep)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Nothing can be read any more; the service tells whoever watches over the process.
                    tracing::error!(%error, shard = self.number, "the poll failed");
                    self.post
                        .service
                        .send(ServiceEvent::Failed(format!("poll: {error}")));
                    return;
                }
            }
            self.turn(&events);
        }
        self.submit_waiting();
    }

    fn turn(&mut self, events: &Events) {
        self.core.begin_turn(self.moment(Instant::now()));
        self.open_letters();
        if self.core.has_deferred() {
            let now = self.clock.now();
            self.core.resume_deferred(now);
            self.carry_out_all();
        }
        let congested = self.post.is_congested();
        for event in events {
            match event.token() {
                MAILBOX => {}
                token if self.acceptor.is_listener(token) => self.acceptor.note_readable(),
                token => self.socket_event(token, event),
            }
        }
        if self.stop_at.is_none() && !congested {
            self.accept();
        }
        if !congested {
            self.read_ready();
        }
        let now = self.clock.now();
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            self.core.handle_timeout(now);
            self.carry_out_all();
        }
        self.flush_all();
        self.acknowledge_unanswered();
        let end = Instant::now();
        if self.core.measures() {
            self.core.end_turn(self.moment(end));
        }
        self.submit_waiting();
        self.sockets
            .give_up_overdue(self.poll.registry(), &mut self.core);
        self.gauges.tell(&mut self.core, self.mailbox.len(), end);
    }

    /// On the clock of all shards, which only runs forward.
    fn moment(&self, at: Instant) -> Moment {
        let micros = at.saturating_duration_since(self.began).as_micros();
        Moment::new(u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(1))
    }

    fn sleep(&mut self) -> Duration {
        if self.post.is_congested() {
            return CONGESTED_SLEEP;
        }
        let at_once = !self.ready.is_empty()
            || !self.arrivals.is_empty()
            || self.core.has_deferred()
            || self.acceptor.is_ready()
            || self.sockets.has_overdue();
        if at_once {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let due = self
            .core
            .poll_timeout()
            .map_or(SLEEP_MAX, |due| Duration::from_millis(due.since(now)));
        due.min(SLEEP_MAX)
    }

    // Letters.

    fn open_letters(&mut self) {
        let mut letters = std::mem::take(&mut self.letters);
        self.mailbox.take(&mut letters);
        if !letters.is_empty() {
            let now = self.clock.now();
            for letter in letters.drain(..) {
                self.open_letter(letter, now);
            }
            self.carry_out_all();
        }
        self.letters = letters;
    }

    fn open_letter(&mut self, letter: ShardEvent, now: records::Millis) {
        match letter {
            ShardEvent::Input(input) => self.core.handle(input, now),
            ShardEvent::Deliver(delivery) => self.core.handle(Input::Deliver(delivery), now),
            ShardEvent::Adopt {
                transport,
                origin,
                pending,
            } => {
                // The core may have given up slots whose sockets are still in the table.
                self.carry_out_all();
                let id = self.core.adopt(pending, now);
                self.enter(id, transport, origin);
            }
            ShardEvent::Connection {
                transport,
                origin,
                began,
            } => {
                self.carry_out_all();
                let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let id = self.core.accept_late(origin.listener.0, waited, now);
                self.enter(id, transport, origin);
                // Its handshake is over already.
                if self.certified(id).is_some() {
                    self.core.vouch(id);
                }
            }
            ShardEvent::Ready {
                connection,
                readiness,
            } => self.pipe_ready(connection, readiness),
            ShardEvent::Room => {}
            ShardEvent::ReportNeeds(None) => self.core.seek_low_water(now),
            ShardEvent::ReportNeeds(Some(ends)) => self.core.survey(ends, now),
            ShardEvent::Stop => {
                self.stop_at = Some(Instant::now() + STOP_TIME);
                self.acceptor.close(self.poll.registry());
                self.core.handle(Input::Shutdown, now);
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.stop_at.is_some_and(|at| {
            let quiet = self.sockets.is_empty() && self.core.population().appends_pending == 0;
            quiet || at <= Instant::now()
        })
    }

    // Sockets.

    fn accept(&mut self) {
        let now = self.clock.now();
        while let Some((transport, origin)) = self.acceptor.next() {
            let id = self.core.accept_through(origin.listener.0, now);
            if let Some(full) = origin.refused {
                self.core
                    .refuse_connection(id, arrivals::refusal(full), now);
            }
            self.enter(id, transport, origin);
        }
    }

    fn enter(&mut self, id: ConnectionId, transport: net::Transport, origin: Origin) {
        match self
            .sockets
            .insert(id, transport, origin, self.poll.registry())
        {
            // Bytes may lie in it that no event will tell of.
            Ok(()) => self.read_later(id),
            Err(error) => {
                if let Some(left_out) = UNWATCHED.meet(&error.to_string(), Instant::now()) {
                    tracing::warn!(%error, left_out, "a connection cannot be watched");
                }
                let now = self.clock.now();
                self.core.closed(id, now);
                self.core.forget(id);
            }
        }
    }

    fn socket_event(&mut self, token: Token, event: &mio::event::Event) {
        let Some(id) = self.sockets.id_of(token) else {
            return;
        };
        if event.is_writable() {
            self.flush(id);
            // A handshake goes on by reading, even where it waited for room.
            let arriving = self.sockets.get_mut(id);
            if arriving.is_some_and(|socket| socket.transport.is_arriving()) {
                self.read_later(id);
            }
        }
        // An error or a hang-up is found by reading, behind what was sent before it.
        let ends = event.is_read_closed() || event.is_error();
        if ends && let Some(socket) = self.sockets.get_mut(id) {
            socket.half_closed = true;
        }
        if event.is_readable() || ends {
            self.read_later(id);
        }
    }

    /// As [`Self::socket_event`]; letters may be opened while bytes are handled, so writing waits for the end of the turn.
    fn pipe_ready(&mut self, id: ConnectionId, readiness: Readiness) {
        if readiness.writable {
            self.flushes.push(id);
        }
        if readiness.readable {
            self.read_later(id);
        }
    }

    fn read_ready(&mut self) {
        let mut scratch = std::mem::take(&mut self.scratch);
        // The more want to be read, the less of each: nobody waits for the sum of what all have sent.
        let visits = self.ready.len().min(VISITS_PER_TURN);
        let share = READ_BYTES_PER_TURN / visits.max(1);
        let share = share.clamp(READ_BYTES_MIN, scratch.len());
        for _ in 0..visits {
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            let socket = self.sockets.get_mut(id);
            if socket.is_some_and(|socket| socket.transport.is_arriving()) {
                self.arrivals.push_back(id);
            } else {
                self.read(id, &mut scratch[..share]);
            }
        }
        self.read_arrivals(&mut scratch);
        self.scratch = scratch;
        self.carry_out_all();
    }

    /// Reads one connection for a while.
    fn read(&mut self, id: ConnectionId, scratch: &mut [u8]) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.queued = false;
        }
        let alone = scratch.len() == SCRATCH_BYTES;
        for _ in 0..if alone { READS_PER_TURN } else { 1 } {
            let Some(socket) = self.sockets.get_mut(id) else {
                return;
            };
            if socket.is_lingering() {
                if socket.discard(scratch) {
                    self.drop_socket(id);
                }
                return;
            }
            if !self.core.wants_bytes(id) {
                // The core will say when to go on.
                socket.unread = true;
                // Whoever sends a CONNECT and what is to be published behind it may end its side at once, and is served.
                let left = socket.half_closed
                    && self.core.awaits_verdict(id)
                    && !socket.transport.may_hold_more();
                if left {
                    socket.ended = true;
                    let now = self.clock.now();
                    self.core.closed(id, now);
                }
                return;
            }
            let half_closed = socket.half_closed;
            match socket.transport.read(scratch) {
                Received::Buffered(count, drained) => {
                    self.receive(id, &scratch[..count]);
                    if drained == Drained::Yes && !half_closed {
                        return;
                    }
                }
                Received::Message(bytes) => self.receive(id, &bytes),
                Received::Stage(stage) => {
                    if !self.arrive(id, stage) {
                        return;
                    }
                }
                Received::Blocked => {
                    self.note_held(id);
                    return;
                }
                Received::Closed => {
                    socket.ended = true;
                    let now = self.clock.now();
                    self.core.closed(id, now);
                    return;
                }
            }
        }
        self.read_later(id);
    }

    fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        // What another shard announced before these bytes were sent has to be known first, or a publish could miss a
        // subscriber whose SUBACK its sender has seen.
        if !self.mailbox.is_empty() {
            self.open_letters();
        }
        // The same for what another shard has stamped and this one was not told of.
        self.core.observe(self.told.upto());
        self.note_read(id, bytes);
        let now = self.clock.now();
        self.core.receive(id, bytes, now);
        // A CONNECT has its place though nothing is written for it yet.
        self.told.tell(self.core.clock());
    }

    /// What waits in the transport of a client that has not been let in counts among the bytes of such clients.
    fn note_held(&mut self, id: ConnectionId) {
        let held = self
            .sockets
            .get_mut(id)
            .map_or(0, |socket| socket.transport.held_bytes());
        if held > 0 && !self.core.is_open(id) {
            let now = self.clock.now();
            self.core.count_bytes_outside(id, held, now);
        }
    }

    /// Puts a connection on the list of those that have to be read.
    pub(super) fn read_later(&mut self, id: ConnectionId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && !std::mem::replace(&mut socket.queued, true)
        {
            self.ready.push_back(id);
        }
    }
}
