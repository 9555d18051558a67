//! Of several nodes each says how far it has come even if nothing happens there: that it gives no position any more up to some moment.
//! What it may promise is on disk before, so that whoever takes a partition over begins above it.

use records::{Millis, PartitionId, Pos, Write, key};

use crate::conversations::positions::CEILING_AHEAD;
use crate::conversations::{Conversations, Effect};
use crate::io::{Owner, Ticket};
use crate::nodes::view::NodeId;

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Promise {
    /// A tick on disk that is above every promise.
    ceiling: u64,
    under_way: Option<(Ticket, u64)>,
    last: Ticket,
}

/// The newest position of a tick.
fn last_of(tick: u64) -> Pos {
    Pos::at(tick, PartitionId::new(PartitionId::COUNT - 1))
}

impl Conversations {
    /// Promises as much as may be promised; nothing is given either that is older than what others have come to.
    pub(crate) fn promise(&mut self, node: NodeId, newest: Pos, now: Millis) {
        let shared = &mut self.shared;
        shared.positions.observe(newest);
        let tick = shared.positions.reach(now);
        let promise = &mut shared.promise;
        if tick < promise.ceiling {
            shared.floor.promise(last_of(tick));
        }
        if tick + CEILING_AHEAD / 2 >= promise.ceiling && promise.under_way.is_none() {
            let (ticket, ceiling) = (Ticket(promise.last.0 + 1), tick + CEILING_AHEAD);
            promise.last = ticket;
            promise.under_way = Some((ticket, ceiling));
            let write = Write::Put {
                key: key::promised_positions(node.0),
                value: key::encode_number(ceiling),
            };
            shared.effects.push_back(Effect::Append {
                owner: Owner::Node,
                ticket,
                writes: vec![write],
            });
        }
    }

    /// The newest position that this node may promise not to give.
    pub(crate) fn promised(&self) -> Pos {
        last_of(self.shared.promise.ceiling.saturating_sub(1))
    }

    /// A higher ceiling is on disk.
    pub(crate) fn promise_stored(&mut self, ticket: Ticket) {
        let promise = &mut self.shared.promise;
        if let Some((_, ceiling)) = promise.under_way.take_if(|(known, _)| *known == ticket) {
            promise.ceiling = ceiling;
        }
    }

    /// It is not: some partition is somebody else's, of which this node has not heard yet.
    pub(crate) fn promise_refused(&mut self, ticket: Ticket) {
        let under_way = &mut self.shared.promise.under_way;
        under_way.take_if(|(known, _)| *known == ticket);
    }
}
