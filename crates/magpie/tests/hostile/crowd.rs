//! Many connections from many addresses of this machine, which do nothing unless they are told.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use harness::connect_from;

/// One attack at a time: each has all of this process's descriptors and the machine to itself.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // An attack that has failed says so itself.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
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
