//! Two people who talk while something else happens: how long their messages take, from the sender's write to the receiver's
//! message and to the acknowledgement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::{QoS, Server, Version};

/// Between two messages: an account may send fifty in a second.
const PACE: Duration = Duration::from_millis(25);
/// Two cores are shared with the attacker and the disk with everything: this only says that nobody stood still.
const P99_MAX: Duration = Duration::from_secs(1);
/// Fewer messages say nothing.
const MESSAGES_MIN: usize = 40;

/// The pair, talking on a thread of its own.
pub(crate) struct Pair {
    stop: Arc<AtomicBool>,
    talking: JoinHandle<Vec<Duration>>,
}

impl Pair {
    /// Logs both in and lets them talk.
    pub(crate) fn start(server: &Server) -> Self {
        let mut bob = server.dial(Version::V5, "bob", "ear").connect().unwrap();
        bob.subscribe(&[("im/in/@alice", QoS::AtLeastOnce)])
            .unwrap();
        let mut alice = server
            .dial(Version::V5, "alice", "mouth")
            .connect()
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let talking = thread::spawn(move || {
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) || took.len() < MESSAGES_MIN {
                let text = took.len().to_string();
                let begun = Instant::now();
                let reason = alice.publish("im/to/@bob", &text, QoS::AtLeastOnce);
                assert_eq!(reason, Ok(0), "a message of the pair is refused");
                assert_eq!(bob.receive().unwrap().json()["text"], text);
                took.push(begun.elapsed());
                thread::sleep(PACE);
            }
            took
        });
        Self { stop, talking }
    }

    /// Ends the talk, and says and checks what it was like.
    pub(crate) fn check(self, beside: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.talking.join().expect("the pair was cut off");
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "hostile  {beside}: a pair's {} messages took p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
            took.len(),
            millis(at(0.5)),
            millis(at(0.99)),
            millis(at(1.0))
        );
        assert!(at(0.99) <= P99_MAX, "{beside}: p99 is {:?}", at(0.99));
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
