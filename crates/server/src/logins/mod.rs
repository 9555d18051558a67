//! Who a client is: passwords, tokens, and the slowing down of those who guess. The slow part, argon2, runs on threads of
//! its own; what is remembered or is a token is answered at once on the thread that asks.

mod checks;
mod directory;
mod failures;
mod pending;
mod pool;
mod proofs;
mod remembered;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Identity;
use chat::HashedPassword;
use mqtt_codec::ReasonCode;
use records::{AccountId, Millis, NAME_BYTES_MAX};

use crate::clock::Clock;
use crate::config::AuthConfig;
use crate::handle::{RequestError, Secret};
use checks::Checks;
pub(crate) use directory::{Directory, Known};
use failures::Failures;
use pending::Pending;
use pool::Pool;
pub(crate) use pool::{hash_password, verify};
pub(crate) use proofs::KeepVerifier;
use proofs::Proofs;
pub(crate) use proofs::derive as derive_verifier;
use remembered::Remembered;

/// What every token begins with; no password that does is looked up as one.
pub(crate) const TOKEN_PREFIX: &str = "mpt_";
/// Bytes of a password that are looked at; longer ones are wrong.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Everything needed to decide about a login.
pub(crate) struct Logins {
    directory: Arc<Directory>,
    remembered: Remembered,
    pending: Pending,
    failures: Failures,
    checks: Checks,
    proofs: Proofs,
    pool: Pool,
    password_checks: metrics::Counter,
    failed_logins: metrics::Counter,
    refused_for_failures: metrics::Counter,
    refused_for_rate: metrics::Counter,
    refused_for_waiting: metrics::Counter,
}

/// Secrets that logins work with.
pub(crate) struct Keys {
    /// New with every process.
    pub(crate) process: [u8; 32],
    /// The same as long as the data directory lasts.
    pub(crate) server: [u8; 32],
}

/// What is known without a slow check.
enum Quick {
    Right(Known),
    Wrong,
    Ask(Known),
}

impl Logins {
    pub(crate) fn start(
        directory: Arc<Directory>,
        config: &AuthConfig,
        keys: &Keys,
        keep: KeepVerifier,
    ) -> std::io::Result<Arc<Self>> {
        metrics::describe_counter!(
            "magpie_password_checks_total",
            "Passwords checked with argon2."
        );
        metrics::describe_counter!(
            "magpie_failed_logins_total",
            "Logins with a wrong name, password or token."
        );
        metrics::describe_counter!(
            "magpie_logins_refused_total",
            "Logins refused unchecked: too many failures before them, too many in a second, or too many waiting."
        );
        Ok(Arc::new(Self {
            directory,
            remembered: Remembered::new(config.cache, config.cache_entries_max, keys.process),
            pending: Pending::default(),
            failures: Failures::new(
                config.failures_per_minute_per_address,
                config.failures_per_minute_per_account,
            ),
            checks: Checks::new(config.checks_per_second_per_address),
            proofs: Proofs::new(config, keys.server, keep),
            pool: Pool::start(config.waiting_max)?,
            password_checks: metrics::counter!("magpie_password_checks_total"),
            failed_logins: metrics::counter!("magpie_failed_logins_total"),
            refused_for_failures: metrics::counter!("magpie_logins_refused_total", "limit" => "failures"),
            refused_for_rate: metrics::counter!("magpie_logins_refused_total", "limit" => "rate"),
            refused_for_waiting: metrics::counter!("magpie_logins_refused_total", "limit" => "waiting"),
        }))
    }

    /// Other limits.
    pub(crate) fn reconfigure(&self, config: &AuthConfig) {
        self.remembered
            .limit(config.cache, config.cache_entries_max);
        self.failures.limit(
            config.failures_per_minute_per_address,
            config.failures_per_minute_per_account,
        );
        self.checks.limit(config.checks_per_second_per_address);
        self.proofs.reconfigure(config);
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Decides about a CONNECT, at once or later on another thread.
    pub(crate) fn connect(
        self: &Arc<Self>,
        name: &str,
        password: Option<Box<[u8]>>,
        address: IpAddr,
        answer: impl FnOnce(Result<Identity, ReasonCode>) + Send + 'static,
    ) {
        let password = password
            .and_then(|bytes| String::from_utf8(bytes.into()).ok())
            .map(Secret::new);
        let Some(password) = password else {
            let error = self.wrong(name, address);
            return answer(Err(reason(&error)));
        };
        self.check(name, password, address, move |outcome| {
            answer(
                outcome
                    .map(|known| known.identity())
                    .map_err(|error| reason(&error)),
            );
        });
    }

    /// Decides about a CONNECT behind a verified certificate that names an account; a user name must be the same one.
    pub(crate) fn certified(
        &self,
        name: &str,
        username: &str,
        address: IpAddr,
    ) -> Result<Identity, ReasonCode> {
        let same = username.is_empty() || username == name;
        let known = self.directory.by_name(name).filter(|_| same);
        let Some(known) = known.filter(Known::may_log_in) else {
            self.failed_logins.increment(1);
            tracing::debug!(certificate = name, %address, "a certificate opens no account");
            return Err(ReasonCode::NOT_AUTHORIZED);
        };
        Ok(known.identity())
    }

    /// Decides about a name and a password or token, at once or later on another thread.
    pub(crate) fn check(
        self: &Arc<Self>,
        name: &str,
        password: Secret,
        address: IpAddr,
        answer: impl FnOnce(Result<Known, RequestError>) + Send + 'static,
    ) {
        // For every name, so that it takes the same time.
        let digest = self.remembered.digest(&password);
        let known = match self.quick(name, &password, &digest) {
            Quick::Right(known) => return answer(Ok(known)),
            Quick::Wrong => return answer(Err(self.wrong(name, address))),
            Quick::Ask(known) => known,
        };
        // It is counted when it is checked; whoever has to wait anyway need not wait for that.
        if let Some(wait) = self.failures.wait(name, address, Instant::now()) {
            return answer(Err(self.throttled(wait)));
        }
        if !self.checks.admit(address, Instant::now()) {
            self.refused_for_rate.increment(1);
            let retry_after = Duration::from_secs(1);
            return answer(Err(RequestError::RateLimited { retry_after }));
        }
        // A longer one is nobody's, and thousands may wait.
        let name = name.get(..NAME_BYTES_MAX).map_or(name, |_| "");
        let key = pending::Key::new(name, digest, address);
        if !self.pending.join(key.clone(), Box::new(answer)) {
            // Another connection waits for the same check: a phone and a laptop after a restart, or a fleet of devices.
            return;
        }
        let (logins, refused) = (self.clone(), key.clone());
        let queued = self
            .pool
            .run(move || logins.check_slowly(&key, &known, &password));
        if !queued {
            for answer in self.pending.take(&refused) {
                self.refused_for_waiting.increment(1);
                answer(Err(RequestError::Busy));
            }
        }
    }

    /// On a thread of the pool.
    fn check_slowly(&self, key: &pending::Key, known: &Known, password: &Secret) {
        let outcome = self.verify(key, known, password);
        for answer in self.pending.take(key) {
            if let Err(RequestError::BadCredentials) = outcome {
                self.failed_logins.increment(1);
            }
            answer(outcome.clone());
        }
        if let Ok(right) = outcome {
            self.proofs.keep(&right, password);
        }
    }

    fn verify(
        &self,
        key: &pending::Key,
        known: &Known,
        password: &Secret,
    ) -> Result<Known, RequestError> {
        // Somebody else of the same account may have had it checked meanwhile.
        if known.may_log_in() && self.remembered.knows(known, &key.digest) {
            return Ok(known.clone());
        }
        // Guesses that came all at once have waited behind each other: what was wrong before this one counts.
        let reserved = self.failures.reserve(&key.name, key.network, Instant::now());
        let reserved = reserved.map_err(|wait| self.throttled(wait))?;
        self.password_checks.increment(1);
        if !pool::verify(known.password(), password.expose()) {
            return Err(RequestError::BadCredentials);
        }
        // The account may have been closed, or given another password, while this took its time.
        let current = self.directory.by_name(&key.name);
        let current = current.filter(|current| current.password() == known.password());
        let right = current
            .filter(Known::may_log_in)
            .ok_or(RequestError::BadCredentials)?;
        self.failures.give_back(&reserved);
        self.remembered.remember(&right, key.digest);
        Ok(right)
    }

    /// Whose token this is.
    pub(crate) fn token(&self, token: &Secret, now: Millis) -> Option<Known> {
        self.directory
            .by_token(&sha256(token.expose().as_bytes()), now)
            .filter(Known::may_log_in)
    }

    /// Hashes a password on a thread of its own.
    pub(crate) fn hash(
        self: &Arc<Self>,
        password: Secret,
        answer: impl FnOnce(Result<HashedPassword, RequestError>) + Send + 'static,
    ) {
        let logins = self.clone();
        let answer = Arc::new(std::sync::Mutex::new(Some(answer)));
        let later = answer.clone();
        let queued = self.pool.run(move || {
            if let Some(answer) = take(&later) {
                let hashed = hash_password(&password).map(|argon2| HashedPassword {
                    argon2,
                    scram: logins.proofs.derive(&password),
                });
                answer(hashed.ok_or(RequestError::Internal));
            }
        });
        if !queued && let Some(answer) = take(&answer) {
            answer(Err(RequestError::Busy));
        }
    }

    fn quick(&self, name: &str, password: &Secret, digest: &[u8; 32]) -> Quick {
        let secret = password.expose();
        if secret.len() > PASSWORD_BYTES_MAX {
            return Quick::Wrong;
        }
        if secret.starts_with(TOKEN_PREFIX) {
            let known = self.token(password, Clock::new().now());
            return known
                .filter(|known| known.name() == name)
                .map_or(Quick::Wrong, Quick::Right);
        }
        // An unknown name waits and takes as long as a wrong password.
        let Some(known) = self.directory.by_name(name) else {
            return Quick::Ask(Known::nobody());
        };
        if known.may_log_in() && self.remembered.knows(&known, digest) {
            return Quick::Right(known);
        }
        Quick::Ask(known)
    }

    /// What is wrong without a check counts all the same; what it is answered with.
    fn wrong(&self, name: &str, address: IpAddr) -> RequestError {
        match self.failures.reserve(name, address, Instant::now()) {
            Ok(_) => {
                self.failed_logins.increment(1);
                RequestError::BadCredentials
            }
            Err(wait) => self.throttled(wait),
        }
    }

    fn throttled(&self, retry_after: Duration) -> RequestError {
        self.refused_for_failures.increment(1);
        RequestError::RateLimited { retry_after }
    }
}

fn take<T>(slot: &std::sync::Mutex<Option<T>>) -> Option<T> {
    slot.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take()
}

/// What a CONNECT is told.
fn reason(error: &RequestError) -> ReasonCode {
    match error {
        RequestError::RateLimited { .. } => ReasonCode::CONNECTION_RATE_EXCEEDED,
        RequestError::Busy => ReasonCode::SERVER_BUSY,
        _ => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
    }
}

/// How long a caller told to wait has to.
pub(crate) fn at_least_a_second(wait: Duration) -> Duration {
    wait.max(Duration::from_secs(1))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

impl Known {
    /// As the broker knows it.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            account: Some(self.id()),
            name: self.shared_name(),
            admin: self.is_admin(),
        }
    }

    fn nobody() -> Self {
        Self::new(AccountId::ZERO, &pool::nobody())
    }
}
