//! Devices nobody looks at get messages and what concerns them; the rest is held back and goes out in one burst with the next
//! message, or when somebody looks again.

use std::collections::BTreeMap;
use std::sync::Arc;

use records::{AccountId, SessionRef};

use crate::command::Address;
use crate::sessions::delivery::{self, Packet};
use crate::sessions::{Context, Sessions, notes};

impl Sessions {
    /// Tells something that is held back from devices nobody looks at. Yields whether there was anybody to tell, and those devices.
    pub(super) fn tell_attentive(
        &mut self,
        accounts: impl Iterator<Item = AccountId>,
        packet: &Packet,
    ) -> (bool, Vec<SessionRef>) {
        // Accounts whose devices are all looked at, and such devices of other accounts.
        let (mut whole, mut active, mut inactive) = (Vec::new(), Vec::new(), Vec::new());
        for account in accounts {
            let sessions = self.accounts.sessions(account);
            if sessions.is_empty() {
                continue;
            }
            if !sessions
                .iter()
                .any(|known| self.devices.is_inactive(*known))
            {
                whole.push(account);
                continue;
            }
            for session in sessions {
                if self.devices.is_inactive(*session) {
                    inactive.push(*session);
                } else {
                    active.push(*session);
                }
            }
        }
        let told = !whole.is_empty() || !active.is_empty();
        if !whole.is_empty() {
            self.deliver(delivery::to_accounts(Arc::from(whole), packet.clone()));
        }
        for session in active {
            self.deliver_all(delivery::to_session(session, vec![packet.clone()]));
        }
        (told, inactive)
    }

    /// A message has come into a conversation: devices that were left alone get the rest along with it.
    pub(super) fn release_members(&mut self, audience: &Arc<[AccountId]>, context: Context<'_>) {
        let held = self.devices.held();
        if held.is_empty() {
            return;
        }
        let waiting: Vec<AccountId> = if held.len() < audience.len() {
            let is_member = |account: &&AccountId| audience.binary_search(account).is_ok();
            held.iter().filter(is_member).copied().collect()
        } else {
            let waits = |account: &&AccountId| held.contains(*account);
            audience.iter().filter(waits).copied().collect()
        };
        for account in waiting {
            let sessions = self.accounts.sessions(account);
            for session in self.devices.take_held(account, sessions) {
                self.release(session, context);
            }
        }
    }

    /// Tells a session what was held back from it.
    pub(super) fn release(&mut self, session: SessionRef, context: Context<'_>) {
        let Some(account) = self.devices.account_of(session) else {
            return;
        };
        let Some(pending) = self.devices.pending(session) else {
            return;
        };
        let abouts = std::mem::take(&mut pending.abouts);
        pending.due.extend(abouts);
        let presences = std::mem::take(&mut pending.presences);
        let receipts = std::mem::take(&mut pending.receipts);
        let mut packets: Vec<Packet> = presences
            .into_iter()
            .map(|other| self.presence_packet(other, context))
            .collect();
        let known = self.accounts.known(account);
        let mut gathered: BTreeMap<_, (Address, Vec<&str>)> = BTreeMap::new();
        for ((id, from, kind), (address, upto)) in receipts {
            // Who has left in the meantime is told nothing of it any more.
            if known.is_none_or(|known| known.holds(id)) {
                let of = gathered.entry((id, kind, upto));
                let (_, accounts) = of.or_insert_with(|| (address, Vec::new()));
                accounts.push(context.accounts.name(from));
            }
        }
        for ((_, kind, upto), (address, from)) in gathered {
            let conv = notes::conv(&address, account, context);
            packets.push(delivery::receipt(&conv, kind, from, upto));
        }
        self.deliver_all(delivery::to_session(session, packets));
        self.pump(session, context);
    }
}
