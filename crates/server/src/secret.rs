//! A password or token in memory. It never prints itself, and overwrites its bytes when it goes.

use std::fmt;

use serde::Deserialize;

use sha2::{Digest as _, Sha256};

/// A password or token.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes hold of a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself; must not reach a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its SHA-256: tells two apart without showing either.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Whether both are the same. How long that takes tells nothing about either: digests are compared, each to its end.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let (one, other) = (self.digest(), other.digest());
        let bytes = one.iter().zip(&other);
        bytes.fold(0, |bits, (one, other)| bits | (one ^ other)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Keeps the writes from being optimised away, as far as the language lets us without `unsafe`.
        std::hint::black_box(&bytes);
    }
}
