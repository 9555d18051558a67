//! Groups that everybody has left, which are kept, and groups that are deleted: what was said in those goes; their ids and the
//! positions they were given are not given again, which a small record sees to. Must not decide who may delete.

use records::{
    AccountId, Conversation, ConversationId, ConversationKind, KeyRange, Millis, Pos, key,
};

use crate::address;
use crate::chat::Chat;
use crate::delivery;
use crate::door::{AccountAnswer, AccountError, Output, RequestId};
use crate::log::Batch;
use crate::rooms::Abandoned;
use crate::wire;

/// A group that ended in an earlier run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) id: ConversationId,
    pub(crate) newest: Pos,
    /// Whether something of it is still stored.
    pub(crate) remains: bool,
}

impl Chat {
    /// Everybody has left a group. It still counts for who made it, or leaving would make room for ever more of them.
    pub(crate) fn abandon(&mut self, id: ConversationId, last: Option<AccountId>) {
        let Some(room) = self.rooms.find_mut(id) else {
            return;
        };
        if room.abandoned.replace(Abandoned { last }).is_none()
            && let Some(maker) = self.directory.find_mut(room.record.created_by)
        {
            maker.abandoned += 1;
        }
    }

    /// Somebody comes into a group that may have been abandoned, or it is deleted.
    pub(crate) fn take_up(&mut self, id: ConversationId) {
        let Some(room) = self.rooms.find_mut(id) else {
            return;
        };
        if room.abandoned.take().is_some()
            && let Some(maker) = self.directory.find_mut(room.record.created_by)
        {
            maker.abandoned -= 1;
        }
    }

    /// Deletes a group for whoever runs the server.
    pub(crate) fn delete_group_of_server(&mut self, request: RequestId, slug: &str, now: Millis) {
        let mut batch = Batch::default();
        let outcome = match self.rooms.group(slug) {
            Some(id) => {
                self.end_group(id, &mut batch);
                Ok(AccountAnswer::Done)
            }
            None => Err(AccountError::NoSuchGroup(slug.to_owned())),
        };
        batch.tell(Output::Answered { request, outcome });
        self.commit(batch, now);
    }

    /// A group is deleted. Its members are told that they have left it.
    pub(crate) fn end_group(&mut self, id: ConversationId, batch: &mut Batch) {
        self.take_up(id);
        let Some(mut room) = self.rooms.end(id) else {
            return;
        };
        for (account, member) in room.members() {
            self.directory.leave(*account, id, member);
        }
        let everybody = room.audience();
        if let ConversationKind::Group { slug, .. } = &room.record.kind
            && !everybody.is_empty()
        {
            let payload = wire::deleted_event(slug.as_str());
            let packet = delivery::packet("im/me/event".to_owned(), payload);
            batch.tell(address::to_accounts(everybody, packet));
        }
        let newest = self.log.newest();
        let ended = Conversation {
            kind: ConversationKind::Ended { newest },
            ..room.record
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

/// A group may have many members: their rows are deleted with one, not one by one.
fn remains(id: ConversationId) -> [KeyRange; 3] {
    [key::entries(id), key::seqs(id), key::members(id)]
}
