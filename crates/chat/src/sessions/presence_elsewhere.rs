//! Accounts have devices on other nodes too: each node tells what it has, and all put it together.

use records::AccountId;

use crate::nodes::view::NodeId;
use crate::sessions::presence_state::PresenceRow;
use crate::sessions::{Context, Effect, Sessions};

impl Sessions {
    /// Other nodes hear what an account has here.
    pub(super) fn tell_nodes(&mut self, account: AccountId) {
        if !self.is_alone {
            let row = self.presence_row(account);
            self.effects.push_back(Effect::Presence(account, row));
        }
    }

    /// What an account has here.
    fn presence_row(&self, account: AccountId) -> PresenceRow {
        let state = self.accounts.find(account);
        PresenceRow {
            devices: self.devices_here(account),
            status: state.and_then(|state| state.presence.status.clone()),
        }
    }

    /// Everything that this node would have told by now.
    pub(crate) fn presence_rows(&self) -> Vec<(AccountId, PresenceRow)> {
        let mut rows: Vec<_> = self
            .accounts
            .all()
            .map(|(account, _)| (account, self.presence_row(account)))
            .filter(|(_, row)| !row.is_empty())
            .collect();
        // Not in the order of a hash table.
        rows.sort_unstable_by_key(|(account, _)| *account);
        rows
    }

    /// What an account has on another node.
    pub(crate) fn heard_presence(
        &mut self,
        from: NodeId,
        account: AccountId,
        row: &PresenceRow,
        context: Context<'_>,
    ) {
        if row.is_empty() && self.accounts.find(account).is_none() {
            return;
        }
        let presence = &mut self.state_of(account, context.now).presence;
        if row.is_empty() {
            presence.elsewhere.remove(&from);
        } else {
            presence.elsewhere.insert(from, row.clone());
        }
        self.presence_heard(account, context);
    }

    /// A node is gone, or tells everything anew.
    pub(crate) fn forget_presences(&mut self, of: NodeId, context: Context<'_>) {
        let rows = self.accounts.all();
        let mut known: Vec<AccountId> = rows
            .filter(|(_, state)| state.presence.elsewhere.contains_key(&of))
            .map(|(account, _)| account)
            .collect();
        // Not in the order of a hash table.
        known.sort_unstable();
        for account in known {
            self.heard_presence(of, account, &PresenceRow::default(), context);
        }
    }
}
