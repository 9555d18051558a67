//! Many connections from many addresses of this machine, which do nothing unless they are told.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

use harness::PATIENCE;

/// One attack at a time: each has all of this process's descriptors and the machine to itself.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // An attack that has failed says so itself.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises this process's limit of open files as far as it goes; how many that is.
pub(crate) fn raise_descriptors() -> usize {
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
pub(crate) fn connect_from(number: u8, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 1, number), 0));
    socket.bind(&from.into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// So many, which say nothing; those that could not be made are left out.
pub(crate) fn silent(count: usize, addresses: u8, server: SocketAddr) -> Vec<TcpStream> {
    (0..count)
        .filter_map(|number| connect_from((number % usize::from(addresses)) as u8, server).ok())
        .collect()
}

/// How many of them the server has left open.
pub(crate) fn count_open(crowd: &mut [TcpStream]) -> usize {
    let open = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0; 64]);
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock))
    };
    crowd
        .iter_mut()
        .filter_map(|one| open(one).then_some(()))
        .count()
}

/// What the server answers to these bytes, up to its end or to so many.
pub(crate) fn answer(mut stream: TcpStream, request: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut answer = Vec::new();
    if stream.write_all(request).is_ok() {
        let _ = stream.take(bytes_max as u64).read_to_end(&mut answer);
    }
    answer
}
