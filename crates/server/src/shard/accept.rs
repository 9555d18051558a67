//! A shard accepts connections: listening sockets that all shards share. Whichever shard is awake takes the connection; it moves to
//! its session's shard once its CONNECT is known.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use net::Transport;

use crate::admission::Admission;
use crate::listener::ServedListeners;
use crate::listeners::Share;
use crate::origin::Origin;
use crate::repeats::accept_failed;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: u32 = 64;
/// The highest listener token; others go downwards.
const FIRST_LISTENER: usize = usize::MAX - 1;
/// Rest after the operating system had no file descriptor to give.
const OUT_OF_DESCRIPTORS_REST: Duration = Duration::from_millis(100);

pub(super) struct Acceptor {
    listeners: Vec<Share>,
    served: Arc<ServedListeners>,
    admission: Arc<Admission>,
    /// Which listener is asked next; `None` when all have said that nobody waits.
    asking: Option<usize>,
    left: u32,
    rest_until: Option<Instant>,
}

impl Acceptor {
    pub(super) fn open(
        mut listeners: Vec<Share>,
        served: Arc<ServedListeners>,
        registry: &Registry,
        admission: Arc<Admission>,
    ) -> io::Result<Self> {
        for (number, listener) in listeners.iter_mut().enumerate() {
            listener
                .listener
                .register(registry, Token(FIRST_LISTENER - number))?;
        }
        Ok(Self {
            listeners,
            served,
            admission,
            // Somebody may have been waiting before the listener was watched.
            asking: Some(0),
            left: ACCEPTS_PER_TURN,
            rest_until: None,
        })
    }

    pub(super) fn is_listener(&self, token: Token) -> bool {
        token.0 > FIRST_LISTENER - self.listeners.len() && token.0 <= FIRST_LISTENER
    }

    /// Somebody waits.
    pub(super) fn note_readable(&mut self) {
        self.asking = Some(0);
    }

    /// Whether somebody may wait that no event will tell of.
    pub(super) fn is_ready(&self) -> bool {
        self.asking.is_some() && self.rest_until.is_none()
    }

    /// The next connection of this turn.
    pub(super) fn next(&mut self) -> Option<(Transport, Origin)> {
        if self.rest_until.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        self.rest_until = None;
        loop {
            if self.left == 0 {
                self.left = ACCEPTS_PER_TURN;
                return None;
            }
            let share = self.listeners.get(self.asking?);
            let Some((share, listener)) =
                share.and_then(|share| Some((share, self.served.get(share.number)?)))
            else {
                self.asking = None;
                self.left = ACCEPTS_PER_TURN;
                return None;
            };
            match share.listener.accept() {
                Ok((wire, peer)) => {
                    self.left -= 1;
                    let Some(origin) = listener.origin(peer) else {
                        continue;
                    };
                    let admitted = self.admission.admit(origin);
                    match admitted {
                        Some(Origin { refused: None, .. }) => listener.count_accepted(),
                        Some(_) | None => listener.count_refused(),
                    }
                    if let Some(origin) = admitted {
                        return Some((Transport::accepted(wire, &listener.layers), origin));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.asking = self.asking.map(|number| number + 1);
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    accept_failed(&error);
                    self.rest_until = Some(Instant::now() + OUT_OF_DESCRIPTORS_REST);
                    return None;
                }
            }
        }
    }

    /// Takes nobody any more.
    pub(super) fn close(&mut self, registry: &Registry) {
        for listener in &mut self.listeners {
            // The socket itself closes when the last shard lets go of it.
            drop(listener.listener.deregister(registry));
        }
        self.listeners.clear();
        self.asking = None;
    }
}

/// Failures of one connection that say nothing about the next.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
