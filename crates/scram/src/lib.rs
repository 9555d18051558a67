//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: its messages, and what is kept of a password. Pure: salts and
//! nonces are given to it, it looks up nobody and counts nothing.

mod messages;

mod verifier;

pub use messages::{Challenge, First, METHOD, NONCE_BYTES, Proof, Unreadable};
pub use verifier::{SALT_BYTES, derive, pretended};
