//! A server with a QUIC address and a certificate that was made for it.

use std::net::SocketAddr;

use harness::{Authority, Launch, Server, Signal};

use crate::peer::Peer;

/// A server and what its clients believe in.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) quic: SocketAddr,
    pub(crate) authority: Authority,
    certificates: tempfile::TempDir,
}

impl Stage {
    /// With more lines for its listener, and more of the configuration behind it.
    pub(crate) fn with(listener: &str, more: &str) -> Self {
        let certificates = tempfile::tempdir().expect("a temporary folder can be made");
        let authority = Authority::new();
        authority.server().write(certificates.path(), "server");
        // Signs its clients too, for the tests that ask them for a certificate.
        std::fs::write(
            certificates.path().join("clients.pem"),
            authority.certificate(),
        )
        .expect("the folder can be written");
        let folder = certificates.path().display();
        let listener = listener.replace("FOLDER", &folder.to_string());
        let config = format!(
            "[[mqtt.listener]]\naddress = \"127.0.0.1:0\"\n[[mqtt.listener]]\nkind = \"quic\"\naddress = \"127.0.0.1:0\"\n\
             certificate = \"{folder}/server.pem\"\nkey = \"{folder}/server.key\"\n{listener}\n{more}",
        );
        let server = Launch::new()
            .config(&config)
            .own_listeners()
            .argument("--allow-anonymous")
            .argument("--config")
            .argument("magpie.toml")
            .start();
        let quic = quic_address(&server);
        Self {
            server,
            quic,
            authority,
            certificates,
        }
    }

    /// As it comes.
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// A computer whose clients speak `mqtt`.
    pub(crate) fn peer(&self) -> Peer {
        Peer::new(self.quic, &self.authority.client_config(None), &[b"mqtt"])
    }

    /// Another authority signs the server's certificate from here on.
    pub(crate) fn renew_certificate(&mut self) {
        self.authority = Authority::new();
        self.authority
            .server()
            .write(self.certificates.path(), "server");
        self.server.program().signal(Signal::HangUp);
    }
}

fn quic_address(server: &Server) -> SocketAddr {
    let (_, line) = server
        .program()
        .line(0, |line| line.trim_start().starts_with("quic://"));
    let word = line.split_whitespace().next().unwrap_or_default();
    word.trim_start_matches("quic://")
        .parse()
        .unwrap_or_else(|error| panic!("no address in {line:?}: {error}"))
}
