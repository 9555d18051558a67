//! Groups that end when the last member leaves. What was said in them goes; their ids and the positions they were given are not
//! given again, which a small record sees to. Must not end a group that has a member.

use records::{Conversation, ConversationId, ConversationKind, KeyRange, Pos, key};

use crate::chat::Chat;
use crate::door::Output;
use crate::log::Batch;

/// A group that ended in an earlier run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) id: ConversationId,
    pub(crate) newest: Pos,
    /// Whether something of it is still stored.
    pub(crate) remains: bool,
}

impl Chat {
    /// The last member has left.
    pub(crate) fn end_group(&mut self, id: ConversationId, batch: &mut Batch) {
        let Some(record) = self.rooms.end(id) else {
            return;
        };
        let newest = self.log.newest();
        let ended = Conversation {
            kind: ConversationKind::Ended { newest },
            ..record
        };
        batch.put(key::conversation(id), ended.encode());
        for range in remains(id) {
            batch.tell(Output::Trim(range));
        }
        self.counters.groups_ended += 1;
    }

    /// What an earlier run has left: records that are not needed any more, and what was not trimmed before a crash.
    pub(crate) fn end_leftovers(&mut self, ended: &[Ended]) {
        let mut batch = Batch::default();
        // Two records are enough to know which ids and positions are taken.
        let last_id = ended.iter().map(|ended| ended.id).max();
        let newest = ended.iter().max_by_key(|ended| (ended.newest, ended.id));
        for ended in ended {
            if ended.remains {
                for range in remains(ended.id) {
                    batch.tell(Output::Trim(range));
                }
            } else if Some(ended.id) != last_id && newest.is_none_or(|kept| kept.id != ended.id) {
                batch.delete(key::conversation(ended.id));
            }
        }
        self.log.commit(batch.writes, batch.effects, None);
    }
}

fn remains(id: ConversationId) -> [KeyRange; 2] {
    [key::entries(id), key::seqs(id)]
}
