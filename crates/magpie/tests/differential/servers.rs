//! The two servers of an exchange, open to everybody, each with nothing in it.

use std::net::SocketAddr;
use std::process::Command;

use harness::{Launch, Needs, Program, Server, own_address};
use tempfile::TempDir;

use crate::script::Which;

/// What both are told to allow.
const MOSQUITTO: &str = "allow_anonymous true\nset_tcp_nodelay true\n";
/// One shard: among several, whose turn it is in a shared subscription depends on where its members' sessions live, which
/// secret seeds decide.
const MAGPIE: &str = "[mqtt]\nallow_anonymous = true\nshards = 1\n";

/// One of them, running.
pub(crate) enum Peer {
    Magpie(Server),
    Mosquitto {
        address: SocketAddr,
        _program: Program,
        _folder: TempDir,
    },
}

/// Whether mosquitto is installed; it says so if not.
pub(crate) fn are_there(test: &str) -> bool {
    let needs = Needs { test };
    needs
        .program("mosquitto", "apt-get install mosquitto")
        .is_some()
}

impl Peer {
    pub(crate) fn start(which: Which) -> Self {
        match which {
            Which::Magpie => Self::Magpie(Launch::new().config(MAGPIE).start()),
            Which::Mosquitto => start_mosquitto(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Magpie(server) => server.mqtt(),
            Self::Mosquitto { address, .. } => *address,
        }
    }
}

fn start_mosquitto() -> Peer {
    let address = own_address();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mosquitto.conf");
    let (ip, port) = (address.ip(), address.port());
    std::fs::write(&config, format!("listener {port} {ip}\n{MOSQUITTO}")).unwrap();
    let mut command = Command::new("mosquitto");
    let program = Program::start("mosquitto", command.arg("-v").arg("-c").arg(&config));
    let (_, told) = program.error_line(0, |line| line.contains("running") || line.contains("rror"));
    assert!(told.contains("running"), "{told}");
    Peer::Mosquitto {
        address,
        _program: program,
        _folder: folder,
    }
}
