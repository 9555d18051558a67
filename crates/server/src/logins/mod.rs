//! Who a client is: passwords, tokens, and the slowing down of those who guess. The slow part, argon2, runs on threads of
//! its own; what is remembered or is a token is answered at once on the thread that asks.

mod directory;
mod failures;
mod known_addresses;
mod listing;
mod pool;
mod proofs;
mod refusals;
mod remembered;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::Identity;
use chat::HashedPassword;
use mqtt_codec::ReasonCode;
use records::{AccountId, Millis, NAME_BYTES_MAX};

use crate::admission::network;
use crate::buckets::{Buckets, Rate};
use crate::clock::Clock;
use crate::config::{AuthConfig, Config};
use crate::handle::{RequestError, Secret};
pub(crate) use directory::{Directory, Known};
use failures::{Address, FailureLimits, Failures};
use known_addresses::KnownAddresses;
use pool::Pool;
pub(crate) use pool::{hash_password, verify};
pub(crate) use proofs::KeepVerifier;
use proofs::Proofs;
pub(crate) use proofs::derive as derive_verifier;
use refusals::{Refusals, Why};
use remembered::Remembered;
pub(crate) use waiting::Caller;
use waiting::{Check, Pushed, TooMany, WaitingLimits};

/// What every token begins with; no password that does is looked up as one.
pub(crate) const TOKEN_PREFIX: &str = "mpt_";
/// Bytes of a password that are looked at; longer ones are wrong.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Seconds of a rate that an address or an account may use up at once.
const BURST_SECS: u32 = 10;
/// Bytes that are kept of a user name which is none: more than a name may have.
const LONG_NAME_BYTES: usize = 4 * NAME_BYTES_MAX;
/// An end is put off only by so much at least, and by half of a token's life if that is less: it is a write.
const RENEWED_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Has a token's new end written.
pub(crate) type RenewToken = Box<dyn Fn([u8; 32], Millis) + Send + Sync>;

/// Everything needed to decide about a login.
pub(crate) struct Logins {
    directory: Arc<Directory>,
    remembered: Remembered,
    failures: Failures,
    known_addresses: KnownAddresses,
    /// Passwords that addresses may have checked. What is remembered is not checked and not counted.
    checks: Buckets<IpAddr>,
    /// Pages of the list of accounts that accounts may ask for.
    lists: Buckets<AccountId>,
    proofs: Proofs,
    pool: Pool,
    /// How long a token lasts behind its last use; 0 is for ever.
    token_life_secs: AtomicU64,
    renew: RenewToken,
    refusals: Refusals,
    password_checks: metrics::Counter,
    failed_logins: metrics::Counter,
    refused_lists: metrics::Counter,
    refused_for_failures: metrics::Counter,
    refused_for_rate: metrics::Counter,
    refused_for_waiting: metrics::Counter,
    refused_for_waiting_of_address: metrics::Counter,
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
        config: &Config,
        keys: &Keys,
        keep: KeepVerifier,
        renew: RenewToken,
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
        metrics::describe_counter!(
            "magpie_account_lists_refused_total",
            "Pages of the list of accounts refused because the account has asked for too many in a second."
        );
        let lists = Buckets::new(rate(config.http.account_lists_per_second_max));
        let config = &config.auth;
        let logins = Arc::new(Self {
            directory,
            remembered: Remembered::new(config.cache, config.cache_entries_max, keys.process),
            failures: Failures::new(failure_limits(config)),
            known_addresses: KnownAddresses::new(config.known_address),
            checks: Buckets::new(rate(config.checks_per_second_per_address)),
            lists,
            proofs: Proofs::new(config, keys.server, keep),
            pool: Pool::new(waiting_limits(config)),
            token_life_secs: AtomicU64::new(config.token_expiry.as_secs()),
            renew,
            refusals: Refusals::new(Instant::now()),
            password_checks: metrics::counter!("magpie_password_checks_total"),
            failed_logins: metrics::counter!("magpie_failed_logins_total"),
            refused_lists: metrics::counter!("magpie_account_lists_refused_total"),
            refused_for_failures: metrics::counter!("magpie_logins_refused_total", "limit" => "failures"),
            refused_for_rate: metrics::counter!("magpie_logins_refused_total", "limit" => "rate"),
            refused_for_waiting: metrics::counter!("magpie_logins_refused_total", "limit" => "waiting"),
            refused_for_waiting_of_address: metrics::counter!("magpie_logins_refused_total", "limit" => "waiting_of_address"),
        });
        logins.pool.start(&Arc::downgrade(&logins))?;
        Ok(logins)
    }

    /// Other limits.
    pub(crate) fn reconfigure(&self, config: &Config) {
        self.lists
            .limit(rate(config.http.account_lists_per_second_max));
        let config = &config.auth;
        self.remembered
            .limit(config.cache, config.cache_entries_max);
        self.failures.limit(failure_limits(config));
        self.known_addresses.limit(config.known_address);
        self.checks
            .limit(rate(config.checks_per_second_per_address));
        self.pool.limit(waiting_limits(config));
        self.proofs.reconfigure(config);
        self.token_life_secs
            .store(config.token_expiry.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Decides about the credentials of a CONNECT, at once or later on another thread.
    pub(crate) fn connect(
        &self,
        name: &str,
        password: Option<Box<[u8]>>,
        address: IpAddr,
        caller: Box<dyn Caller>,
    ) {
        let password = password.and_then(|bytes| String::from_utf8(bytes.into()).ok());
        match password.map(Secret::new) {
            Some(password) => self.check(name, password, address, caller),
            None => caller.answer(Err(self.wrong(name, address))),
        }
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
        &self,
        name: &str,
        password: Secret,
        address: IpAddr,
        caller: Box<dyn Caller>,
    ) {
        // For every name, so that it takes the same time.
        let digest = self.remembered.digest(&password);
        let known = match self.quick(name, &password, &digest) {
            Quick::Right(known) => {
                self.known_addresses
                    .note(address, known.id(), Instant::now());
                return caller.answer(Ok(known));
            }
            Quick::Wrong => return caller.answer(Err(self.wrong(name, address))),
            Quick::Ask(known) => known,
        };
        let now = Instant::now();
        let of = self.acquaintance(address, &known, now);
        // It is counted when it is checked; whoever has to wait anyway need not wait for that.
        if let Some(wait) = self.failures.wait(name, address, of, now) {
            return caller.answer(Err(self.throttled(name, address, wait)));
        }
        if !self.checks.admit(network(address), now) {
            self.refused_for_rate.increment(1);
            self.refusals.note(name, address, Why::Rate, now);
            return caller.answer(Err(soon()));
        }
        let pushed = self.pool.check(Check {
            // Thousands may wait. What is cut is longer than any name, and so nobody's as well.
            name: name[..name.floor_char_boundary(LONG_NAME_BYTES)].into(),
            network: network(address),
            known,
            password,
            digest,
            callers: vec![caller],
        });
        match pushed {
            Pushed::Waits => {}
            Pushed::Refused(caller, TooMany::OfAddress) => {
                self.refused_for_waiting_of_address.increment(1);
                self.refusals.note(name, address, Why::Waiting, now);
                caller.answer(Err(soon()));
            }
            Pushed::Refused(caller, TooMany::OfServer) | Pushed::InPlaceOf(caller) => {
                self.refused_for_waiting.increment(1);
                caller.answer(Err(RequestError::Busy));
            }
        }
    }

    /// On a thread of the pool.
    fn carry_out(&self, check: Check) {
        let outcome = self.verify(&check);
        if let Err(RequestError::BadCredentials) = outcome {
            self.refusals
                .note(&check.name, check.network, Why::Wrong, Instant::now());
        }
        for caller in check.callers {
            if let Err(RequestError::BadCredentials) = outcome {
                self.failed_logins.increment(1);
            }
            if !caller.is_gone() {
                caller.answer(outcome.clone());
            }
        }
        if let Ok(right) = outcome {
            self.proofs.keep(&right, &check.password);
        }
    }

    fn verify(&self, check: &Check) -> Result<Known, RequestError> {
        let known = &check.known;
        // Somebody else of the same account may have had it checked meanwhile.
        if known.may_log_in() && self.remembered.knows(known, &check.digest) {
            return Ok(known.clone());
        }
        // Guesses that came all at once have waited behind each other: what was wrong before this one counts.
        let (name, network, now) = (&*check.name, check.network, Instant::now());
        let of = self.acquaintance(network, known, now);
        // That an address is known shall be told to nobody who does not know the password.
        let others_wait = self.failures.wait(name, network, Address::Unknown, now);
        let wrong = || match others_wait {
            Some(wait) => self.throttled(name, network, wait),
            None => RequestError::BadCredentials,
        };
        let reserved = self.failures.reserve(name, network, of, now);
        let reserved = reserved.map_err(|wait| self.throttled(name, network, wait))?;
        self.password_checks.increment(1);
        if !pool::verify(known.password(), check.password.expose()) {
            return Err(wrong());
        }
        // The account may have been closed, or given another password, while this took its time.
        let current = self.directory.by_name(name);
        let current = current.filter(|current| current.password() == known.password());
        let right = current.filter(Known::may_log_in).ok_or_else(wrong)?;
        self.failures.give_back(&reserved);
        self.known_addresses.note(network, right.id(), now);
        self.remembered.remember(&right, check.digest);
        Ok(right)
    }

    /// Tells the log what it was spared of; to be called about once a second.
    pub(crate) fn look_at_refusals(&self) {
        self.refusals.look(Instant::now());
    }

    /// Whose token this is. It lasts longer from its use on.
    pub(crate) fn token(&self, token: &Secret, now: Millis) -> Option<Known> {
        let sha256 = sha256(token.expose().as_bytes());
        let known = self.directory.by_token(&sha256, now);
        let known = known.filter(Known::may_log_in)?;
        if let Some(end) = self.token_end(now) {
            let step = RENEWED_AGAIN.min(self.token_life() / 2);
            if self.directory.renew(&sha256, end, step) {
                (self.renew)(sha256, end);
            }
        }
        Some(known)
    }

    /// When a token ends that is made or used at this time, if it does.
    pub(crate) fn token_end(&self, now: Millis) -> Option<Millis> {
        let life = u64::try_from(self.token_life().as_millis()).unwrap_or(u64::MAX);
        (life > 0).then(|| now.saturating_add(life))
    }

    fn token_life(&self) -> Duration {
        Duration::from_secs(self.token_life_secs.load(Ordering::Relaxed))
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
        let queued = self.pool.hash(move || {
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

    fn acquaintance(&self, address: IpAddr, known: &Known, now: Instant) -> Address {
        if self.known_addresses.knows(address, known.id(), now) {
            Address::Known
        } else {
            Address::Unknown
        }
    }

    /// What is wrong without a check counts all the same; what it is answered with.
    fn wrong(&self, name: &str, address: IpAddr) -> RequestError {
        let now = Instant::now();
        match self.failures.reserve(name, address, Address::Unknown, now) {
            Ok(_) => {
                self.failed_logins.increment(1);
                self.refusals.note(name, address, Why::Wrong, now);
                RequestError::BadCredentials
            }
            Err(wait) => self.throttled(name, address, wait),
        }
    }

    fn throttled(&self, name: &str, address: IpAddr, retry_after: Duration) -> RequestError {
        self.refused_for_failures.increment(1);
        self.refusals
            .note(name, address, Why::Throttled, Instant::now());
        RequestError::RateLimited { retry_after }
    }
}

fn take<T>(slot: &std::sync::Mutex<Option<T>>) -> Option<T> {
    slot.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take()
}

fn failure_limits(config: &AuthConfig) -> FailureLimits {
    FailureLimits {
        per_address: config.failures_per_minute_per_address,
        per_account: config.failures_per_minute_per_account,
        per_pair: config.failures_per_minute_per_address_and_account,
    }
}

fn rate(per_second: u32) -> Rate {
    Rate {
        per_second,
        burst_secs: BURST_SECS,
    }
}

fn waiting_limits(config: &AuthConfig) -> WaitingLimits {
    WaitingLimits {
        all: config.waiting_max,
        per_address: config.waiting_per_address_max,
    }
}

/// For whoever has come too often, or too many at once, in a second.
fn soon() -> RequestError {
    RequestError::RateLimited {
        retry_after: Duration::from_secs(1),
    }
}

/// What a CONNECT is told.
pub(crate) fn reason(error: &RequestError) -> ReasonCode {
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
            token: self.token().cloned(),
        }
    }

    fn nobody() -> Self {
        Self::new(AccountId::ZERO, &pool::nobody())
    }
}
