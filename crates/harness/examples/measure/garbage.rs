//! A logged-in pair beside connections that never log in: most hold a CONNECT that never ends and add a byte now and then,
//! others send what is no packet at all, are thrown out and come again. What the pair's messages take, without and with them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{Client, Event, PATIENCE, QoS, Server, Version};
use serde_json::{Value, json};

use crate::launch;

/// Between two messages of the pair.
const PACE: Duration = Duration::from_millis(4);
const TOPIC: &str = "pair/talk";
/// A CONNECT of 65,535 bytes, of which only the beginning ever comes.
const ENDLESS: [u8; 10] = [0x10, 0xFF, 0xFF, 0x03, 0, 4, b'M', b'Q', b'T', b'T'];
/// A packet type that nobody may send, and noise.
const NOISE: [u8; 24] = [0xF3; 24];
/// One step of the crowd: so many drip, so many are thrown out, then a pause, for it has the pair's core.
const DRIPS: usize = 20;
const THROWN: usize = 4;
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn measure(connections: usize, secs: usize) -> Value {
    let server = launch().start();
    server.add_account("alice");
    server.add_account("bob");
    let time = Duration::from_secs(secs as u64);
    let quiet = talk(&server, time);
    let (stop, thrown) = (AtomicBool::new(false), AtomicU64::new(0));
    let ready = AtomicBool::new(false);
    let (beside, took) = std::thread::scope(|scope| {
        scope.spawn(|| crowd(server.mqtt(), connections, &ready, &stop, &thrown));
        let began = Instant::now();
        while !ready.load(Ordering::Acquire) {
            assert!(began.elapsed() < 4 * PATIENCE, "the crowd does not get in");
            std::thread::sleep(PACE);
        }
        let before = thrown.load(Ordering::Relaxed);
        let began = Instant::now();
        let beside = talk(&server, time);
        let thrown = thrown.load(Ordering::Relaxed) - before;
        let rate = thrown as f64 / began.elapsed().as_secs_f64();
        stop.store(true, Ordering::Release);
        (beside, rate)
    });
    json!({ "quiet": quiet, "beside": beside, "garbage_per_s": took, "connections": connections })
}

/// Microseconds from the sender's write to the receiver's message.
fn talk(server: &Server, time: Duration) -> Value {
    let mut bob = server
        .dial(Version::V311, "bob", "ear")
        .connect()
        .expect("bob may log in");
    bob.subscribe(&[(TOPIC, QoS::AtLeastOnce)])
        .expect("granted");
    let mut alice = server
        .dial(Version::V311, "alice", "mouth")
        .connect()
        .expect("alice may log in");
    let mut micros = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let sent = Instant::now();
        alice
            .send(TOPIC, "hello", QoS::AtLeastOnce)
            .expect("the server stays");
        bob.receive().expect("the server stays");
        micros.push(sent.elapsed().as_micros() as u64);
        await_acknowledgement(&mut alice);
        std::thread::sleep(PACE);
    }
    alice.disconnect();
    bob.disconnect();
    micros.sort_unstable();
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0), "messages": micros.len() })
}

fn await_acknowledgement(alice: &mut Client) {
    let event = alice
        .event(Instant::now() + PATIENCE)
        .expect("the server stays");
    assert!(matches!(event, Some(Event::Acknowledged(_))), "{event:?}");
}

fn crowd(
    address: SocketAddr,
    connections: usize,
    ready: &AtomicBool,
    stop: &AtomicBool,
    thrown: &AtomicU64,
) {
    let mut drips: Vec<TcpStream> = (0..connections).map(|_| hold(address)).collect();
    ready.store(true, Ordering::Release);
    let mut at = 0;
    while !stop.load(Ordering::Acquire) {
        for _ in 0..DRIPS {
            at = (at + 1) % drips.len();
            if drips[at].write_all(&[at as u8]).is_err() {
                // The server waits for a CONNECT only so long.
                drips[at] = hold(address);
            }
        }
        for _ in 0..THROWN {
            throw(address);
            thrown.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(PAUSE);
    }
}

fn hold(address: SocketAddr) -> TcpStream {
    let mut stream = open(address);
    // Thrown out at once would be well, too; the next drip tells.
    let _ = stream.write_all(&ENDLESS);
    stream
}

fn throw(address: SocketAddr) {
    let mut stream = open(address);
    let _ = stream.write_all(&NOISE);
    let mut rest = [0; 16];
    match stream.read(&mut rest) {
        Ok(0) | Err(_) => {}
        Ok(bytes) => panic!("the server answered noise: {:02x?}", &rest[..bytes]),
    }
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket takes a timeout");
    stream
}
