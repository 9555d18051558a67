//! The sessions of a shard: where each is found, by reference and by the client it belongs to, which of them are offline, when
//! they are checked, and what they count for their accounts.

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use ahash::RandomState;
use records::{AccountId, Millis, SessionRef};
use routing::IdTable;
use slab::Slab;

use crate::peers::Peers;
use crate::sessions::account_limits::AccountLimits;
use crate::sessions::account_usage::AccountUsage;
use crate::sessions::deadlines::Deadlines;
use crate::sessions::offline::OfflineSessions;
use crate::sessions::session::{NO_CONNECTION, Session};

/// Sessions without a connection that are looked at for one that holds no message, the longest offline first.
const LOOKED_AT_MAX: usize = 64;

/// The sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    peers: Peers,
    hasher: RandomState,
    slots: Slab<Session>,
    next_serial: u32,
    by_client: IdTable,
    offline: OfflineSessions,
    /// None ends because too many are offline.
    keeps_all_offline: bool,
    deadlines: Deadlines,
    accounts: AccountLimits,
}

impl Sessions {
    /// None yet. Every shard has the same hasher, by which they agree on where a client's session is.
    pub(crate) fn new(peers: Peers, hasher: RandomState, usage: Arc<AccountUsage>) -> Self {
        Self {
            peers,
            hasher,
            slots: Slab::new(),
            next_serial: 0,
            by_client: IdTable::default(),
            offline: OfflineSessions::default(),
            keeps_all_offline: false,
            deadlines: Deadlines::default(),
            accounts: AccountLimits::new(usage, peers.own()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// No slot is beyond this.
    pub(crate) fn capacity(&self) -> u32 {
        self.slots.capacity() as u32
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        let slots = self.slots.iter();
        slots.map(|(slot, session)| (slot as u32, session))
    }

    /// Whatever session has this slot.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&Session> {
        self.slots.get(slot as usize)
    }

    /// Whatever session has this slot.
    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Session> {
        self.slots.get_mut(slot as usize)
    }

    /// A session by slot and serial, if it is still there.
    pub(crate) fn get_mut(&mut self, slot: u32, serial: u32) -> Option<&mut Session> {
        let session = self.slots.get_mut(slot as usize)?;
        (session.serial == serial).then_some(session)
    }

    /// Whether the session is still there.
    pub(crate) fn is_still(&self, slot: u32, serial: u32) -> bool {
        self.at(slot)
            .is_some_and(|session| session.serial == serial)
    }

    // References.

    /// How the messenger and other shards name a session.
    #[inline]
    pub(crate) fn reference(&self, slot: u32) -> SessionRef {
        SessionRef {
            shard: self.peers.own(),
            slot,
            generation: self[slot].serial,
        }
    }

    /// A session of this shard, if it is still there.
    #[inline]
    pub(crate) fn slot_of(&self, reference: SessionRef) -> Option<u32> {
        self.is_still(reference.slot, reference.generation)
            .then_some(reference.slot)
    }

    /// The session, if it lives on this shard.
    #[inline]
    pub(crate) fn local(&self, reference: SessionRef) -> Option<u32> {
        let here = (reference.shard == self.peers.own()).then_some(reference)?;
        self.slot_of(here)
    }

    // Clients.

    /// The session of a client.
    pub(crate) fn find(&self, account: Option<AccountId>, client_id: &str) -> Option<u32> {
        let hash = self.hash(account, client_id);
        self.by_client.find(hash as u32, |slot| {
            let session = &self[slot];
            session.account == account && &*session.client_id == client_id
        })
    }

    /// The shard that owns the session of this client.
    pub(crate) fn home_of(&self, account: Option<AccountId>, client_id: &str) -> u16 {
        let hash = self.hash(account, client_id);
        // The upper bits: the lower ones choose the place in the shard's own table.
        ((hash >> 32) % u64::from(self.peers.shards())) as u16
    }

    fn hash(&self, account: Option<AccountId>, client_id: &str) -> u64 {
        let mut state = self.hasher.build_hasher();
        account.map_or(0, AccountId::value).hash(&mut state);
        client_id.hash(&mut state);
        state.finish()
    }

    /// The hasher that all shards share.
    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    // From the first to the last.

    /// For the next session, or for what is left of one.
    pub(crate) fn next_serial(&mut self) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(1);
        self.next_serial
    }

    pub(crate) fn insert(&mut self, session: Session) -> u32 {
        let hash = self.hash(session.account, &session.client_id);
        let slot = self.slots.insert(session) as u32;
        self.by_client.insert(hash as u32, slot);
        slot
    }

    /// Nobody finds the session any more, though it still has its place.
    pub(crate) fn unlist(&mut self, slot: u32) {
        let session = &self[slot];
        let hash = self.hash(session.account, &session.client_id);
        self.deadlines
            .give_up(session.check_at, slot, session.serial);
        self.by_client.remove(hash as u32, slot);
        self.accounts.uncount(&mut self.slots[slot as usize], slot);
        self.come_online(slot);
    }

    /// Its place is free.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.slots.remove(slot as usize);
    }

    // Without a connection.

    /// How many are offline.
    pub(crate) fn offline(&self) -> usize {
        self.offline.len()
    }

    /// A session has lost its connection, or was taken back without one.
    pub(crate) fn go_offline(&mut self, slot: u32) {
        self.offline.push(&mut self.slots, slot);
    }

    /// A session has a connection again, or is over.
    pub(crate) fn come_online(&mut self, slot: u32) {
        self.offline.remove(&mut self.slots, slot);
    }

    /// The server is going down: everybody is offline soon, which says nothing about how many have gone.
    pub(crate) fn keep_all_offline(&mut self) {
        self.keeps_all_offline = true;
    }

    pub(crate) fn keeps_all_offline(&self) -> bool {
        self.keeps_all_offline
    }

    /// Of the sessions that have been offline longest the first that holds no message.
    pub(crate) fn oldest_offline_without_messages(&self) -> Option<u32> {
        let mut oldest = self.offline.iter(&self.slots).take(LOOKED_AT_MAX);
        oldest.find(|slot| !self[*slot].has_messages())
    }

    /// The lasting session of an account here that is offline and has no messages, or has been offline longest.
    pub(crate) fn least_needed_of(&self, account: AccountId) -> Option<u32> {
        let slots = self.accounts.lasting_here(account).into_iter();
        let offline = slots.filter(|slot| self[*slot].connection == NO_CONNECTION);
        offline.min_by_key(|slot| {
            let session = &self[*slot];
            (session.has_messages(), session.disconnected_at)
        })
    }

    /// Has a session checked when its will is due or it ends, `expiry_max_secs` after its connection at the latest. A session that
    /// comes and goes keeps the check it has: that one finds out when the next is due.
    pub(crate) fn schedule_check(&mut self, slot: u32, expiry_max_secs: u32) {
        let session = &mut self.slots[slot as usize];
        let due = [session.will_due(), session.ends_at(expiry_max_secs)];
        let Some(at) = due.into_iter().flatten().min() else {
            return;
        };
        if session.check_at == Millis::ZERO || at < session.check_at {
            let before = std::mem::replace(&mut session.check_at, at);
            self.deadlines.give_up(before, slot, session.serial);
            self.deadlines.schedule(at, slot, session.serial);
        }
    }

    /// A check that is due: slot and serial of a session that may be gone by now.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<(u32, u32)> {
        self.deadlines.take_due(now)
    }

    /// When the next check is.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.deadlines.next_due()
    }

    // Of accounts.

    /// Lasting sessions of an account, on all shards.
    pub(crate) fn lasting_sessions(&self, account: AccountId) -> usize {
        self.accounts.lasting_sessions(account)
    }

    /// A session outlives its connection from here on.
    pub(crate) fn count_lasting(&mut self, slot: u32) {
        self.accounts.count_lasting(&self[slot], slot);
    }

    /// Whether the account of a session may have another filter, with so many bytes of filters at most.
    pub(crate) fn has_room_for_filter(&self, slot: u32, filter: &str, most: usize) -> bool {
        self.accounts.has_room_for_filter(&self[slot], filter, most)
    }

    /// A session has another filter.
    pub(crate) fn count_filter(&mut self, slot: u32, filter: &str) {
        self.accounts
            .count_filter(&mut self.slots[slot as usize], filter);
    }

    /// A session has given one up.
    pub(crate) fn uncount_filter(&mut self, slot: u32, filter: &str) {
        self.accounts
            .uncount_filter(&mut self.slots[slot as usize], filter);
    }
}

impl Index<u32> for Sessions {
    type Output = Session;

    #[inline]
    fn index(&self, slot: u32) -> &Session {
        &self.slots[slot as usize]
    }
}

impl IndexMut<u32> for Sessions {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Session {
        &mut self.slots[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::list::Identity;

    const NOW: Millis = Millis::new(1_766_000_000_000);

    fn sessions() -> Sessions {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Sessions::new(Peers::new(0, 1), hasher, Arc::default())
    }

    fn add(sessions: &mut Sessions, client_id: &str, expiry_secs: u32) -> u32 {
        let identity = Identity {
            account: Some(AccountId::new(7)),
            name: "bob".into(),
            admin: false,
            token: None,
        };
        let serial = sessions.next_serial();
        sessions.insert(Session {
            expiry_secs,
            disconnected_at: Some(NOW),
            ..Session::new(serial, &identity, client_id.into())
        })
    }

    #[test]
    fn a_session_is_found_until_it_is_unlisted_and_its_place_is_used_again() {
        let mut sessions = sessions();
        let slot = add(&mut sessions, "phone", 60);
        let reference = sessions.reference(slot);
        let find = |sessions: &Sessions| sessions.find(Some(AccountId::new(7)), "phone");
        assert_eq!(find(&sessions), Some(slot));
        assert_eq!(sessions.find(None, "phone"), None);
        sessions.unlist(slot);
        assert_eq!(find(&sessions), None);
        assert_eq!(
            sessions.slot_of(reference),
            Some(slot),
            "it still has its place"
        );
        sessions.remove(slot);
        assert_eq!(add(&mut sessions, "tablet", 60), slot);
        assert_eq!(sessions.slot_of(reference), None);
    }

    /// Of several checks the earliest counts, one that has gone is passed over, and a session that ends leaves none.
    #[test]
    fn a_session_has_one_check_at_most() {
        let mut sessions = sessions();
        let (early, late) = (add(&mut sessions, "a", 10), add(&mut sessions, "b", 20));
        for slot in [late, early, late] {
            sessions.schedule_check(slot, u32::MAX);
        }
        assert_eq!(sessions.next_due(), Some(NOW.saturating_add(10_000)));
        sessions.unlist(early);
        assert_eq!(sessions.next_due(), Some(NOW.saturating_add(20_000)));
        assert_eq!(sessions.take_due(NOW.saturating_add(19_999)), None);
        let due = sessions.take_due(NOW.saturating_add(20_000));
        assert_eq!(due.map(|(slot, _)| slot), Some(late));
        assert_eq!(sessions.next_due(), None);
    }

    #[test]
    fn the_one_that_has_been_offline_longest_is_first() {
        let mut sessions = sessions();
        let slots: Vec<u32> = ["a", "b", "c"]
            .map(|client| add(&mut sessions, client, 60))
            .into();
        for slot in &slots {
            sessions.go_offline(*slot);
            sessions.go_offline(*slot);
        }
        assert_eq!(sessions.offline(), 3);
        sessions.come_online(slots[0]);
        assert_eq!(sessions.oldest_offline_without_messages(), Some(slots[1]));
        sessions.unlist(slots[1]);
        assert_eq!(sessions.oldest_offline_without_messages(), Some(slots[2]));
        assert_eq!(sessions.offline(), 1);
    }
}
