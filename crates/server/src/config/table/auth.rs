//! `[auth]`: How passwords are checked.

use crate::config::slot::{COUNT_MAX, Key, Slot, live, number16, number32, seconds, size};
use crate::config::values::Config;

pub(super) static KEYS: &[Key<Config>] = &[
    live(
        "failures_per_minute_per_address",
        number32(
            |c| &mut c.auth.failures_per_minute_per_address,
            1,
            1_000_000,
            "failures",
        ),
        "Wrong passwords one address may send in a minute before it has to wait, except with accounts to which it has logged in before.",
    ),
    live(
        "failures_per_minute_per_account",
        number32(
            |c| &mut c.auth.failures_per_minute_per_account,
            1,
            1_000_000,
            "failures",
        ),
        "Wrong passwords one account may be tried with in a minute before it has to wait, from addresses that have not logged in to it before.",
    ),
    live(
        "failures_per_minute_per_address_and_account",
        number32(
            |c| &mut c.auth.failures_per_minute_per_address_and_account,
            1,
            1_000_000,
            "failures",
        ),
        "Wrong passwords one address may send for one account in a minute before it has to wait with that account.",
    ),
    live(
        "token_expiry_secs",
        seconds(|c| &mut c.auth.token_expiry, 0, 315_360_000),
        "How long a token is good behind its last use. What it opens meanwhile stays open. 0 is for ever.",
    ),
    live(
        "known_address_secs",
        seconds(|c| &mut c.auth.known_address, 0, 31_536_000),
        "How long an address counts as known to an account after a login; what others do wrong does not keep it out. 0 is never.",
    ),
    live(
        "cache_secs",
        seconds(|c| &mut c.auth.cache, 0, 86_400),
        "How long a verified password is remembered, so that a reconnect is cheap. 0 is never.",
    ),
    live(
        "cache_entries_max",
        size(|c| &mut c.auth.cache_entries_max, 0, COUNT_MAX, "logins"),
        "Verified passwords remembered at once; beyond it the oldest is forgotten.",
    ),
    live(
        "checks_per_second_per_address",
        number32(
            |c| &mut c.auth.checks_per_second_per_address,
            0,
            1_000_000,
            "logins",
        ),
        "Logins of one address in a second, in the long run, whose password is not remembered and has to be checked, and ten times as many at once after a pause; more are refused (0x9F). 0 is without limit.",
    ),
    live(
        "scram",
        Slot::Flag(|c| &mut c.auth.scram),
        "MQTT 5 clients may prove their password by SCRAM-SHA-256 instead of sending it. Off, the method is refused (0x8C), and of a password that is set only its argon2 hash is kept.",
    ),
    live(
        "scram_iterations",
        number32(
            |c| &mut c.auth.scram_iterations,
            4096,
            10_000_000,
            "iterations",
        ),
        "How often a password is stretched (PBKDF2) for SCRAM: what a guess costs whoever has stolen the data directory, and a login costs a client. Accounts take a new value over with their next checked password.",
    ),
    live(
        "exchange_steps_max",
        number16(|c| &mut c.auth.exchange_steps_max, 1, 1000, "packets"),
        "CONNECT and AUTH packets of a client in one exchange of enhanced authentication; one more is refused (0x97). SCRAM needs 2.",
    ),
    live(
        "exchange_bytes_max",
        size(|c| &mut c.auth.exchange_bytes_max, 256, 65_535, "bytes"),
        "Bytes of authentication data in one of them; more is refused (0x97).",
    ),
    live(
        "waiting_max",
        size(|c| &mut c.auth.waiting_max, 1, 1_000_000, "logins"),
        "Logins that may wait for their password check. One more takes the place of one of the address that has most of them, which is told that the server is busy (0x89).",
    ),
    live(
        "waiting_per_address_max",
        size(
            |c| &mut c.auth.waiting_per_address_max,
            1,
            1_000_000,
            "logins",
        ),
        "Of them, from one address (IPv6: /64); more are refused (0x9F).",
    ),
];
