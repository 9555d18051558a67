//! What a burst takes of memory comes back when it is over.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{Launch, PATIENCE, QoS, Server, Version};

use crate::crowd::{connect_from, raise_descriptors, turn};

const SUBSCRIBERS: usize = 1_000;
/// As many as may be under way to one of them, which none acknowledges.
const MESSAGES: usize = 1_000;
/// A smaller burst says nothing.
const GROWTH_MIN: u64 = 50 * 1024 * 1024;
/// Until memory is back.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A client of version 3.1.1 that has subscribed with QoS 1.
fn subscriber(server: &Server, number: usize) -> TcpStream {
    let mut stream = connect_from((number % 100) as u8, server.mqtt()).unwrap();
    let client_id = format!("{number:04}");
    let connect = [
        b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04",
        client_id.as_bytes(),
    ]
    .concat();
    stream.write_all(&connect).unwrap();
    stream
        .write_all(b"\x82\x0a\x00\x01\x00\x05burst\x01")
        .unwrap();
    let mut answers = [0; 4 + 5];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(answers, *b"\x20\x02\x00\x00\x90\x03\x00\x01\x01");
    stream
}

#[test]
fn what_a_burst_took_comes_back_within_a_minute() {
    let _turn = turn();
    raise_descriptors();
    let server = Launch::new().argument("--allow-anonymous").start();
    server.add_account("alice");
    let mut publisher = server.dial(Version::V5, "alice", "p").connect().unwrap();
    let resident = || server.metric("process_resident_memory_bytes", "");
    let before = resident();
    let crowd: Vec<TcpStream> = (0..SUBSCRIBERS)
        .map(|number| subscriber(&server, number))
        .collect();
    for number in 0..MESSAGES {
        let published = publisher.publish("burst", number.to_string(), QoS::AtLeastOnce);
        assert_eq!(published, Ok(0));
    }
    let begun = Instant::now();
    let mut most = resident();
    while most < before + GROWTH_MIN {
        assert!(
            begun.elapsed() < PATIENCE,
            "{most} after {before}: no burst"
        );
        most = most.max(resident());
    }
    drop(crowd);
    let begun = Instant::now();
    loop {
        let left = resident();
        if left <= before + before / 2 {
            println!(
                "hostile  a burst: {:.1} MB resident before, {:.1} MB in it, {:.1} MB after {:.0} s",
                before as f64 / 1e6,
                most as f64 / 1e6,
                left as f64 / 1e6,
                begun.elapsed().as_secs_f64()
            );
            break;
        }
        assert!(
            begun.elapsed() < TIME_MAX,
            "{left} of {most} are left, and {before} were before"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}
