//! What an account has stored in conversations, and how much more it may: one of them cannot fill the disk. What is stored, others
//! decide. The total is written down now and then, and when
//! the last device goes; a crash takes less of it than lies between.

use records::{AccountId, Write, key};

use crate::command::charge;
use crate::io::{Output, Owner};
use crate::refusal::Refusal;
use crate::sessions::Sessions;

/// Bytes by which the total may be ahead of what was written down.
const UNWRITTEN_BYTES_MAX: u64 = 64 * 1024;

impl Sessions {
    /// Whether an account may store a message of so many bytes. Unless the configuration says how much it may have, that is as much as
    /// the disk has room for besides: whoever has most is refused first.
    pub(super) fn check_stored_bytes(
        &mut self,
        account: AccountId,
        message_bytes: usize,
    ) -> Result<(), Refusal> {
        let known = self.accounts.known(account);
        let stored = known.map_or(0, |known| known.stored_bytes());
        let most = match self.settings.stored_bytes_per_account_max {
            0 => self.disk.room,
            given => given,
        };
        let charge = charge(message_bytes);
        if stored.saturating_add(charge) <= most {
            return Ok(());
        }
        self.counters.stored_bytes_refused += 1;
        Err(Refusal::quota(format!(
            "you have stored {stored} bytes of messages, and {most} are your share"
        )))
    }

    /// An account has stored a message that costs so many bytes.
    pub(super) fn charge(&mut self, account: AccountId, bytes: u64) {
        let state = self.accounts.find_mut(account);
        if let Some(known) = state.and_then(|state| state.known_mut()) {
            known.add_bytes(bytes);
        }
        self.write_usage(account, UNWRITTEN_BYTES_MAX);
    }

    /// So many bytes of an account's messages are gone.
    pub(super) fn give_back(&mut self, account: AccountId, bytes: u64) {
        let state = self.accounts.find_mut(account);
        if let Some(known) = state.and_then(|state| state.known_mut()) {
            known.remove_bytes(bytes);
        }
        self.write_usage(account, 0);
    }

    /// Writes the total down if it differs by more than so many bytes from what stands there.
    pub(super) fn write_usage(&mut self, account: AccountId, beyond: u64) {
        let state = self.accounts.find_mut(account);
        let Some(known) = state.and_then(|state| state.known_mut()) else {
            return;
        };
        let stored = known.stored_bytes();
        if stored.abs_diff(known.written_bytes) <= beyond {
            return;
        }
        known.written_bytes = stored;
        let ticket = self.log.append(Vec::new());
        self.output(Output::Append {
            owner: Owner::Sessions,
            term: 0,
            ticket,
            writes: vec![Write::Put {
                key: key::usage(account),
                value: key::encode_number(stored),
            }],
        });
    }
}
