//! Where sessions are found: by reference, and by the client they belong to. It owns the ways to them, not what they are.

use records::{AccountId, SessionRef};

use crate::sessions::session::{Session, session_hash};
use crate::shard::Shard;

impl Shard {
    pub(crate) fn session_slot(&self, reference: SessionRef) -> Option<u32> {
        let session = self.sessions.get(reference.slot as usize)?;
        (session.serial == reference.generation).then_some(reference.slot)
    }

    /// The session, if it lives on this shard.
    pub(crate) fn local_session(&self, reference: SessionRef) -> Option<u32> {
        let here = (reference.shard == self.peers.own()).then_some(reference)?;
        self.session_slot(here)
    }

    pub(crate) fn find_session(&self, account: Option<AccountId>, client_id: &str) -> Option<u32> {
        let hash = session_hash(&self.hasher, account, client_id);
        self.session_table.find(hash as u32, |slot| {
            let session = &self.sessions[slot as usize];
            session.account == account && &*session.client_id == client_id
        })
    }

    pub(crate) fn insert_session(&mut self, session: Session) -> u32 {
        let hash = session_hash(&self.hasher, session.account, &session.client_id);
        let slot = self.sessions.insert(session) as u32;
        self.session_table.insert(hash as u32, slot);
        slot
    }

    pub(crate) fn remove_session(&mut self, slot: u32) {
        self.unlist_session(slot);
        self.forget_recipient(slot);
        self.cursors.redeliveries.remove(&slot);
        self.cursors.superseded.remove(&slot);
        self.cursors.changing.remove(&slot);
        self.sessions.remove(slot as usize);
    }

    /// Nobody finds the session any more, though it still has its place.
    pub(crate) fn unlist_session(&mut self, slot: u32) {
        let session = &self.sessions[slot as usize];
        let hash = session_hash(&self.hasher, session.account, &session.client_id);
        self.deadlines
            .give_up(session.check_at, slot, session.serial);
        self.session_table.remove(hash as u32, slot);
        self.uncount_session(slot);
        self.offline.remove(&mut self.sessions, slot);
    }

    /// The shard that owns the session of this client.
    pub(crate) fn home_of(&self, account: Option<AccountId>, client_id: &str) -> u16 {
        let hash = session_hash(&self.hasher, account, client_id);
        // The upper bits: the lower ones choose the place in the shard's own table.
        ((hash >> 32) % u64::from(self.peers.shards())) as u16
    }
}
