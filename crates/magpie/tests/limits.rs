//! Limits and bounds on the real server: garbage beside a conversation, logins that are limited, argon2 away from the shards,
//! aliases and `$SYS` through a strict client.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, ClientError, Dial, Launch, PATIENCE, QoS, Server, Version, Wire, password};

/// Connections of unauthenticated clients, in rounds of so many.
const UNAUTHENTICATED: usize = 2000;
const AT_ONCE: usize = 250;
/// The time of a round trip that no machine is too slow for, and that nobody would wait for.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(500);

fn round_trip(client: &mut Client, number: usize) -> Duration {
    let begun = Instant::now();
    let text = number.to_string();
    assert_eq!(client.publish("pair", &text, QoS::AtLeastOnce), Ok(0));
    assert_eq!(client.receive().unwrap().text(), text);
    begun.elapsed()
}

/// The ninth of ten, and the slowest.
fn ninth_and_slowest(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() * 9 / 10], times[times.len() - 1])
}

#[test]
fn a_pair_talks_on_beside_thousands_of_unauthenticated_clients_that_send_garbage() {
    let server = Launch::new()
        .config("[mqtt]\nconnect_timeout_secs = 1\nallow_anonymous = true\n")
        .start();
    server.add_account("alice");
    let mut pair = server.dial(Version::V5, "alice", "pair").connect().unwrap();
    pair.subscribe(&[("pair", QoS::AtMostOnce)]).unwrap();
    let (quiet, _) = ninth_and_slowest((0..200).map(|n| round_trip(&mut pair, n)).collect());
    let address = server.mqtt();
    let done = AtomicBool::new(false);
    let times = thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..UNAUTHENTICATED / AT_ONCE {
                let mut unauthenticated: Vec<TcpStream> = (0..AT_ONCE)
                    .filter_map(|_| TcpStream::connect_timeout(&address, PATIENCE).ok())
                    .collect();
                for (number, connection) in unauthenticated.iter_mut().enumerate() {
                    // Noise, a CONNECT that never ends, the beginning of one, or nothing at all.
                    let noise = [number as u8, round as u8, 0x9E, 0x37].repeat(100);
                    let _ = match number % 4 {
                        0 => connection.write_all(&noise),
                        1 => connection.write_all(b"\x10\xff\xff\x03\x00\x04MQTT\x05"),
                        2 => connection.write_all(b"\x10"),
                        _ => Ok(()),
                    };
                }
            }
            done.store(true, Ordering::Release);
        });
        let mut times = Vec::new();
        while !done.load(Ordering::Acquire) || times.len() < 100 {
            times.push(round_trip(&mut pair, times.len()));
        }
        times
    });
    let (ninth, slowest) = ninth_and_slowest(times);
    let bound = ROUND_TRIP_MAX.max(quiet * 20);
    assert!(
        ninth < bound,
        "{ninth:?} beside garbage, {quiet:?} without; {slowest:?} at most"
    );
    let deadline = Instant::now() + PATIENCE;
    while server.metric("magpie_protocol_errors_total", "") < (UNAUTHENTICATED / 4) as u64 {
        assert!(Instant::now() < deadline, "garbage is not counted");
    }
    pair.ping().unwrap();
}

fn login(server: &Server, name: &str, password: &str) -> Result<(), u8> {
    let dial = Dial::new(server.mqtt(), Version::V5, "device").login(name, password);
    match dial.connect() {
        Ok(client) => {
            client.disconnect();
            Ok(())
        }
        Err(ClientError::Refused(code)) => Err(code),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn remembered_logins_pass_where_checks_are_limited() {
    let server = Launch::new()
        .config(
            "[auth]\nchecks_per_second_per_address = 1\nfailures_per_minute_per_address = 10000\n",
        )
        .start();
    server.add_account("alice");
    let right = password("alice");
    for _ in 0..30 {
        assert_eq!(login(&server, "alice", &right), Ok(()));
    }
    let checks = server.metric("magpie_password_checks_total", "");
    assert_eq!(
        checks, 1,
        "one login was checked, the others were remembered"
    );
    let codes: Vec<_> = (0..40)
        .map(|n| login(&server, &format!("nobody{n}"), "wrong").unwrap_err())
        .collect();
    let refused = codes.iter().filter(|code| **code == 0x9F).count();
    assert!(
        refused > 0 && codes.iter().all(|code| [0x86, 0x9F].contains(code)),
        "{codes:02x?}"
    );
    assert_eq!(
        server.metric("magpie_logins_refused_total", "rate"),
        refused as u64
    );
    assert_eq!(
        login(&server, "alice", &right),
        Ok(()),
        "what is remembered is not limited"
    );
}

/// Processor time of the server's threads whose names begin so, in clock ticks.
fn ticks(server: &Server, name: &str) -> u64 {
    let tasks = format!("/proc/{}/task", server.program().pid());
    let of = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        // `123 (name) S …`: user and system time are the 12th and 13th field behind the name.
        let (head, rest) = stat.rsplit_once(") ")?;
        let (_, comm) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let time = |at: usize| fields.get(at)?.parse::<u64>().ok();
        comm.starts_with(name).then_some(time(11)? + time(12)?)
    };
    std::fs::read_dir(tasks)
        .unwrap()
        .filter_map(|task| of(task.unwrap()))
        .sum()
}

#[test]
fn passwords_are_checked_on_no_shard() {
    let server = Launch::new()
        .config("[auth]\nfailures_per_minute_per_address = 10000\nfailures_per_minute_per_account = 10000\nfailures_per_minute_per_address_and_account = 10000\n")
        .start();
    server.add_account("alice");
    let before = (ticks(&server, "authenticator"), ticks(&server, "shard"));
    for number in 0..40 {
        assert_eq!(
            login(&server, "alice", &format!("wrong {number}")),
            Err(0x86)
        );
    }
    let checking = ticks(&server, "authenticator") - before.0;
    let carrying = ticks(&server, "shard") - before.1;
    assert!(checking >= 10, "40 checks took {checking} ticks");
    assert!(
        carrying * 4 < checking,
        "shards worked {carrying} ticks, checks took {checking}"
    );
}

#[test]
fn one_address_opens_only_so_many_connections_in_a_second() {
    let server = Launch::new()
        .config("[mqtt]\nconnections_per_second_per_address = 1\n")
        .start();
    let mut wires: Vec<Wire> = (0..30).map(|_| Wire::open(server.mqtt())).collect();
    // Those over the rate are closed at once, long before anybody has to have said CONNECT.
    let last = wires.last_mut().unwrap();
    assert_eq!(last.read_to_end(), b"");
    let deadline = Instant::now() + PATIENCE;
    while server.metric("magpie_connections_refused_total", "rate") < 20 {
        assert!(Instant::now() < deadline, "nobody was refused");
    }
}

#[test]
fn the_servers_figures_come_under_aliases_to_whom_the_access_list_lets() {
    let server = Launch::new()
        .config("[mqtt]\nsys_interval_secs = 1\n[[acl]]\nallow = \"subscribe\"\nfilter = \"$SYS/#\"\nwho = \"alice\"\n")
        .start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let mut bob = server.dial(Version::V5, "bob", "b").connect().unwrap();
    assert_eq!(
        bob.subscribe(&[("$SYS/#", QoS::AtMostOnce)]).unwrap(),
        [0x87]
    );
    for version in [Version::V311, Version::V5] {
        let dial = server.dial(version, "alice", "a").topic_aliases(8);
        let mut alice = dial.connect().unwrap();
        alice
            .subscribe(&[("$SYS/broker/#", QoS::AtLeastOnce)])
            .unwrap();
        let mut of = |name: &str| {
            let topic = format!("$SYS/broker/{name}");
            alice
                .receive_where(|message| message.topic == topic)
                .unwrap()
        };
        assert!(of("version").text().starts_with("magpie version "));
        for _ in 0..5 {
            assert!(of("uptime").text().ends_with(" seconds"));
        }
        // The first ones may be from before there was any traffic.
        for name in ["bytes/received", "load/bytes/received/1min"] {
            while of(name).text().parse::<f64>().unwrap() <= 0.0 {}
        }
        // One of few topics comes again soon enough for an alias.
        let only = "$SYS/broker/uptime";
        alice.unsubscribe(&["$SYS/broker/#"]).unwrap();
        alice.subscribe(&[(only, QoS::AtMostOnce)]).unwrap();
        alice.take_inbox();
        for _ in 0..4 {
            assert_eq!(alice.receive().unwrap().topic, only);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while server.metric("magpie_alias_bytes_saved_total", "") == 0 {
        assert!(Instant::now() < deadline, "no alias was used");
    }
}
