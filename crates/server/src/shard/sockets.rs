//! The sockets of a shard, by the slots of the core's connections. A connection that is over lingers until its peer has
//! taken the last bytes, but not for long.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use broker::{ConnectionId, Shard};
use mio::{Registry, Token};
use net::{Received, Transport, Watcher};

use super::pipes::tag;
use super::quick_acks::QuickAcks;
use crate::admission::Admission;
use crate::origin::Origin;

/// Sockets closed in one turn because their peers did not.
const OVERDUE_PER_TURN: usize = 256;
/// How long a closed connection may take to read its last bytes and close its side.
const LINGER: Duration = Duration::from_secs(2);

/// One connection's socket.
#[derive(Debug)]
pub(super) struct Socket {
    serial: u32,
    stage: Stage,
    /// The core did not want bytes when there were some.
    pub(super) unread: bool,
    /// It is on the list of those to be read.
    pub(super) queued: bool,
    /// The operating system has said that the peer sends no more; behind what it sent there is an end to be read.
    pub(super) half_closed: bool,
    /// The peer has ended it: there is nobody to linger for.
    pub(super) ended: bool,
    pub(super) quick_acks: QuickAcks,
    /// While a login of its client is being decided.
    login: Option<Arc<()>>,
    origin: Origin,
    pub(super) transport: Transport,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The core is done with it; bytes wait.
    Closing,
    /// All is written and said to be all; the peer has to close.
    Lingering,
}

impl Socket {
    pub(super) fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.stage == Stage::Lingering
    }

    /// A login of its client is being decided; whoever decides sees by this whether the socket is still there.
    pub(super) fn await_login(&mut self) -> Weak<()> {
        Arc::downgrade(self.login.get_or_insert_default())
    }

    pub(super) fn end_login(&mut self) {
        self.login = None;
    }

    /// Says that no more will come; what the peer still sends is thrown away.
    pub(super) fn linger(&mut self) {
        self.transport.finish();
        self.stage = Stage::Lingering;
    }

    /// Throws away what has come; true when the peer has closed.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> bool {
        for _ in 0..super::READS_PER_TURN {
            match self.transport.discard(scratch) {
                Received::Buffered(..) | Received::Message(_) | Received::Stage(_) => {}
                Received::Blocked => return false,
                Received::Closed => return true,
            }
        }
        // It keeps sending: that is not waiting for our last words.
        true
    }
}

/// The table.
pub(super) struct Sockets {
    slots: Vec<Option<Socket>>,
    len: usize,
    overdue: VecDeque<(Instant, ConnectionId)>,
    admission: Arc<Admission>,
    /// Is told what no poll can tell.
    watcher: Arc<dyn Watcher>,
}

impl Sockets {
    pub(super) fn new(admission: Arc<Admission>, watcher: Arc<dyn Watcher>) -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
            overdue: VecDeque::new(),
            admission,
            watcher,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn insert(
        &mut self,
        id: ConnectionId,
        mut transport: Transport,
        origin: Origin,
        registry: &Registry,
    ) -> io::Result<()> {
        let slot = id.slot as usize;
        if let Err(error) = transport.register(registry, Token(slot), &self.watcher, tag(id)) {
            self.admission.release(origin);
            return Err(error);
        }
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let socket = Socket {
            serial: id.serial,
            stage: Stage::Open,
            unread: false,
            queued: false,
            half_closed: false,
            ended: false,
            quick_acks: QuickAcks::default(),
            login: None,
            origin,
            transport,
        };
        let before = self.slots[slot].replace(socket);
        assert!(
            before.is_none(),
            "the core reuses a slot only when its socket is gone"
        );
        self.len += 1;
        Ok(())
    }

    pub(super) fn id_of(&self, token: Token) -> Option<ConnectionId> {
        let socket = self.slots.get(token.0)?.as_ref()?;
        Some(ConnectionId {
            slot: u32::try_from(token.0).ok()?,
            serial: socket.serial,
        })
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Socket> {
        self.slots
            .get_mut(id.slot as usize)?
            .as_mut()
            .filter(|socket| socket.serial == id.serial)
    }

    /// Where a connection comes from.
    pub(super) fn origin(&mut self, id: ConnectionId) -> Option<Origin> {
        self.get_mut(id).map(|socket| socket.origin)
    }

    /// Counts a connection as coming from elsewhere. `None`, if that is one too many: then it counts no longer, and has to be
    /// taken out.
    pub(super) fn readdress(&mut self, id: ConnectionId, origin: Origin) -> Option<Origin> {
        let before = self.origin(id)?;
        self.admission.release(before);
        let admitted = self.admission.admit(origin)?;
        self.get_mut(id)?.origin = admitted;
        Some(admitted)
    }

    /// Begins the end of a connection, which comes at the latest after [`LINGER`].
    pub(super) fn begin_closing(&mut self, id: ConnectionId) {
        if let Some(socket) = self.get_mut(id)
            && socket.stage == Stage::Open
        {
            socket.stage = Stage::Closing;
            self.overdue.push_back((Instant::now() + LINGER, id));
        }
    }

    /// Closes it for good.
    pub(super) fn remove(&mut self, id: ConnectionId, registry: &Registry) {
        if let Some((_, origin)) = self.take(id, registry) {
            self.admission.release(origin);
        }
    }

    /// Takes it out of the table without closing it.
    pub(super) fn take(
        &mut self,
        id: ConnectionId,
        registry: &Registry,
    ) -> Option<(Transport, Origin)> {
        self.get_mut(id)?;
        let mut socket = self.slots[id.slot as usize].take()?;
        self.len -= 1;
        // Fails only for a socket that the poll does not know, and then there is nothing to forget.
        drop(socket.transport.deregister(registry));
        Some((socket.transport, socket.origin))
    }

    /// Whether more peers than one turn could close have let the time pass.
    pub(super) fn has_overdue(&self) -> bool {
        let oldest = self.overdue.front();
        oldest.is_some_and(|(at, _)| *at <= Instant::now())
    }

    /// Closes those whose peers did not, some at a time.
    pub(super) fn give_up_overdue(&mut self, registry: &Registry, core: &mut Shard) {
        for _ in 0..OVERDUE_PER_TURN {
            let Some((at, id)) = self.overdue.front().copied() else {
                return;
            };
            // A handful a second at most in quiet times: the clock is asked only while somebody is closing.
            if at > Instant::now() {
                return;
            }
            self.overdue.pop_front();
            if self.get_mut(id).is_some() {
                self.remove(id, registry);
                core.forget(id);
            }
        }
    }
}
