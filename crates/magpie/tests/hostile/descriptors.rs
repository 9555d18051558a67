//! More connections than the process has file descriptors for, of HTTP and of MQTT: store and health check are never without one,
//! whoever is one too many is told so, and places are given again.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{
    ClientError, Launch, PATIENCE, Server, Version, connect_from, http_get, raise_descriptors,
};

use crate::crowd::{answer, count_open, silent, turn};
use crate::pair::Pair;

/// Kept for the store and other files (docs/limits.md).
const RESERVED: usize = 192;

/// What this process opens besides the crowd.
const OWN_DESCRIPTORS: usize = 60;

/// CONNECT of version 5 without a name.
const CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01x";

fn start(limit: usize) -> Server {
    let limit = format!("--nofile={limit}:{limit}");
    let server = Launch::new()
        .under(&["prlimit", &limit, "--"])
        .config("[mqtt]\nconnect_timeout_secs = 600\nconnections_per_second_per_address = 0\n[http]\nheader_timeout_secs = 600\nconnections_max = 1000000\n")
        .start();
    for name in ["alice", "bob", "carol"] {
        server.add_account(name);
    }
    server
}

/// HTTP connections first, MQTT connections until nothing is left; then all go.
fn check_beside_more_than_there_are(limit: usize) {
    let _turn = turn();
    let own = raise_descriptors();
    let server = start(limit);
    let places = limit - RESERVED;
    let banner = server.program().output().replace(',', "");
    assert!(
        banner.contains(&format!("room for {places} connections")),
        "{banner}"
    );
    let pair = Pair::start(&server);

    let http = silent((places + 200).min(own * 3 / 10), 100, server.http());
    let rest = own.saturating_sub(http.len() + OWN_DESCRIPTORS);
    let mqtt = silent((places + 200).min(rest), 100, server.mqtt());
    let begun = Instant::now();
    loop {
        let held = server.metric("magpie_connection_descriptors", "");
        if held == places as u64 {
            break;
        }
        let crowd = (http.len(), mqtt.len());
        assert!(
            begun.elapsed() < PATIENCE,
            "{held} of {places} by {crowd:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }

    assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
    let refused = http_get(server.http(), "/api/v1/server").unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    // One more says who it is, and hears why it cannot be let in.
    assert_eq!(refusal(7, &server), 0x89);
    assert!(server.metric("magpie_connections_refused_total", "descriptors") > 0);
    let log = server.program().errors();
    assert!(!log.contains("Too many open files"), "{log}");

    end(http);
    end(mqtt);
    let begun = Instant::now();
    let carol = loop {
        match server.dial(Version::V5, "carol", "late").connect() {
            Ok(carol) => break carol,
            Err(ClientError::Refused(_) | ClientError::Lost(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "no place is given again");
    };
    carol.disconnect();
    pair.check(&format!("more connections than {limit} descriptors"));
}

/// With which reason a connection from the address with this number is refused. There is room to tell a few only, which those that
/// say nothing take for two seconds.
fn refusal(number: u8, server: &Server) -> u8 {
    let begun = Instant::now();
    loop {
        let connack = answer(connect_from(number, server.mqtt()).unwrap(), CONNECT, 5);
        if let [0x20, _, _, reason, ..] = connack[..] {
            return reason;
        }
        assert!(connack.is_empty(), "no CONNACK: {connack:02x?}");
        assert!(begun.elapsed() < PATIENCE, "nobody is told");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn end(mut crowd: Vec<TcpStream>) {
    assert!(count_open(&mut crowd) > 0, "all of them were closed");
}

#[test]
fn at_256_descriptors() {
    check_beside_more_than_there_are(256);
}

#[test]
fn at_1024_descriptors() {
    check_beside_more_than_there_are(1024);
}

#[test]
fn at_the_machines_hard_limit() {
    check_beside_more_than_there_are(raise_descriptors().min(20_000));
}

#[test]
fn with_fewer_than_it_needs_it_says_what_to_do() {
    let said = Launch::new()
        .under(&["prlimit", "--nofile=200:200", "--"])
        .refused();
    assert!(
        said.contains("200") && said.contains("LimitNOFILE"),
        "{said}"
    );
}

#[test]
fn one_address_has_half_of_the_places() {
    let _turn = turn();
    raise_descriptors();
    let server = start(1024);
    let pair = Pair::start(&server);
    let mut greedy: Vec<TcpStream> = (0..1000)
        .filter_map(|_| connect_from(1, server.mqtt()).ok())
        .collect();
    let most = (1024 - RESERVED) / 2;
    // This one is accepted after all those.
    assert_eq!(refusal(1, &server), 0x97);
    assert!(server.metric("magpie_connections_refused_total", "address") > 0);
    // Those that wait to be refused are open as well for a moment.
    let open = count_open(&mut greedy);
    assert!((most..=most + 16).contains(&open), "{open} of {most}");
    pair.check("an address with more connections than its half");
}
