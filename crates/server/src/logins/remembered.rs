//! Passwords that were right a moment ago, so that a storm of reconnects costs no argon2. Only a keyed digest is kept, under
//! a key that lives as long as the process, and it holds only while the account's password is the same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use records::AccountId;
use sha2::{Digest, Sha256};

use super::Known;
use crate::handle::Secret;

pub(super) struct Remembered {
    key: [u8; 32],
    state: Mutex<State>,
}

struct State {
    keep: Duration,
    entries_max: usize,
    entries: HashMap<AccountId, Entry>,
    /// In the order in which they end.
    order: VecDeque<(Instant, AccountId)>,
}

struct Entry {
    digest: [u8; 32],
    password: Arc<str>,
    until: Instant,
}

impl Remembered {
    pub(super) fn new(keep: Duration, entries_max: usize, key: [u8; 32]) -> Self {
        let state = State {
            keep,
            entries_max,
            entries: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            key,
            state: Mutex::new(state),
        }
    }

    pub(super) fn limit(&self, keep: Duration, entries_max: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.keep, state.entries_max) = (keep, entries_max);
        state.entries.clear();
        state.order.clear();
    }

    /// Whether the password with this digest was right a moment ago.
    pub(super) fn knows(&self, known: &Known, digest: &[u8; 32]) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.get(&known.id()).is_some_and(|entry| {
            // A digest under a secret key tells nothing by how long its comparison takes.
            entry.digest == *digest
                && known.password() == Some(&entry.password)
                && entry.until > Instant::now()
        })
    }

    pub(super) fn remember(&self, known: &Known, digest: [u8; 32]) {
        let Some(hash) = known.password().cloned() else {
            return;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.keep.is_zero() || state.entries_max == 0 {
            return;
        }
        let now = Instant::now();
        while let Some((until, account)) = state.order.front().copied() {
            if until > now && state.order.len() < state.entries_max {
                break;
            }
            state.order.pop_front();
            if state
                .entries
                .get(&account)
                .is_some_and(|entry| entry.until == until)
            {
                state.entries.remove(&account);
            }
        }
        let until = now + state.keep;
        state.order.push_back((until, known.id()));
        state.entries.insert(
            known.id(),
            Entry {
                digest,
                password: hash,
                until,
            },
        );
    }

    /// A password under the key of this process.
    pub(super) fn digest(&self, password: &Secret) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.key)
            .chain_update(password.expose())
            .finalize()
            .into()
    }
}
