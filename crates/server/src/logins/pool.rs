//! The threads on which argon2 runs, few and below everything else, and argon2 itself.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use crossbeam_channel::{Sender, TrySendError, bounded};
use records::{Account, AccountName, Millis, Role};

use crate::handle::Secret;

/// Threads that check passwords: one argon2 takes 19 MiB and tens of milliseconds, and shards need the cores too.
const THREADS: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// The threads.
pub(super) struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    pub(super) fn start(waiting_max: usize) -> io::Result<Self> {
        let (jobs, queue) = bounded::<Job>(waiting_max);
        for number in 0..THREADS {
            let queue = queue.clone();
            let run = move || {
                // Not at the first unknown name, which would take twice as long as a known one.
                unusable();
                for job in queue {
                    job();
                }
            };
            // They end when the last sender does; a check under way at the end of the process is of no use to anybody.
            thread::Builder::new()
                .name(format!("authenticator-{number}"))
                .spawn(run)?;
        }
        Ok(Self { jobs })
    }

    /// Queues a job; false if too many wait.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        match self.jobs.try_send(Box::new(job)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
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
