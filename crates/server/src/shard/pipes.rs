//! How the readiness of connections that no poll watches reaches their shard: as letters. At most two lie in its mailbox for
//! each pipe, since a pipe tells again only after it has been found empty or full.

use broker::ConnectionId;
use net::{Readiness, Watcher};

use crate::mailbox::Mailbox;
use crate::post::ShardEvent;

/// Writes to the shard whose mailbox this is.
pub(super) struct PipeWatcher(pub(super) Mailbox<ShardEvent>);

impl Watcher for PipeWatcher {
    fn ready(&self, tag: u64, readiness: Readiness) {
        self.0.send(ShardEvent::Ready {
            connection: connection(tag),
            readiness,
        });
    }
}

/// What a connection's pipe is watched under.
pub(super) fn tag(id: ConnectionId) -> u64 {
    (u64::from(id.slot) << 32) | u64::from(id.serial)
}

fn connection(tag: u64) -> ConnectionId {
    ConnectionId {
        slot: (tag >> 32) as u32,
        serial: tag as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_its_connection() {
        for (slot, serial) in [(0, 0), (7, u32::MAX), (u32::MAX, 9)] {
            let id = ConnectionId { slot, serial };
            assert_eq!(connection(tag(id)), id);
        }
    }
}
