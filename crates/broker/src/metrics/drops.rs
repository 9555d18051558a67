//! Which clients lose messages, and why: gathered until whoever writes the log takes it. What publishers themselves let expire is
//! only counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sessions::session::Session;
use crate::shard::Shard;

/// Clients remembered for each reason between two takings; of further ones only the messages are counted.
const CLIENTS_MAX: usize = 1024;
/// Clients named for each reason.
pub const NAMED_MAX: usize = 8;

/// Why a message does not get to a client that it was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// QoS 0: the client did not read, and what may wait for it did.
    SlowClient,
    /// QoS 1 or 2: as much waited for the client as may.
    QueueFull,
    /// It had waited longest when too much waited in the whole server.
    ServerFull,
    /// It is larger than the client takes.
    TooLarge,
    /// The access list no longer lets the client have it.
    NotAllowed,
}

impl DropReason {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::SlowClient,
        Self::QueueFull,
        Self::ServerFull,
        Self::TooLarge,
        Self::NotAllowed,
    ];
}

/// A client as people know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientName {
    /// Its account's name; `None` without an account.
    pub account: Option<Arc<str>>,
    /// Its client id.
    pub client_id: Arc<str>,
}

impl ClientName {
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            account: session.account.map(|_| session.name.clone()),
            client_id: session.client_id.clone(),
        }
    }
}

/// What was dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The reason.
    pub reason: DropReason,
    /// How many messages.
    pub messages: u64,
    /// Who lost most, and how many, the worst first; at most [`NAMED_MAX`]. Sessions that have ended are left out.
    pub worst: Vec<(ClientName, u64)>,
}

/// What was dropped since it was taken last, by reason.
#[derive(Debug, Default)]
pub(crate) struct Drops([Losses; DropReason::ALL.len()]);

#[derive(Debug, Default)]
struct Losses {
    messages: u64,
    /// By slot and serial.
    clients: BTreeMap<(u32, u32), u64>,
}

impl Shard {
    /// QoS 0 messages that waited for a session in memory are dropped.
    pub(crate) fn drop_qos0(&mut self, slot: u32, messages: u64) {
        if messages > 0 {
            self.counters.dropped_qos0 += messages;
            self.note_dropped(slot, DropReason::SlowClient, messages);
        }
    }

    /// QoS 1 and 2 messages that waited for a session are dropped.
    pub(crate) fn drop_queued(&mut self, slot: u32, reason: DropReason, messages: u64) {
        if messages > 0 {
            self.counters.dropped_queued += messages;
            self.note_dropped(slot, reason, messages);
        }
    }

    /// Messages for a session are dropped, and counted by whoever calls.
    pub(crate) fn note_dropped(&mut self, slot: u32, reason: DropReason, messages: u64) {
        let Some(session) = self.sessions.get(slot as usize) else {
            return;
        };
        let losses = &mut self.drops.0[reason as usize];
        losses.messages += messages;
        let (client, full) = ((slot, session.serial), losses.clients.len() >= CLIENTS_MAX);
        match losses.clients.get_mut(&client) {
            Some(lost) => *lost += messages,
            None if full => {}
            None => {
                losses.clients.insert(client, messages);
            }
        }
    }

    /// Messages are dropped that wait for no session in particular.
    pub(crate) fn note_dropped_of_group(&mut self, reason: DropReason) {
        self.drops.0[reason as usize].messages += 1;
    }

    /// What was dropped since the last call.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        for reason in DropReason::ALL {
            let losses = std::mem::take(&mut self.drops.0[reason as usize]);
            if losses.messages == 0 {
                continue;
            }
            let mut worst: Vec<_> = losses.clients.into_iter().collect();
            worst.sort_unstable_by_key(|(client, lost)| (Reverse(*lost), *client));
            let named = worst.into_iter().filter_map(|((slot, serial), lost)| {
                let session = self.sessions.get(slot as usize)?;
                (session.serial == serial).then(|| (ClientName::of(session), lost))
            });
            dropped.push(Dropped {
                reason,
                messages: losses.messages,
                worst: named.take(NAMED_MAX).collect(),
            });
        }
        dropped
    }
}
