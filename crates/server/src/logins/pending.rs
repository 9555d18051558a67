//! Password checks under way and everybody who waits for each: the same password of the same name from the same address is
//! checked once, however many connections bring it at the same time. Whether there is such an account makes no difference.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Known;
use crate::admission::network;
use crate::handle::RequestError;

/// Whose password is checked, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// As it was given.
    pub(super) name: Box<str>,
    /// A keyed digest of the password.
    pub(super) digest: [u8; 32],
    /// Who gave it.
    pub(super) network: IpAddr,
}

impl Key {
    pub(super) fn new(name: &str, digest: [u8; 32], address: IpAddr) -> Self {
        Self {
            name: name.into(),
            digest,
            network: network(address),
        }
    }
}

/// What is called with the outcome.
pub(super) type Answer = Box<dyn FnOnce(Result<Known, RequestError>) + Send>;

/// As many keys as checks wait for a thread; as many answers as connections wait.
#[derive(Default)]
pub(super) struct Pending {
    checks: Mutex<HashMap<Key, Vec<Answer>>>,
}

impl Pending {
    /// Waits for a check; true if it is the first to, who has to see that it is made.
    pub(super) fn join(&self, key: Key, answer: Answer) -> bool {
        let mut checks = self.lock();
        let waiting = checks.entry(key).or_default();
        waiting.push(answer);
        waiting.len() == 1
    }

    /// The check is over: who has waited for it.
    pub(super) fn take(&self, key: &Key) -> Vec<Answer> {
        self.lock().remove(key).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Answer>>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn everybody_with_the_same_password_hears_of_one_check() {
        let (pending, refused) = (Pending::default(), Arc::new(AtomicUsize::new(0)));
        let answer = || -> Answer {
            let refused = refused.clone();
            Box::new(move |outcome| {
                refused.fetch_add(usize::from(outcome.is_err()), Ordering::SeqCst);
            })
        };
        let (here, there) = ([127, 0, 0, 1], [127, 0, 0, 2]);
        let key = Key::new("alice", [1; 32], here.into());
        assert!(pending.join(key.clone(), answer()));
        assert!(!pending.join(key.clone(), answer()));
        for other in [
            Key::new("alice", [2; 32], here.into()),
            Key::new("nobody", [1; 32], here.into()),
            Key::new("alice", [1; 32], there.into()),
        ] {
            assert!(pending.join(other, answer()), "another check");
        }
        for answer in pending.take(&key) {
            answer(Err(RequestError::BadCredentials));
        }
        assert_eq!(refused.load(Ordering::SeqCst), 2);
        assert!(
            pending.join(key, answer()),
            "what comes later is checked again"
        );
    }
}
