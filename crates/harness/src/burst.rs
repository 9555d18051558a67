//! A burst of work that takes memory, and how much of it comes back.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mqtt_codec::QoS;

use crate::crowd::{connect_from, raise_descriptors};
use crate::{Dial, PATIENCE, Server};

const SUBSCRIBERS: usize = 1_000;
/// As many as may be under way to one of them, which none acknowledges.
const MESSAGES: usize = 1_000;
/// A smaller burst says nothing.
const GROWTH_MIN: u64 = 50 * 1024 * 1024;
/// Until memory is back.
const TIME_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Resident memory around a burst, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    before: u64,
    most: u64,
    after: u64,
    /// From its end to the look that found `after`.
    took: Duration,
}

impl Burst {
    /// 1,000 anonymous subscribers acknowledge none of 1,000 messages with QoS 1 that `publisher` sends, and are cut off. Fails
    /// unless memory is back at 1.5 times what it was within a minute.
    pub fn measure(server: &Server, publisher: Dial) -> Self {
        raise_descriptors();
        let mut publisher = publisher.connect().expect("it is let in");
        let resident = || server.metric("process_resident_memory_bytes", "");
        let before = resident();
        let crowd: Vec<TcpStream> = (0..SUBSCRIBERS)
            .map(|number| subscriber(server, number))
            .collect();
        for number in 0..MESSAGES {
            let published = publisher.publish("burst", number.to_string(), QoS::AtLeastOnce);
            assert_eq!(published, Ok(0));
        }
        let begun = Instant::now();
        let mut most = resident();
        while most < before + GROWTH_MIN {
            let waits = begun.elapsed() < PATIENCE;
            assert!(waits, "{most} after {before}: no burst");
            most = most.max(resident());
        }
        drop(crowd);
        let begun = Instant::now();
        loop {
            let (after, took) = (resident(), begun.elapsed());
            if after <= before + before / 2 {
                return Self {
                    before,
                    most,
                    after,
                    took,
                };
            }
            assert!(
                took < TIME_MAX,
                "{after} of {most} are left, and {before} were before"
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.1} MB resident before, {:.1} MB in it, {:.1} MB after {:.0} s",
            self.before as f64 / 1e6,
            self.most as f64 / 1e6,
            self.after as f64 / 1e6,
            self.took.as_secs_f64()
        )
    }
}

/// A client of version 3.1.1 that has subscribed with QoS 1.
fn subscriber(server: &Server, number: usize) -> TcpStream {
    let mut stream = connect_from((number % 100) as u8, server.mqtt()).expect("it is taken");
    let client_id = format!("{number:04}");
    let connect = [
        b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04",
        client_id.as_bytes(),
    ]
    .concat();
    let subscribe = b"\x82\x0a\x00\x01\x00\x05burst\x01";
    for packet in [&connect[..], subscribe] {
        stream.write_all(packet).expect("it is read");
    }
    let mut answers = [0; 4 + 5];
    stream.read_exact(&mut answers).expect("it is answered");
    assert_eq!(answers, *b"\x20\x02\x00\x00\x90\x03\x00\x01\x01");
    stream
}
