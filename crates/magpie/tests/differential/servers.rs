//! The two servers of an exchange, open to everybody, each with nothing in it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use harness::{Launch, Needs, Program, Server};
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
    // The port was free a moment ago; if somebody else has taken it since, the program ends and another one is tried.
    for _ in 0..20 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("mosquitto.conf");
        let text = format!("listener {} 127.0.0.1\n{MOSQUITTO}", address.port());
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("mosquitto");
        let program = Program::start("mosquitto", command.arg("-v").arg("-c").arg(&config));
        let told = program.error_line(0, |line| line.contains("running") || line.contains("rror"));
        if told.1.contains("running") {
            return Peer::Mosquitto {
                address,
                _program: program,
                _folder: folder,
            };
        }
    }
    panic!("no port for mosquitto");
}
