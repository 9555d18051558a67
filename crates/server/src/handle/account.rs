//! Accounts and logins as the outer doors show them. How they are stored is `records`' business.

use serde::{Deserialize, Serialize};

use super::Secret;

/// What an account may do on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountRole {
    /// Everything, other accounts included.
    Admin,
    /// The messenger, and what the access list opens.
    Member,
}

/// An account without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// The name it logs in with.
    pub name: String,
    /// The name that people see.
    pub display: String,
    /// What it may do.
    pub role: AccountRole,
    /// A disabled account cannot log in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The name it will log in with; the service checks it.
    pub name: String,
    /// The name that people see; the login name where it is empty.
    pub display: String,
    /// Its password.
    pub password: Secret,
    /// What it may do; the first account is an administrator whatever stands here.
    pub role: AccountRole,
}

/// A successful login.
#[derive(Debug, Clone)]
pub struct Login {
    /// `mpt_…`: serves as the password over MQTT and as the bearer token over REST.
    pub token: Secret,
    /// Who has logged in.
    pub account: AccountInfo,
}

/// What the server says of itself to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerInfo {
    /// The server's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether the first account is still to be made.
    pub setup_required: bool,
}
