//! The threads on which argon2 runs, few and below everything else, and argon2 itself.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use records::{Account, AccountName, Millis, Role};

use super::Logins;
use super::waiting::{Check, Pushed, WaitingChecks, WaitingLimits};
use crate::handle::Secret;

/// Threads that check passwords: one argon2 takes 19 MiB and tens of milliseconds, and shards need the cores too.
const THREADS: usize = 2;
/// New passwords that wait to be hashed; administrators set them.
const HASHES_MAX: usize = 1024;

type Hash = Box<dyn FnOnce() + Send>;

/// What the threads have to do. They end with it; a check under way at the end of the process is of no use to anybody.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do.
    ready: Condvar,
}

struct State {
    checks: WaitingChecks,
    hashes: VecDeque<Hash>,
    /// Checks and hashes take turns.
    hash_is_next: bool,
    ended: bool,
    abandoned: metrics::Counter,
}

enum Work {
    Check(Check),
    Hash(Hash),
}

impl Pool {
    pub(super) fn new(limits: WaitingLimits) -> Self {
        metrics::describe_counter!(
            "magpie_logins_abandoned_total",
            "Logins whose client was gone before their password was checked; it was not."
        );
        let state = State {
            checks: WaitingChecks::new(limits),
            hashes: VecDeque::new(),
            hash_is_next: false,
            ended: false,
            abandoned: metrics::counter!("magpie_logins_abandoned_total"),
        };
        let shared = Shared {
            state: Mutex::new(state),
            ready: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts the threads, which check for these logins.
    pub(super) fn start(&self, logins: &Weak<Logins>) -> io::Result<()> {
        for number in 0..THREADS {
            let (shared, logins) = (self.shared.clone(), logins.clone());
            thread::Builder::new()
                .name(format!("authenticator-{number}"))
                .spawn(move || shared.work(&logins))?;
        }
        Ok(())
    }

    pub(super) fn limit(&self, limits: WaitingLimits) {
        self.shared.lock().checks.limit(limits);
    }

    pub(super) fn check(&self, check: Check) -> Pushed {
        let pushed = self.shared.lock().checks.push(check);
        self.shared.ready.notify_one();
        pushed
    }

    /// Queues a hash; false if too many wait.
    pub(super) fn hash(&self, hash: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.shared.lock();
        let has_room = state.hashes.len() < HASHES_MAX;
        if has_room {
            state.hashes.push_back(Box::new(hash));
            self.shared.ready.notify_one();
        }
        has_room
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ready.notify_all();
    }
}

impl Shared {
    fn work(&self, logins: &Weak<Logins>) {
        // Not at the first unknown name, which would take twice as long as a known one.
        unusable();
        while let Some(work) = self.next() {
            match work {
                Work::Hash(hash) => hash(),
                Work::Check(check) => {
                    if let Some(logins) = logins.upgrade() {
                        logins.carry_out(check);
                    }
                }
            }
        }
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(work) = state.next() {
                return Some(work);
            }
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> Option<Work> {
        if self.hash_is_next
            && let Some(hash) = self.hashes.pop_front()
        {
            self.hash_is_next = false;
            return Some(Work::Hash(hash));
        }
        let check = self.checks.pop();
        self.abandoned.increment(self.checks.take_abandoned());
        self.hash_is_next = true;
        match check {
            Some(check) => Some(Work::Check(check)),
            None => self.hashes.pop_front().map(Work::Hash),
        }
    }
}

/// Whether the password is that of the hash. Without a hash it is wrong, after the same time.
pub(crate) fn verify(hash: Option<&Arc<str>>, password: &str) -> bool {
    match hash {
        Some(hash) => check(hash, password),
        None => {
            std::hint::black_box(check(unusable(), password));
            false
        }
    }
}

fn check(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// Argon2id with the parameters OWASP's password storage sheet recommends, which are the library's defaults
/// (19 MiB, two passes, one lane), as a PHC string.
pub(crate) fn hash_password(password: &Secret) -> Option<String> {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(password.expose().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).ok()
}

/// The hash of a password that nobody knows.
fn unusable() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let salt = SaltString::generate(&mut OsRng);
        let password = SaltString::generate(&mut OsRng);
        let hash = Argon2::default().hash_password(password.as_str().as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).unwrap_or_default()
    })
}

/// Whoever gives a name that does not exist.
pub(super) fn nobody() -> Account {
    Account {
        name: AccountName::parse("nobody").expect("it is a name"),
        display: String::new(),
        role: Role::Member,
        password: None,
        disabled: true,
        removed: true,
        created: Millis::ZERO,
        profile_text: String::new(),
        scram: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_only_for_its_own_hash() {
        let hash: Arc<str> = hash_password(&Secret::new("까치 the magpie"))
            .expect("argon2 has memory")
            .into();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify(Some(&hash), "까치 the magpie"));
        assert!(!verify(Some(&hash), "까치 the magpi"));
        assert!(!verify(None, "까치 the magpie"));
    }
}
