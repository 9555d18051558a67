//! Attacks on the real server: each is bounded, measures a pair that talks beside it, and leaves a server that serves. How many
//! times as long as in CI they go on, `MAGPIE_HOSTILE_FACTOR` says; `cargo xtask hostile` sets it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod crowd;
mod descriptors;
mod http_places;
mod pair;
