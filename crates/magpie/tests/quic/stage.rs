//! A server with a QUIC address and a certificate that was made for it.

use std::net::SocketAddr;
use std::path::Path;

use harness::{Launch, Server};
use rustls::pki_types::CertificateDer;

use crate::peer::Peer;

/// A server and what its clients believe in.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) quic: SocketAddr,
    pub(crate) root: CertificateDer<'static>,
    _certificates: tempfile::TempDir,
}

impl Stage {
    /// With more lines for its listener, and more of the configuration behind it.
    pub(crate) fn with(listener: &str, more: &str) -> Self {
        let certificates = tempfile::tempdir().expect("a temporary folder can be made");
        let root = write_certificate(certificates.path());
        let config = format!(
            "[[mqtt.listener]]\naddress = \"127.0.0.1:0\"\n[[mqtt.listener]]\nkind = \"quic\"\naddress = \"127.0.0.1:0\"\n\
             certificate = \"{folder}/certificate.pem\"\nkey = \"{folder}/key.pem\"\n{listener}\n{more}",
            folder = certificates.path().display(),
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
            root,
            _certificates: certificates,
        }
    }

    /// As it comes.
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// A computer whose clients speak `mqtt`.
    pub(crate) fn peer(&self) -> Peer {
        Peer::new(self.quic, &self.root, &[b"mqtt"])
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

fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .expect("a certificate can be made");
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("the folder can be written");
    };
    write("key.pem", made.signing_key.serialize_pem());
    write("certificate.pem", made.cert.pem());
    made.cert.der().clone()
}
