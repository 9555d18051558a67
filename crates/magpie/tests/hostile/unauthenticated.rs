//! Clients that hold the beginnings of CONNECTs and never finish them.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use harness::{Launch, PATIENCE, Version, connect_from, raise_descriptors};

use crate::crowd::{count_open, turn};
use crate::pair::Pair;

const CONNECTIONS: usize = 2_000;
/// What each of them sends of a CONNECT that is longer.
const BEGINNING: usize = 60_000;
/// What they may hold all together.
const BUDGET: u64 = 8 * 1024 * 1024;
const CONFIG: &str = "[mqtt]\nunauthenticated_bytes_max = 8388608\nconnect_timeout_secs = 600\nconnections_per_address_max = 100000\n";

/// A CONNECT of version 5 that announces 70,000 bytes, of which these are the first.
fn beginning() -> Vec<u8> {
    let mut bytes =
        b"\x10\xf0\xa2\x04\x00\x04MQTT\x05\x04\x00\x3c\x00\x00\x01x\x00\x00\x01w\xff\xff".to_vec();
    bytes.resize(BEGINNING, b'w');
    bytes
}

/// Sends all of it unless the server has had enough.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    match stream.write_all(bytes) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn beginnings_of_connects_take_no_more_than_their_budget() {
    let _turn = turn();
    raise_descriptors();
    let server = Launch::new().config(CONFIG).start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let pair = Pair::start(&server);
    let resident = || server.metric("process_resident_memory_bytes", "");
    let before = resident();
    let bytes = beginning();
    let mut most = before;
    let mut crowd: Vec<TcpStream> = Vec::new();
    for number in 0..CONNECTIONS {
        let mut stream = connect_from((number % 100) as u8, server.mqtt()).unwrap();
        send(&mut stream, &bytes);
        crowd.push(stream);
        if number % 100 == 99 {
            most = most.max(resident());
        }
    }
    let grown = most.saturating_sub(before);
    println!(
        "hostile  {CONNECTIONS} CONNECTs of which {BEGINNING} bytes came: resident memory grew by {:.1} MB",
        grown as f64 / 1e6
    );
    // Beside what is counted, each connection that is open has its place, and the allocator its slack.
    assert!(grown < 4 * BUDGET, "{grown}");
    let begun = Instant::now();
    while server.metric("magpie_unauthenticated_refused_total", "") == 0 {
        assert!(begun.elapsed() < PATIENCE, "nobody was refused");
    }
    let open = count_open(&mut crowd);
    assert!(open < CONNECTIONS / 2, "{open} are open");
    // Ordinary clients come in all the while: what is short is not counted.
    let late = server.dial(Version::V5, "alice", "late").connect().unwrap();
    late.disconnect();
    pair.check("clients that hold the beginnings of CONNECTs");
}
