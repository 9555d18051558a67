//! What an account has stored in conversations, and how much more it may: one of them cannot fill the disk. What is stored, others
//! decide.

use records::{AccountId, ConversationId, Member, key};

use crate::chat::Chat;
use crate::log::Batch;
use crate::refusal::Refusal;

/// What a message takes on disk beside its text: its keys, its number, and the memory of its `mid`, roughly.
const ROWS_BYTES: u64 = 256;

/// What a message is charged.
pub(crate) fn charge(message_bytes: usize) -> u64 {
    message_bytes as u64 + ROWS_BYTES
}

impl Chat {
    /// Whether an account may store a message of so many bytes. Unless the configuration says how much it may have, that is as much as
    /// the disk has room for besides: whoever has most is refused first.
    pub(crate) fn check_stored_bytes(
        &mut self,
        account: AccountId,
        message_bytes: usize,
    ) -> Result<(), Refusal> {
        let stored = self
            .directory
            .find(account)
            .map_or(0, |state| state.stored_bytes);
        let most = match self.settings.stored_bytes_per_account_max {
            0 => self.disk_room,
            given => given,
        };
        if stored.saturating_add(charge(message_bytes)) <= most {
            return Ok(());
        }
        self.counters.stored_bytes_refused += 1;
        Err(Refusal::quota(format!(
            "you have stored {stored} bytes of messages, and {most} are your share"
        )))
    }

    /// A member has stored a message of so many bytes; its row has still to be written.
    pub(crate) fn charge_message(
        &mut self,
        id: ConversationId,
        account: AccountId,
        message_bytes: usize,
    ) {
        let bytes = charge(message_bytes);
        let room = self.rooms.find_mut(id);
        if let Some(member) = room.and_then(|room| room.member_mut(account)) {
            member.stored_bytes = member.stored_bytes.saturating_add(bytes);
        }
        if let Some(state) = self.directory.find_mut(account) {
            state.stored_bytes = state.stored_bytes.saturating_add(bytes);
        }
    }

    /// A member has left: what it has stored there stays, and is still its own.
    pub(crate) fn keep_charging(&mut self, account: AccountId, member: &Member, batch: &mut Batch) {
        let Some(state) = self.directory.find_mut(account) else {
            return;
        };
        if member.stored_bytes > 0 {
            state.stored_bytes = state.stored_bytes.saturating_add(member.stored_bytes);
            let departed = &mut state.record.departed_bytes;
            *departed = departed.saturating_add(member.stored_bytes);
            batch.put(key::account(account), state.record.encode());
        }
    }
}
