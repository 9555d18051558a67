//! Which clients lose messages, and why: gathered until whoever writes the log takes it. What publishers themselves let expire is
//! only counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sessions::session::Session;

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

impl Drops {
    /// Messages for a client, by its slot and serial, are dropped.
    pub(crate) fn note(&mut self, client: (u32, u32), reason: DropReason, messages: u64) {
        let losses = &mut self.0[reason as usize];
        losses.messages += messages;
        let full = losses.clients.len() >= CLIENTS_MAX;
        match losses.clients.get_mut(&client) {
            Some(lost) => *lost += messages,
            None if full => {}
            None => {
                losses.clients.insert(client, messages);
            }
        }
    }

    /// A message is dropped that waits for no session in particular.
    pub(crate) fn note_of_group(&mut self, reason: DropReason) {
        self.0[reason as usize].messages += 1;
    }

    /// What was dropped since the last call; `name` knows clients by slot and serial, as far as they are still there.
    pub(crate) fn take(&mut self, name: impl Fn(u32, u32) -> Option<ClientName>) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        for reason in DropReason::ALL {
            let losses = std::mem::take(&mut self.0[reason as usize]);
            if losses.messages == 0 {
                continue;
            }
            let mut worst: Vec<_> = losses.clients.into_iter().collect();
            worst.sort_unstable_by_key(|(client, lost)| (Reverse(*lost), *client));
            let named = worst.into_iter();
            let named =
                named.filter_map(|((slot, serial), lost)| Some((name(slot, serial)?, lost)));
            dropped.push(Dropped {
                reason,
                messages: losses.messages,
                worst: named.take(NAMED_MAX).collect(),
            });
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of very many clients only some are remembered, but every message is counted, and those that are gone are not named.
    #[test]
    fn what_is_remembered_of_drops_is_bounded() {
        let mut drops = Drops::default();
        for slot in 0..CLIENTS_MAX as u32 + 10 {
            drops.note((slot, 1), DropReason::QueueFull, u64::from(slot) + 1);
        }
        drops.note_of_group(DropReason::QueueFull);
        let all = (CLIENTS_MAX + 10) as u64;
        let newest = CLIENTS_MAX as u32 - 1;
        let taken = drops.take(|slot, _| {
            (slot != newest).then(|| ClientName {
                account: None,
                client_id: slot.to_string().into(),
            })
        });
        let [dropped] = &taken[..] else {
            panic!("one reason: {taken:?}");
        };
        assert_eq!(dropped.messages, all * (all + 1) / 2 + 1);
        assert_eq!(dropped.worst.len(), NAMED_MAX);
        assert_eq!(&*dropped.worst[0].0.client_id, (newest - 1).to_string());
        assert!(drops.take(|_, _| None).is_empty(), "it has been taken");
    }
}
