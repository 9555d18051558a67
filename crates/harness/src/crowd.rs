//! Many connections from many addresses of this machine.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use crate::PATIENCE;

/// Raises this process's limit of open files as far as it goes; how many that is.
pub fn raise_descriptors() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls read or write `limit` only, which outlives them.
    #[allow(unsafe_code, reason = "std knows no limits")]
    let outcome = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(outcome, 0, "the hard limit is always allowed");
    usize::try_from(limit.rlim_max).unwrap_or(usize::MAX)
}

/// A connection from the address with this number.
pub fn connect_from(number: u8, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 1, number), 0));
    socket.bind(&from.into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}
