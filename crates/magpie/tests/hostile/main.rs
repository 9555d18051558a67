//! Attacks on the real server: each is bounded, measures a pair that talks beside it where anybody may talk, and leaves a server that
//! serves.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod account_lists;
mod account_shares;
mod bursts;
mod crowd;
mod descriptors;
mod full_disk;
mod http_places;
mod logins;
mod pair;
mod unauthenticated;
