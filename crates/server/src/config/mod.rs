//! The configuration: `magpie.toml`, the command line on top of it, and what may change while running.
//! Pure but for `Source`, which reads the file and the environment; it must not open sockets or know what the values are used for.

mod check;
mod environment;
mod listen_values;
mod listener;
mod mistake;
mod network;
mod overrides;
mod parse;
mod reference;
mod reload;
mod rule;
mod slot;
mod source;
mod table;
mod values;

#[cfg(test)]
mod limits_page;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use mistake::Mistake;
pub use network::Network;
pub use overrides::Overrides;
pub use parse::{parse, parse_in};
pub use reference::reference;
pub use reload::{Changes, ValueChange};
pub use source::{CertificatePlace, Source};
pub use values::{
    AccessActions, AccessRule, AccessVerdict, AccessWho, AccountFrom, AuthConfig, ChatConfig,
    ClientCertificate, Config, Durability, HttpConfig, ListenAddress, ListenerConfig, ListenerKind,
    ListenerLimits, LogConfig, LogFormat, MqttConfig, RedirectMode, ServerConfig, TlsConfig,
    TlsMin, WebSocketConfig,
};

/// The file that is read from the current directory when none is named.
pub const DEFAULT_FILE: &str = "magpie.toml";

/// The largest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the configuration {} has {bytes} bytes; at most {FILE_BYTES_MAX} are read", path.display())]
    TooLarge {
        /// The file that was asked for.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file says something that cannot be meant; one line per mistake.
    #[error("{}", mistake::lines(.0))]
    Mistakes(Vec<Mistake>),
}

impl Config {
    /// Reads the configuration from `path`, or, where none is named, from `magpie.toml` in the current
    /// directory if there is one; otherwise every key has its default.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        match Source::read(path)? {
            Some(source) => source.parse(),
            None => Ok(Self::default()),
        }
    }
}
