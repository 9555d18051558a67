//! Listening sockets. They are bound before the state is recovered, so that a taken port is said at once, and answer
//! nobody until somebody accepts.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the operating system keeps for us between two turns.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Binds `address` and returns one listener for each of `shares` threads; all accept from one queue.
pub fn listen(address: SocketAddr, shares: usize) -> Result<Vec<TcpListener>, ListenError> {
    bind(address, shares).map_err(|source| ListenError { address, source })
}

fn bind(address: SocketAddr, shares: usize) -> io::Result<Vec<TcpListener>> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart need not wait for the last connections of its predecessor to be forgotten; two servers still cannot share.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok((0..shares)
        .map(|_| socket.try_clone())
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .map(|share| TcpListener::from_std(share.into()))
        .collect())
}

/// Begins to answer on listeners made by [`listen`].
pub fn open(listener: &TcpListener) -> io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)
}
