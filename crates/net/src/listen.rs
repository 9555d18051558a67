//! Listening sockets, TCP and Unix. They are bound before the state is recovered, so that a taken address is said at once,
//! and answer nobody until somebody accepts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::wire::Wire;

/// Connections the operating system keeps for us between two turns.
const BACKLOG: i32 = 4096;

/// The address of all peers of a Unix socket, which have none; no peer of another socket can have it.
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", self.advice())]
pub struct ListenError {
    /// The address or path.
    pub address: String,
    /// Why.
    pub source: io::Error,
}

impl ListenError {
    /// What can be done about it.
    fn advice(&self) -> &'static str {
        let is_path = self.address.parse::<SocketAddr>().is_err();
        match self.source.kind() {
            io::ErrorKind::AddrInUse if is_path => "; another program listens there: stop it",
            io::ErrorKind::AddrInUse => {
                "; another program listens there: stop it, or choose another port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "; this machine has no such address: choose one of its own (`ip address` shows them), or 0.0.0.0 or [::] for all"
            }
            io::ErrorKind::PermissionDenied if is_path => {
                "; the user that the server runs as may not write to that folder"
            }
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need a permission: choose a higher port, or give it with `setcap cap_net_bind_service=+ep` \
                 on the program or AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit"
            }
            _ => "",
        }
    }
}

/// One thread's share of a listening socket; all shares accept from one queue.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    /// The socket's file, removed with the last share.
    _file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Removes the file of a Unix socket that this server has made.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it, which is all the same.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Binds `address` and returns one listener for each of `shares` threads.
pub fn listen(address: SocketAddr, shares: usize) -> Result<Vec<Listener>, ListenError> {
    bind(address, shares).map_err(|source| ListenError {
        address: address.to_string(),
        source,
    })
}

fn bind(address: SocketAddr, shares: usize) -> io::Result<Vec<Listener>> {
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
    // Handed on to every connection that is accepted, which saves each a call.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    (0..shares)
        .map(|_| {
            let share = TcpListener::from_std(socket.try_clone()?.into());
            Ok(Listener {
                socket: ListeningSocket::Tcp(share),
                _file: None,
            })
        })
        .collect()
}

/// Makes a Unix socket at `path` with these permissions, in place of one that nobody serves any more, and returns one
/// listener for each of `shares` threads.
pub fn listen_unix(path: &Path, mode: u32, shares: usize) -> Result<Vec<Listener>, ListenError> {
    bind_unix(path, mode, shares).map_err(|source| ListenError {
        address: path.display().to_string(),
        source,
    })
}

fn bind_unix(path: &Path, mode: u32, shares: usize) -> io::Result<Vec<Listener>> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = Arc::new(SocketFile(path.to_path_buf()));
    // Nobody can connect before `open`, so that no moment with other permissions is of use to anybody.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    (0..shares)
        .map(|_| {
            let share: std::os::unix::net::UnixListener = socket.try_clone()?.into();
            Ok(Listener {
                socket: ListeningSocket::Unix(UnixListener::from_std(share)),
                _file: Some(file.clone()),
            })
        })
        .collect()
}

/// Removes the socket of a server that is gone. One that answers stays, and so does whatever is no socket.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        let problem = "there is a file that is not a socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another server answers there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

impl Listener {
    /// Begins to answer.
    pub fn open(&self) -> io::Result<()> {
        let socket = match &self.socket {
            ListeningSocket::Tcp(listener) => socket2::SockRef::from(listener),
            ListeningSocket::Unix(listener) => socket2::SockRef::from(listener),
        };
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)
    }

    /// The next connection and its peer's address; `WouldBlock` if nobody waits.
    pub fn accept(&self) -> io::Result<(Wire, IpAddr)> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Wire::Tcp(stream), peer.ip()))
            }
            ListeningSocket::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Wire::Unix(stream), UNIX_PEER))
            }
        }
    }

    /// Address and port, unless it is a Unix socket.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.local_addr().map(Some),
            ListeningSocket::Unix(_) => Ok(None),
        }
    }

    /// Has the poll tell of waiting connections under `token`.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE)
    }

    /// Has the poll forget it.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.source())
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.socket {
            ListeningSocket::Tcp(listener) => listener,
            ListeningSocket::Unix(listener) => listener,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_fits_what_is_in_the_way() {
        let told = |address: &str, kind: io::ErrorKind| {
            let (address, source) = (address.to_owned(), io::Error::from(kind));
            ListenError { address, source }.to_string()
        };
        for (address, kind, advice) in [
            (
                "127.0.0.1:80",
                io::ErrorKind::PermissionDenied,
                "choose a higher port",
            ),
            (
                "/run/x.sock",
                io::ErrorKind::PermissionDenied,
                "that folder",
            ),
            (
                "127.0.0.1:1883",
                io::ErrorKind::AddrInUse,
                "choose another port",
            ),
            ("/run/x.sock", io::ErrorKind::AddrInUse, "stop it"),
            (
                "[::2]:1883",
                io::ErrorKind::AddrNotAvailable,
                "no such address",
            ),
        ] {
            let told = told(address, kind);
            assert!(told.contains(advice), "{told}");
        }
        let other = told("127.0.0.1:1", io::ErrorKind::OutOfMemory);
        assert_eq!(other, "cannot listen on 127.0.0.1:1: out of memory");
    }

    #[test]
    fn what_is_accepted_sends_small_packets_at_once() {
        let listeners = listen(([127, 0, 0, 1], 0).into(), 1).expect("a port is free");
        listeners[0].open().expect("it can listen");
        let address = listeners[0].local_addr().expect("it is bound");
        let address = address.expect("it has a port");
        let _client = std::net::TcpStream::connect(address).expect("somebody listens");
        let (wire, _) = loop {
            match listeners[0].accept() {
                Ok(accepted) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        let Wire::Tcp(stream) = wire else {
            panic!("it came over TCP")
        };
        assert!(stream.nodelay().expect("it is open"));
    }
}
