//! What is on its way to the disk, and what waits for it. An append is the only step back in the walk of a message: whatever it
//! holds up goes on once it is done, in the order of the appends.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_session::AckOrdinal;
use records::{AccountId, SessionRef, Stamp, Write};

use crate::delivery::waiting::Delivery;
use crate::io::{ConnectionId, Output, Ticket};
use crate::message::Message;
use crate::outputs::Outputs;
use crate::shared::claim::Claims;
use crate::subscriptions::filter_request::PendingSuback;

/// Bytes of keys and values that whoever stores takes in one append, at least.
pub const APPEND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Appends that are not on disk yet, and clients that are not read because they are too many.
#[derive(Debug, Default)]
pub(crate) struct Appends {
    pending: VecDeque<PendingAppend>,
    next_ticket: u64,
    /// The append that completes the newest end of a stored session.
    last_end: Option<Ticket>,
    /// Connections that are not read until the disk has caught up.
    stalled: Vec<ConnectionId>,
}

impl Appends {
    /// How many have not come back.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Has `writes` stored, after which `then` is to be done. Without writes that is after everything that is on its way to the
    /// disk already: at once, if nothing is, and then it is given back.
    pub(crate) fn add(
        &mut self,
        writes: Vec<Write>,
        then: Then,
        outputs: &mut Outputs,
    ) -> Option<Then> {
        if writes.is_empty() {
            let Some(last) = self.pending.back() else {
                return Some(then);
            };
            let ticket = last.ticket;
            self.pending.push_back(PendingAppend { ticket, then });
            return None;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.pending.push_back(PendingAppend { ticket, then });
        outputs.push(Output::Append { ticket, writes });
        None
    }

    /// What is to be done next, when every append up to `upto` is on disk.
    pub(crate) fn next_completed(&mut self, upto: Ticket) -> Option<Then> {
        let next = self.pending.pop_front_if(|append| append.ticket <= upto)?;
        Some(next.then)
    }

    /// The end of a stored session is complete with what was added last.
    pub(crate) fn note_session_end(&mut self) {
        self.last_end = self.pending.back().map(|append| append.ticket);
    }

    /// Whether the end of some session is still on its way to the disk.
    pub(crate) fn is_ending_session(&self) -> bool {
        let oldest = self.pending.front().map(|append| append.ticket);
        oldest.is_some_and(|oldest| self.last_end.is_some_and(|end| oldest <= end))
    }

    /// Stored messages that have reached nobody yet.
    pub(crate) fn publishes(&self) -> impl Iterator<Item = Stamp> {
        self.pending.iter().filter_map(|append| match &append.then {
            Then::Publish(stored) => stored.stamp,
            _ => None,
        })
    }

    /// A connection is not read until the disk has caught up.
    pub(crate) fn stall(&mut self, id: ConnectionId) {
        self.stalled.push(id);
    }

    /// Those that are not read.
    pub(crate) fn take_stalled(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.stalled)
    }

    pub(crate) fn has_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }
}

/// Something that waits for the disk.
#[derive(Debug)]
struct PendingAppend {
    ticket: Ticket,
    then: Then,
}

/// What happens once it is there.
#[derive(Debug)]
pub(crate) enum Then {
    /// Nothing waits.
    Nothing,
    /// The session exists: say so.
    Connack {
        connection: ConnectionId,
        present: bool,
    },
    /// The subscriptions exist: say so, and deliver what follows a subscription.
    Suback(Box<PendingSuback>),
    /// What the packet says is on disk: it may go.
    Send {
        connection: ConnectionId,
        packet: Vec<u8>,
    },
    /// A QoS 2 message that came again is on disk: acknowledge it.
    Settle {
        connection: ConnectionId,
        ordinal: AckOrdinal,
    },
    /// The message is safe: deliver and acknowledge it.
    Publish(Box<StoredPublish>),
    /// The message is nobody else's any more: it may go at QoS 0, unless the session is offline by now.
    Live {
        session: SessionRef,
        delivery: Box<Delivery>,
    },
    /// PUBREC is remembered: PUBREL may go.
    Pubrel { session: SessionRef, packet_id: u16 },
    /// The packet identifier of an exactly-once delivery is remembered: PUBLISH may go.
    Deliver { session: SessionRef, packet_id: u16 },
}

/// A publish that waits for the disk.
#[derive(Debug)]
pub(crate) struct StoredPublish {
    pub(crate) message: Arc<Message>,
    /// Key in the queue table, if it was written there.
    pub(crate) stamp: Option<Stamp>,
    /// Set when the message is to be retained.
    pub(crate) retained: Option<Stamp>,
    /// The groups that have to get it.
    pub(crate) claims: Claims,
    pub(crate) publisher: SessionRef,
    /// The publisher's.
    pub(crate) account: Option<AccountId>,
    pub(crate) ack: Option<(ConnectionId, AckOrdinal)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write() -> Vec<Write> {
        vec![Write::Delete { key: vec![1] }]
    }

    fn send(serial: u32) -> Then {
        Then::Send {
            connection: ConnectionId { slot: 0, serial },
            packet: Vec::new(),
        }
    }

    fn serial(then: &Then) -> u32 {
        match then {
            Then::Send { connection, .. } => connection.serial,
            other => panic!("nothing else was added: {other:?}"),
        }
    }

    /// What has nothing to write waits for what was added before it, and for nothing that comes later.
    #[test]
    fn what_follows_comes_in_the_order_of_the_appends() {
        let (mut appends, mut outputs) = (Appends::default(), Outputs::default());
        let at_once = appends.add(Vec::new(), send(0), &mut outputs);
        assert_eq!(at_once.as_ref().map(serial), Some(0));
        assert!(appends.add(write(), send(1), &mut outputs).is_none());
        assert!(appends.add(Vec::new(), send(2), &mut outputs).is_none());
        assert!(appends.add(write(), send(3), &mut outputs).is_none());
        assert_eq!(appends.len(), 3);
        let mut completed = |upto| {
            let next = std::iter::from_fn(|| appends.next_completed(Ticket(upto)));
            next.map(|then| serial(&then)).collect::<Vec<_>>()
        };
        assert_eq!(completed(0), [1, 2]);
        assert_eq!(completed(0), []);
        assert_eq!(completed(1), [3]);
        let tickets: Vec<u64> = std::iter::from_fn(|| outputs.pop())
            .map(|output| match output {
                Output::Append { ticket, .. } => ticket.0,
                other => panic!("only appends: {other:?}"),
            })
            .collect();
        assert_eq!(tickets, [0, 1]);
    }

    #[test]
    fn a_session_ends_until_its_last_append_is_on_disk() {
        let (mut appends, mut outputs) = (Appends::default(), Outputs::default());
        appends.note_session_end();
        assert!(!appends.is_ending_session(), "nothing had to be written");
        for serial in [1, 2] {
            assert!(appends.add(write(), send(serial), &mut outputs).is_none());
        }
        appends.note_session_end();
        assert!(appends.add(write(), send(3), &mut outputs).is_none());
        assert!(appends.next_completed(Ticket(0)).is_some());
        assert!(appends.is_ending_session());
        assert!(appends.next_completed(Ticket(1)).is_some());
        assert!(!appends.is_ending_session());
    }
}
