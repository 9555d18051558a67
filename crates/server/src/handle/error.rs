//! Why a request was refused: a code for programs, an HTTP status, a sentence for people.

use std::time::Duration;

/// Why a request was refused. The `Display` form is the sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Wrong name or password; which of them is not said.
    #[error("the name or the password is wrong")]
    BadCredentials,
    /// Too many wrong passwords.
    #[error("too many failed attempts; try again in {} s", wait_secs(.retry_after))]
    RateLimited {
        /// When the next attempt is allowed.
        retry_after: Duration,
    },
    /// Asked too often.
    #[error("too many questions; try again in {} s", wait_secs(.retry_after))]
    TooOften {
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// The token is unknown, revoked or expired.
    #[error("the token is not valid; log in again")]
    BadToken,
    /// The account may not do this.
    #[error("only an administrator may do this")]
    NotAllowed,
    /// The setup token is wrong.
    #[error("the setup link is not valid; the current one is printed when the server starts")]
    BadSetupToken,
    /// There is an account already.
    #[error("this server has been set up already")]
    SetupDone,
    /// The name is taken.
    #[error("there is an account named {name} already")]
    AccountExists {
        /// The name.
        name: String,
    },
    /// The name looks like another's.
    #[error("{name} looks like {other}, which there is already")]
    SimilarAccount {
        /// The name that was asked for.
        name: String,
        /// An account's.
        other: String,
    },
    /// No such account.
    #[error("there is no account named {name}")]
    NoSuchAccount {
        /// The name.
        name: String,
    },
    /// No such group.
    #[error("there is no group with the address {address}")]
    NoSuchGroup {
        /// The address.
        address: String,
    },
    /// Something in the request breaks a rule.
    #[error("{sentence}")]
    Invalid {
        /// What, and what would be right.
        sentence: String,
    },
    /// The last administrator must stay one.
    #[error("{name} is the only administrator left")]
    LastAdministrator {
        /// The name.
        name: String,
    },
    /// A limit of the server is reached.
    #[error("{sentence}")]
    Limit {
        /// Which limit.
        sentence: String,
    },
    /// State is being recovered.
    #[error("the server is starting")]
    Starting,
    /// The server ends.
    #[error("the server is shutting down")]
    Draining,
    /// Too much is waiting.
    #[error("the server is busy; try again")]
    Busy,
    /// The fault is ours; details are in the log.
    #[error("the server failed to do this; its log says why")]
    Internal,
}

/// Whole seconds, rounded up, so that nobody comes back too early.
fn wait_secs(wait: &Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl RequestError {
    /// The code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadCredentials => "bad_credentials",
            Self::RateLimited { .. } => "rate_limited",
            Self::TooOften { .. } => "too_often",
            Self::BadToken => "bad_token",
            Self::NotAllowed => "not_allowed",
            Self::BadSetupToken => "bad_setup_token",
            Self::SetupDone => "setup_done",
            Self::AccountExists { .. } => "account_exists",
            Self::SimilarAccount { .. } => "account_similar",
            Self::NoSuchAccount { .. } => "no_such_account",
            Self::NoSuchGroup { .. } => "no_such_group",
            Self::Invalid { .. } => "invalid",
            Self::LastAdministrator { .. } => "last_administrator",
            Self::Limit { .. } => "limit",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }

    /// The status of an HTTP answer.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::BadCredentials | Self::BadToken => 401,
            Self::RateLimited { .. } | Self::TooOften { .. } => 429,
            Self::NotAllowed | Self::BadSetupToken => 403,
            Self::SetupDone
            | Self::AccountExists { .. }
            | Self::SimilarAccount { .. }
            | Self::LastAdministrator { .. } => 409,
            Self::NoSuchAccount { .. } | Self::NoSuchGroup { .. } => 404,
            Self::Invalid { .. } => 422,
            Self::Limit { .. } => 507,
            Self::Starting | Self::Draining | Self::Busy => 503,
            Self::Internal => 500,
        }
    }

    /// Seconds for a Retry-After header.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after } | Self::TooOften { retry_after } => {
                Some(wait_secs(retry_after).max(1))
            }
            Self::Starting | Self::Draining | Self::Busy => Some(1),
            Self::BadCredentials
            | Self::BadToken
            | Self::NotAllowed
            | Self::BadSetupToken
            | Self::SetupDone
            | Self::AccountExists { .. }
            | Self::SimilarAccount { .. }
            | Self::NoSuchAccount { .. }
            | Self::NoSuchGroup { .. }
            | Self::Invalid { .. }
            | Self::LastAdministrator { .. }
            | Self::Limit { .. }
            | Self::Internal => None,
        }
    }
}
