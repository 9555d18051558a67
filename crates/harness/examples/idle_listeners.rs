//! What an idle connection costs the server in memory, by kind of listener:
//! `cargo run --release -p harness --example idle_listeners -- [connections]`.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on says where"
)]

use std::sync::Arc;

use harness::{Authority, Client, Dial, Launch, QoS, Server, Version};

const CONFIG: &str = r#"
[mqtt]
allow_anonymous = true
connections_per_second_per_address = 0
shards = 1
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
[[mqtt.listener]]
kind = "unix"
address = "./mqtt.sock"
"#;

fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(2000, |count| count.parse().unwrap());
    let authority = Authority::new();
    println!(
        "{:6} {:>12} {:>16}",
        "kind", "connections", "bytes of RSS each"
    );
    for kind in ["tcp", "unix", "ws", "tls", "wss"] {
        // A server for each, so that none begins with what another has left.
        let folder = Arc::new(tempfile::tempdir().unwrap());
        authority.server().write(folder.path(), "server");
        let server = Launch::new()
            .folder(&folder)
            .own_listeners()
            .config(CONFIG)
            .start();
        let tls = authority.client_config(None);
        let dial = |number: usize| {
            let dial = Dial::new(server.mqtt(), Version::V311, &format!("{kind}-{number}"));
            match kind {
                "unix" => dial.unix(&server.folder().join("mqtt.sock")),
                "ws" => dial
                    .at(server.listener("ws://", 0))
                    .websocket("/mqtt", None),
                "tls" => dial.at(server.listener("mqtts://", 0)).tls(&tls),
                "wss" => {
                    let dial = dial.at(server.listener("wss://", 0));
                    dial.tls(&tls).websocket("/mqtt", None)
                }
                _ => dial,
            }
        };
        let connect = |number: usize| {
            let mut client = dial(number).connect().unwrap();
            let filter = format!("idle/{number}");
            client.subscribe(&[(&filter, QoS::AtMostOnce)]).unwrap();
            client
        };
        let warm: Vec<Client> = (0..200).map(connect).collect();
        let before = resident(&server);
        let clients: Vec<Client> = (200..200 + count).map(connect).collect();
        let each = (resident(&server) - before) / count as u64;
        println!("{kind:6} {count:>12} {each:>16}");
        drop((warm, clients));
    }
}

fn resident(server: &Server) -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.program().pid()));
    let statm = statm.unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * PAGE
}
