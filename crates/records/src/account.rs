//! Values of the account and token tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::{AccountId, AccountName, Millis, RecordError};

/// What an account may do on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Everything, ordinary topics and other accounts included.
    Admin,
    /// The messenger, and what the access list opens.
    Member,
}

/// What proves a password without being one: SCRAM-SHA-256 of RFC 5802 and 7677.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramVerifier {
    /// The salt the password was stretched with.
    pub salt: [u8; 16],
    /// How often it was.
    pub iterations: u32,
    /// Recognises the client.
    pub stored_key: [u8; 32],
    /// Proves the server.
    pub server_key: [u8; 32],
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The server's key would let anybody pass for this server.
        formatter
            .debug_struct("ScramVerifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// A person, bot or device that logs in; the key is its `AccountId`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name it logs in with and is addressed by.
    pub name: AccountName,
    /// The name that people see, NFC.
    pub display: String,
    /// What it may do on this server.
    pub role: Role,
    /// The argon2 hash as a PHC string; `None` logs in with tokens only.
    pub password: Option<String>,
    /// A disabled account cannot log in; what it wrote stays.
    pub disabled: bool,
    /// When it was made.
    pub created: Millis,
    /// What it says about itself, NFC, possibly empty.
    pub profile_text: String,
    /// A removed account is gone for everybody; the record stays so that its name is never given to somebody else.
    pub removed: bool,
    /// What proves the password by SCRAM; `None` until the password is seen again.
    pub scram: Option<ScramVerifier>,
}

impl Account {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("account", bytes)
    }
}

/// An app token; the key is its SHA-256, so that the store does not hold what opens an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Whom it logs in.
    pub account: AccountId,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created: Millis,
    /// From when on it opens nothing; `None` is never.
    pub expires: Option<Millis>,
}

impl Token {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("token", bytes)
    }
}
