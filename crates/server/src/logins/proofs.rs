//! Logins by SCRAM-SHA-256: whose proof is looked for, how failures count, and how accounts come to be known to it. A
//! proof is checked where it arrives, because that costs three HMACs; stretching a password is done on the pool.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use broker::{ExchangeRequest, Exchanged};
use mqtt_codec::ReasonCode;
use records::{AccountId, ScramVerifier};
use scram::{First, Proof};

use super::failures::Address;
use super::refusals::Why;
use super::{Known, Logins, reason};
use crate::config::AuthConfig;
use crate::handle::Secret;

/// Has an account's password, whose argon2 hash is given, kept in the form of SCRAM too.
pub(crate) type KeepVerifier = Box<dyn Fn(AccountId, String, ScramVerifier) + Send + Sync>;

/// What is kept of a password, with a salt of its own; `None` only if the operating system has no random numbers. Slow.
pub(crate) fn derive(password: &Secret, iterations: u32) -> Option<ScramVerifier> {
    let mut salt = [0; scram::SALT_BYTES];
    getrandom::fill(&mut salt).ok()?;
    Some(scram::derive(password.expose(), salt, iterations))
}

/// What is needed for proofs.
pub(super) struct Proofs {
    /// How often a password is stretched; 0 while the method is off.
    iterations: AtomicU32,
    secret: [u8; 32],
    keep: KeepVerifier,
    proved: metrics::Counter,
}

impl Proofs {
    pub(super) fn new(config: &AuthConfig, secret: [u8; 32], keep: KeepVerifier) -> Self {
        metrics::describe_counter!(
            "magpie_scram_logins_total",
            "Logins and renewed logins by SCRAM-SHA-256."
        );
        let proofs = Self {
            iterations: AtomicU32::new(0),
            secret,
            keep,
            proved: metrics::counter!("magpie_scram_logins_total"),
        };
        proofs.reconfigure(config);
        proofs
    }

    pub(super) fn reconfigure(&self, config: &AuthConfig) {
        let iterations = if config.scram {
            config.scram_iterations
        } else {
            0
        };
        self.iterations.store(iterations, Ordering::Relaxed);
    }

    fn iterations(&self) -> Option<u32> {
        Some(self.iterations.load(Ordering::Relaxed)).filter(|iterations| *iterations > 0)
    }

    /// The form of a password that is set, unless the method is off. Slow.
    pub(super) fn derive(&self, password: &Secret) -> Option<ScramVerifier> {
        derive(password, self.iterations()?)
    }

    /// A password was right: an account whose form is missing, or was stretched otherwise, gets it. Slow.
    pub(super) fn keep(&self, known: &Known, password: &Secret) {
        let (Some(iterations), Some(argon2)) = (self.iterations(), known.password()) else {
            return;
        };
        if known.scram().map(|kept| kept.iterations) == Some(iterations) {
            return;
        }
        if let Some(scram) = derive(password, iterations) {
            (self.keep)(known.id(), argon2.to_string(), scram);
        }
    }
}

impl Logins {
    /// Decides about a step of enhanced authentication. [5 MQTT-4.12.0-1]
    pub(crate) fn exchange(&self, request: &ExchangeRequest, address: IpAddr) -> Exchanged {
        let iterations = self.proofs.iterations();
        let Some(iterations) = iterations.filter(|_| &*request.method == scram::METHOD) else {
            return Exchanged::Refused(ReasonCode::BAD_AUTHENTICATION_METHOD);
        };
        let outcome = match &request.data {
            Some(data) => self.scram_step(&request.state, data, address, iterations),
            // A client that leaves the first word to us is asked for its own: in SCRAM the client begins.
            None if request.state.is_empty() => Ok(Exchanged::Continue {
                data: Box::default(),
                state: Box::default(),
            }),
            None => Err(ReasonCode::NOT_AUTHORIZED),
        };
        outcome.unwrap_or_else(Exchanged::Refused)
    }

    fn scram_step(
        &self,
        state: &[u8],
        data: &[u8],
        address: IpAddr,
        iterations: u32,
    ) -> Result<Exchanged, ReasonCode> {
        let unreadable = || {
            // Whoever sends nonsense is slowed down as one who guesses.
            self.wrong("", address);
            ReasonCode::NOT_AUTHORIZED
        };
        let (Ok(state), Ok(data)) = (std::str::from_utf8(state), std::str::from_utf8(data)) else {
            return Err(unreadable());
        };
        if state.is_empty() {
            let first = First::read(data).map_err(|_| unreadable())?;
            let known = self.provable(&first.name);
            let of = self.prover(address, known.as_ref());
            let wait = self.failures.wait(&first.name, address, of, Instant::now());
            if let Some(wait) = wait {
                return Err(reason(&self.throttled(&first.name, address, wait)));
            }
            let pretended = scram::pretended(&self.proofs.secret, &first.name, iterations);
            let verifier = known.as_ref().and_then(Known::scram).unwrap_or(&pretended);
            let mut nonce = [0; scram::NONCE_BYTES];
            getrandom::fill(&mut nonce).map_err(|_| ReasonCode::SERVER_UNAVAILABLE)?;
            let challenge = first.challenge(&nonce, verifier);
            return Ok(Exchanged::Continue {
                data: challenge.message.into_bytes().into(),
                state: challenge.state.into_bytes().into(),
            });
        }
        let proof = Proof::read(state, data).map_err(|_| unreadable())?;
        // It counts as wrong until it has proved right: guesses may come all at once, and on several threads.
        let known = self.provable(&proof.name);
        let (of, now) = (self.prover(address, known.as_ref()), Instant::now());
        let others_wait = self
            .failures
            .wait(&proof.name, address, Address::Unknown, now);
        let reserved = self.failures.reserve(&proof.name, address, of, now);
        let throttled = |wait| reason(&self.throttled(&proof.name, address, wait));
        let reserved = reserved.map_err(throttled)?;
        let pretended = scram::pretended(&self.proofs.secret, &proof.name, iterations);
        let verifier = known.as_ref().and_then(Known::scram).unwrap_or(&pretended);
        let (Some(message), Some(known)) = (proof.verify(verifier), known) else {
            self.failed_logins.increment(1);
            // That an address is known shall be told to nobody who does not know the password.
            if let Some(wait) = others_wait {
                return Err(throttled(wait));
            }
            self.refusals.note(&proof.name, address, Why::Wrong, now);
            return Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        };
        self.failures.give_back(&reserved);
        self.known_addresses.note(address, known.id(), now);
        self.proofs.proved.increment(1);
        Ok(Exchanged::Proved {
            identity: known.identity(),
            data: message.into_bytes().into(),
        })
    }

    /// An account that may log in and has a verifier.
    fn provable(&self, name: &str) -> Option<Known> {
        let known = self.directory.by_name(name)?;
        (known.may_log_in() && known.scram().is_some()).then_some(known)
    }

    fn prover(&self, address: IpAddr, known: Option<&Known>) -> Address {
        known.map_or(Address::Unknown, |known| {
            self.acquaintance(address, known, Instant::now())
        })
    }
}
