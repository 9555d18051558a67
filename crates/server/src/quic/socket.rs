//! The UDP socket of a QUIC address. It is bound before the state is recovered, so that a taken port is said at once.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use net::ListenError;
use socket2::{Domain, Protocol, Socket, Type};

/// What the operating system is asked to hold for all connections of the address together; it gives what it allows. Its own
/// default of 208 KiB is less than a reconnect of a thousand clients.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Binds `address`.
pub(super) fn bind(address: SocketAddr) -> Result<UdpSocket, ListenError> {
    open(address).map_err(|source| ListenError {
        address: address.to_string(),
        source,
    })
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A smaller buffer costs repetitions under load, not correctness.
    drop(socket.set_recv_buffer_size(BUFFER_BYTES));
    drop(socket.set_send_buffer_size(BUFFER_BYTES));
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
