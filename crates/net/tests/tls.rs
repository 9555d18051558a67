//! TLS without buffers of its own against a real TLS client over a socket pair: whatever the pieces in which bytes come and
//! go, the same stream comes out, nothing is kept while nothing is under way, and ends are ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::{
    CredentialFiles, Credentials, Drained, Failure, Layers, Received, Stage, Transport, Wire,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

/// Nothing between two ends of a socket pair takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    layers: Layers,
    certificate: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&certificate, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        let credentials = Credentials::load(CredentialFiles {
            certificate,
            key,
            client_ca: None,
            client_required: false,
            tls12: true,
            protocols: &[b"mqtt"],
        });
        Self {
            layers: Layers {
                tls: Some(Arc::new(credentials.unwrap())),
                ..Layers::default()
            },
            certificate: cert.der().clone(),
            _folder: folder,
        }
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
    }

    fn pair(&self) -> (UnixStream, Transport) {
        let (client, server) = UnixStream::pair().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        server.set_nonblocking(true).unwrap();
        let wire = Wire::Unix(mio::net::UnixStream::from_std(server));
        (client, Transport::accepted(wire, &self.layers))
    }
}

/// Hands bytes on in pieces of one to seventeen, so that no record comes whole.
struct Crumbs(UnixStream, usize);

impl Read for Crumbs {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Crumbs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 17 + 1;
        let count = bytes.len().min(self.1);
        self.0.write(&bytes[..count])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads until there is something other than nothing.
fn read(server: &mut Transport, scratch: &mut [u8]) -> Received {
    let begin = Instant::now();
    loop {
        match server.read(scratch) {
            Received::Blocked => {
                assert!(begin.elapsed() < PATIENCE, "nothing came");
                std::thread::yield_now();
            }
            received => return received,
        }
    }
}

fn secured(server: &mut Transport) {
    let received = read(server, &mut [0; 64]);
    assert!(
        matches!(received, Received::Stage(Stage::Secured)),
        "{received:?}"
    );
}

/// Gives back everything that comes, until `total` bytes have gone both ways.
fn echo(server: &mut Transport, total: usize, scratch: &mut [u8]) {
    let begin = Instant::now();
    let mut waiting = Vec::new();
    let mut written = 0;
    while written < total {
        assert!(
            begin.elapsed() < PATIENCE,
            "{written} of {total} bytes in time"
        );
        match server.write(&waiting) {
            Ok(count) => {
                written += count;
                waiting.drain(..count);
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        // Behind the last byte there is only the peer's end.
        if written < total && waiting.len() < 200_000 {
            match server.read(scratch) {
                Received::Buffered(count, _) => waiting.extend_from_slice(&scratch[..count]),
                Received::Blocked => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    }
    while server.holds_back() {
        assert!(begin.elapsed() < PATIENCE, "the last bytes are held back");
        drop(server.write(&[]));
        std::thread::yield_now();
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number % 251) as u8).collect()
}

#[test]
fn a_stream_stays_a_stream_in_both_versions_and_whatever_pieces() {
    let scene = Scene::new();
    for version in [&TLS12, &TLS13] {
        for (total, scratch) in [(3_000_000, 64 * 1024), (300_000, 100)] {
            let (client, mut server) = scene.pair();
            let session = scene.client(version);
            let peer = std::thread::spawn(move || {
                let mut stream = StreamOwned::new(session, client);
                let sent = bytes(total);
                let mut received = Vec::new();
                for part in sent.chunks(50_000) {
                    stream.write_all(part).unwrap();
                    let mut back = vec![0; part.len()];
                    stream.read_exact(&mut back).unwrap();
                    received.extend_from_slice(&back);
                }
                assert!(received == sent, "the stream came back changed");
            });
            secured(&mut server);
            echo(&mut server, total, &mut vec![0; scratch]);
            peer.join().unwrap();
        }
    }
}

#[test]
fn records_may_come_in_crumbs() {
    let scene = Scene::new();
    for version in [&TLS12, &TLS13] {
        let (client, mut server) = scene.pair();
        let session = scene.client(version);
        let peer = std::thread::spawn(move || {
            let mut stream = StreamOwned::new(session, Crumbs(client, 0));
            stream.write_all(&bytes(60_000)).unwrap();
            let mut back = vec![0; 60_000];
            stream.read_exact(&mut back).unwrap();
            assert!(back == bytes(60_000), "the stream came back changed");
        });
        secured(&mut server);
        echo(&mut server, 60_000, &mut [0; 4096]);
        peer.join().unwrap();
    }
}

#[test]
fn a_short_read_says_that_the_socket_is_empty() {
    let scene = Scene::new();
    let (client, mut server) = scene.pair();
    let session = scene.client(&TLS13);
    let peer = std::thread::spawn(move || {
        let mut stream = StreamOwned::new(session, client);
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(b"PINGREQ").unwrap();
        stream.flush().unwrap();
        stream.read_exact(&mut byte).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            0,
            "our end is told as well"
        );
    });
    secured(&mut server);
    let mut scratch = [0; 64];
    // MQTT begins with the next read; the client waits for us.
    assert!(matches!(server.read(&mut scratch), Received::Blocked));
    assert_eq!(server.write(b"x").unwrap(), 1);
    let received = read(&mut server, &mut scratch);
    assert!(
        matches!(received, Received::Buffered(7, Drained::Yes)),
        "{received:?}"
    );
    assert_eq!(&scratch[..7], b"PINGREQ");
    assert_eq!(server.write(b"x").unwrap(), 1);
    assert!(matches!(read(&mut server, &mut scratch), Received::Closed));
    server.finish();
    peer.join().unwrap();
}

/// How a client ends its side.
#[derive(Clone, Copy)]
enum End {
    Abrupt,
    Told,
    BehindMore,
}

#[test]
fn whoever_has_gone_without_another_word_holds_nothing_more() {
    let scene = Scene::new();
    for (end, expected) in [
        (End::Abrupt, false),
        (End::Told, false),
        (End::BehindMore, true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let wire = Wire::tcp(mio::net::TcpStream::from_std(accepted));
        let mut server = Transport::accepted(wire, &scene.layers);
        let session = scene.client(&TLS13);
        let peer = std::thread::spawn(move || {
            let mut stream = StreamOwned::new(session, client);
            stream.write_all(b"CONNECT").unwrap();
            // The server has read it.
            stream.read_exact(&mut [0]).unwrap();
            match end {
                End::Abrupt => {}
                End::Told => stream.conn.send_close_notify(),
                End::BehindMore => stream.write_all(b"PUBLISH").unwrap(),
            }
            stream.flush().unwrap();
            stream.sock.shutdown(Shutdown::Write).unwrap();
            stream
        });
        secured(&mut server);
        let received = read(&mut server, &mut [0; 64]);
        assert!(matches!(received, Received::Buffered(7, _)), "{received:?}");
        assert_eq!(server.write(b"x").unwrap(), 1);
        let stream = peer.join().unwrap();
        assert_eq!(server.may_hold_more(), expected);
        drop(stream);
    }
}

#[test]
fn what_is_not_tls_fails_with_an_alert_and_an_end() {
    let scene = Scene::new();
    let (mut client, mut server) = scene.pair();
    client
        .write_all(b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0")
        .unwrap();
    let received = read(&mut server, &mut [0; 64]);
    assert!(
        matches!(received, Received::Stage(Stage::Failed(Failure::NotTls))),
        "{received:?}"
    );
    assert!(!server.is_arriving());
    server.finish();
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).unwrap();
    assert_eq!(alert.first(), Some(&21), "an alert record: {alert:?}");
}

/// Numbers without a pattern, the same in each run.
struct Odd(u64);

impl Odd {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

/// Whatever a peer sends, in whatever pieces: it is an error, never a panic and never a wait with everything at hand.
#[test]
fn damaged_handshakes_are_errors() {
    let scene = Scene::new();
    let mut odd = Odd(7);
    for round in 0..4000 {
        let version: &SupportedProtocolVersion = if round % 2 == 0 { &TLS13 } else { &TLS12 };
        let mut session = scene.client(version);
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        let (mut client, mut server) = scene.pair();
        client.set_nonblocking(true).unwrap();
        // Damage: bytes changed, record lengths among them, parts cut out or repeated, and the whole in records anew.
        if odd.below(3) == 0 {
            hello = hello[5..]
                .chunks(1 + odd.below(200))
                .flat_map(|part| [&[22, 3, 3, 0, part.len() as u8], part].concat())
                .collect();
        }
        for _ in 0..odd.below(4) {
            let place = odd.below(hello.len().min(80));
            hello[place] = odd.below(256) as u8;
        }
        if odd.below(4) == 0 {
            let place = odd.below(hello.len());
            let again = hello[place..].to_vec();
            hello.extend_from_slice(&again);
        }
        let mut scratch = [0; 64];
        let mut rest = &hello[..];
        while !rest.is_empty() {
            let count = (1 + odd.below(300)).min(rest.len());
            client.write_all(&rest[..count]).unwrap();
            rest = &rest[count..];
            match server.read(&mut scratch) {
                Received::Blocked => {}
                Received::Stage(Stage::Failed(_)) => break,
                other => panic!("round {round}: {other:?}"),
            }
            assert!(server.write(b"x").is_ok(), "round {round}");
        }
        server.finish();
        let mut answer = Vec::new();
        client.set_nonblocking(false).unwrap();
        drop(client.read_to_end(&mut answer));
        assert!(
            answer.len() < 10_000,
            "round {round}: {} bytes",
            answer.len()
        );
    }
}

/// The same behind an established connection.
#[test]
fn damaged_records_are_errors() {
    let scene = Scene::new();
    let mut odd = Odd(11);
    for round in 0..300 {
        let version: &SupportedProtocolVersion = if round % 2 == 0 { &TLS13 } else { &TLS12 };
        let (client, mut server) = scene.pair();
        let mut session = scene.client(version);
        let peer = std::thread::spawn(move || {
            let mut client = client;
            while session.is_handshaking() {
                session.complete_io(&mut client).unwrap();
            }
            (client, session)
        });
        secured(&mut server);
        let (mut client, mut session) = peer.join().unwrap();
        let mut records = Vec::new();
        for _ in 0..3 {
            session
                .writer()
                .write_all(&bytes(1 + odd.below(2000)))
                .unwrap();
            if odd.below(2) == 0 && round % 2 == 0 {
                session.refresh_traffic_keys().unwrap();
            }
            session.write_tls(&mut records).unwrap();
        }
        for _ in 0..odd.below(3) {
            let place = odd.below(records.len());
            records[place] = odd.below(256) as u8;
        }
        client.write_all(&records).unwrap();
        drop(client);
        let mut scratch = [0; 500];
        loop {
            match read(&mut server, &mut scratch) {
                Received::Buffered(count, _) => assert!(count > 0, "round {round}"),
                Received::Closed => break,
                other => panic!("round {round}: {other:?}"),
            }
            // Fails once the peer is gone, and that is all.
            drop(server.write(b"answer"));
        }
        server.finish();
    }
}
