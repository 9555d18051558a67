//! Where a connection comes from and came in, and whether it is one too many.

use std::net::IpAddr;

/// Where a connection came in: the HTTP server's `/mqtt` is 0, listeners count from 1 in the configuration's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerNumber(pub(crate) u8);

impl ListenerNumber {
    pub(crate) const HTTP: Self = Self(0);

    pub(crate) fn of_listener(index: usize) -> Self {
        Self(u8::try_from(index + 1).unwrap_or(0))
    }
}

/// Where a connection comes from and came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The peer's address, or that which its proxy names; unspecified while nobody has said, and for Unix sockets.
    pub(crate) address: IpAddr,
    pub(crate) listener: ListenerNumber,
    /// It is one too many, and open only to be told so.
    pub(crate) refused: Option<Full>,
}

/// Which limit is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The process has no descriptor left for connections.
    Descriptors,
    /// The server, or all connections of the kind.
    Server,
    /// The listener.
    Listener,
    /// The address.
    Address,
    /// The address, in this second.
    Rate,
}
