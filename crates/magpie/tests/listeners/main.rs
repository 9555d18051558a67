//! Every kind of listener of the real binary, with the harness's client and with other people's.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod certificates;
mod clients;
mod https;
mod kinds;
mod nagle;
mod proxy;
mod storms;
mod unix;
mod websocket;

use std::sync::Arc;

use harness::{Authority, Client, Launch, QoS, Server, Version, http_get};
use tempfile::TempDir;

/// A folder with a certificate for this machine in `server.pem` and `server.key`, and who signed it.
struct Scene {
    authority: Authority,
    folder: Arc<TempDir>,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            authority: Authority::new(),
            folder: Arc::new(tempfile::tempdir().unwrap()),
        };
        scene
            .authority
            .server()
            .write(scene.folder.path(), "server");
        scene
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn launch(&self, config: &str) -> Launch {
        Launch::new()
            .folder(&self.folder)
            .own_listeners()
            .config(config)
    }

    /// A server with an account `alice`.
    fn start(&self, config: &str) -> Server {
        let server = self.launch(config).start();
        server.add_account("alice");
        server
    }
}

/// A message goes from a client to itself, at each QoS and larger than any buffer on its way.
fn talk(client: &mut Client, topic: &str) {
    assert!(client.subscribe(&[(topic, QoS::ExactlyOnce)]).unwrap()[0] < 0x80);
    let large: Vec<u8> = (0..700_000_u32).map(|number| number as u8).collect();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(client.publish(topic, "small", qos), Ok(0));
        assert_eq!(client.receive().unwrap().payload, b"small");
        assert_eq!(client.publish(topic, &large, qos), Ok(0));
        assert!(
            client.receive().unwrap().payload == large,
            "{topic} at {qos:?}"
        );
    }
}

/// The value of a metric whose line begins with `name` and contains all of `labels`.
fn metric(server: &Server, name: &str, labels: &[&str]) -> f64 {
    let answer = http_get(server.http(), "/metrics").unwrap();
    let lines = answer.body.lines().filter(|line| line.starts_with(name));
    lines
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Connects, again and again until there is room: a place is free only once the server has seen the end of its connection.
fn connect_when_free(dial: &harness::Dial) -> Client {
    let begin = std::time::Instant::now();
    loop {
        match dial.clone().connect() {
            Ok(client) => return client,
            Err(error) => assert!(begin.elapsed() < harness::PATIENCE, "{error}"),
        }
    }
}

/// Awaits that a metric has come to at least this.
fn await_metric(server: &Server, name: &str, labels: &[&str], at_least: f64) {
    let begin = std::time::Instant::now();
    while metric(server, name, labels) < at_least {
        assert!(
            begin.elapsed() < harness::PATIENCE,
            "{name} {labels:?} stays below {at_least}"
        );
        std::thread::yield_now();
    }
}

/// As alice, over TCP until it is said otherwise.
fn dial(server: &Server, client_id: &str) -> harness::Dial {
    server.dial(Version::V5, "alice", client_id)
}
