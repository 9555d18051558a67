//! Accounts and logins as HTTP and the command line show them. How they are stored is `records`' business.

use records::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::{RequestError, Secret};

/// Accounts of a page that is asked for without a number.
const PAGE_ACCOUNTS: usize = 50;
/// Accounts of one page at most.
pub const PAGE_ACCOUNTS_MAX: usize = 200;
/// Bytes of what is searched for; a display name has no more by default.
const SEARCH_BYTES_MAX: usize = 256;

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

/// Which accounts are wanted. All by default, fifty at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountQuery {
    pub(crate) search: Vec<char>,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
    pub(crate) which: Which,
}

/// Whether disabled accounts are among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that there are.
    All,
    /// Those that can log in.
    Enabled,
}

impl Default for AccountQuery {
    fn default() -> Self {
        Self {
            search: Vec::new(),
            after: None,
            limit: PAGE_ACCOUNTS,
            which: Which::All,
        }
    }
}

impl AccountQuery {
    /// Only accounts in whose names a word begins with this, in whatever case.
    pub fn search(self, text: &str) -> Result<Self, RequestError> {
        if text.len() > SEARCH_BYTES_MAX {
            return Err(RequestError::Invalid {
                sentence: format!("a search has at most {SEARCH_BYTES_MAX} bytes"),
            });
        }
        let composed = chat::composed(text.trim());
        let search = composed.chars().flat_map(char::to_lowercase).collect();
        Ok(Self { search, ..self })
    }

    /// Only accounts behind this name; there need not be one.
    pub fn after(self, name: &str) -> Result<Self, RequestError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(RequestError::Invalid {
                sentence: format!("a name has at most {NAME_BYTES_MAX} bytes"),
            });
        }
        let after = Some(name.to_owned());
        Ok(Self { after, ..self })
    }

    /// So many at most.
    pub fn limit(self, limit: usize) -> Result<Self, RequestError> {
        if !(1..=PAGE_ACCOUNTS_MAX).contains(&limit) {
            return Err(RequestError::Invalid {
                sentence: format!("a page has 1 to {PAGE_ACCOUNTS_MAX} accounts"),
            });
        }
        Ok(Self { limit, ..self })
    }

    /// All, or those that can log in.
    pub fn which(self, which: Which) -> Self {
        Self { which, ..self }
    }
}

/// A part of the list of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPage {
    /// By name. There may be fewer than were asked for, or none, although there are more.
    pub accounts: Vec<AccountInfo>,
    /// The name after which the list goes on; `None` at its end.
    pub next: Option<String>,
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
    /// Whether its name may look like another's.
    pub similar: bool,
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
