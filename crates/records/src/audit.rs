//! A change that somebody made: of an account, a password, a token or a limit.

use serde::{Deserialize, Serialize};

use crate::codec::{self, RecordError};

/// Who changed what; when is in the key. Texts for people, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// An account's name, or in words which way the change was asked for.
    pub by: String,
    /// From which address, or as which user.
    pub from: String,
    /// What was done.
    pub what: String,
    /// The account or the key of the configuration that was changed.
    pub about: String,
    /// More about it: a role, a device, a value before and after; possibly empty.
    pub detail: String,
}

impl AuditRow {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("audit row", bytes)
    }
}
