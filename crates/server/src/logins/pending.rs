//! Password checks under way and everybody who waits for each: the same password of the same account is checked once,
//! however many connections bring it at the same time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use records::AccountId;

use super::Known;
use crate::handle::RequestError;

/// The account, and a keyed digest of the password.
pub(super) type Key = (AccountId, [u8; 32]);
/// What is called with the outcome.
pub(super) type Answer = Box<dyn FnOnce(Result<Known, RequestError>) + Send>;

/// As many keys as checks wait for a thread; as many answers as connections wait.
#[derive(Default)]
pub(super) struct Pending {
    checks: Mutex<HashMap<Key, Vec<(IpAddr, Answer)>>>,
}

impl Pending {
    /// Waits for a check; true if it is the first to, who has to see that it is made.
    pub(super) fn join(&self, key: Key, address: IpAddr, answer: Answer) -> bool {
        let mut checks = self.lock();
        let waiting = checks.entry(key).or_default();
        waiting.push((address, answer));
        waiting.len() == 1
    }

    /// The check is over: who has waited for it.
    pub(super) fn take(&self, key: &Key) -> Vec<(IpAddr, Answer)> {
        self.lock().remove(key).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<(IpAddr, Answer)>>> {
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
        let (key, other) = ((AccountId::new(1), [1; 32]), (AccountId::new(1), [2; 32]));
        let address = IpAddr::from([127, 0, 0, 1]);
        assert!(pending.join(key, address, answer()));
        assert!(!pending.join(key, address, answer()));
        assert!(
            pending.join(other, address, answer()),
            "another password is another check"
        );
        for (_, answer) in pending.take(&key) {
            answer(Err(RequestError::BadCredentials));
        }
        assert_eq!(refused.load(Ordering::SeqCst), 2);
        assert!(
            pending.join(key, address, answer()),
            "what comes later is checked again"
        );
    }
}
