//! Consumers that subscribe and do not read, at QoS 0 and 1, and a publisher that floods them: it must get on all the same.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{Client, ClientError, Dial, QoS, Version};

use crate::extras::{Extra, Scene};

/// A round's flood: more than a connection's buffers hold.
const MESSAGES: usize = 3_000;
const BYTES: usize = 1_024;
/// Every so many one is acknowledged, which shows that the server has come that far.
const ACKNOWLEDGED: usize = 20;
const PACE: Duration = Duration::from_millis(100);

pub(crate) struct Flood {
    server: SocketAddr,
    clients: Vec<Client>,
}

impl Flood {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            clients: Vec::new(),
        }
    }
}

impl Extra for Flood {
    fn work(&mut self, scene: &Scene<'_>) -> Result<(), ClientError> {
        for (name, qos) in [("deaf-0", QoS::AtMostOnce), ("deaf-1", QoS::AtLeastOnce)] {
            let mut deaf = Dial::new(self.server, Version::V5, name).connect()?;
            deaf.subscribe(&[("flood/#", qos)])?;
            self.clients.push(deaf);
        }
        let mut publisher = Dial::new(self.server, Version::V311, "flood").connect()?;
        let payload = vec![b'f'; BYTES];
        for number in 0..MESSAGES {
            if !scene.goes_on() {
                return Ok(());
            }
            let qos = if number % ACKNOWLEDGED == 0 {
                QoS::AtLeastOnce
            } else {
                QoS::AtMostOnce
            };
            publisher.publish("flood/all", &payload, qos)?;
            scene.count();
        }
        while scene.goes_on() {
            let nothing = publisher.receive_until(Instant::now() + PACE, |_| true)?;
            assert_eq!(nothing, None, "it has subscribed to nothing");
        }
        Ok(())
    }

    fn part(&mut self) {
        self.clients.clear();
    }
}
