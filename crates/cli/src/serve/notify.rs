//! Tells systemd how the server is, if it asked to be told (sd_notify(3)): one datagram per word. Nothing depends on it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// The server serves.
pub(super) fn ready() {
    tell("READY=1");
}

/// The server ends.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

fn tell(word: &str) {
    let Some(socket) = std::env::var_os(SOCKET_VARIABLE).filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, word) {
        tracing::warn!(%error, ?socket, word, "systemd was not told");
    }
}

fn send(socket: &OsStr, word: &str) -> std::io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(word.as_bytes(), &address)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_arrives_at_an_abstract_name() {
        let name = format!("magpie-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), "READY=1").unwrap();
        let mut heard = [0; 32];
        let length = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1");
        assert!(send(OsStr::new("/nowhere/notify"), "READY=1").is_err());
    }
}
