//! Who asks for a change, and from where.

use std::net::IpAddr;

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An account, over HTTP.
    Account {
        /// Its name.
        name: String,
        /// From where.
        address: IpAddr,
    },
    /// Whoever has the one-time link of the first start.
    SetupLink {
        /// From where.
        address: IpAddr,
    },
    /// Whoever may open the control socket.
    ControlSocket {
        /// The user that its process runs as.
        user: u32,
    },
    /// `magpie account` in the data directory of a server that does not run.
    CommandLine,
}
