//! Persistent sessions that are all cut off at once and all come back at once, each to a message of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{Client, ClientError, Dial, QoS, Version};

use crate::extras::{Extra, Scene};

/// Threads, each with so many sessions.
pub(crate) const GROUPS: usize = 4;
const SESSIONS: usize = 50;
const PACE: Duration = Duration::from_millis(100);

pub(crate) struct Storm {
    server: SocketAddr,
    group: usize,
    clients: Vec<Client>,
}

impl Storm {
    pub(crate) fn new(server: SocketAddr, group: usize) -> Self {
        Self {
            server,
            group,
            clients: Vec::new(),
        }
    }

    fn topic(&self, number: usize) -> String {
        format!("storm/{}/{number}", self.group)
    }

    /// Those that are there come back; the others are made.
    fn gather(&mut self, scene: &Scene<'_>) -> Result<(), ClientError> {
        for client in &mut self.clients {
            assert!(client.reconnect()?, "a session of a storm is gone");
            scene.count();
        }
        while self.clients.len() < SESSIONS {
            let number = self.clients.len();
            let topic = self.topic(number);
            let version = [Version::V311, Version::V5][number % 2];
            let name = topic.replace('/', "-");
            let mut client = Dial::new(self.server, version, &name)
                .persistent()
                .connect()?;
            client.subscribe(&[(&topic, QoS::AtLeastOnce)])?;
            self.clients.push(client);
        }
        Ok(())
    }
}

impl Extra for Storm {
    fn work(&mut self, scene: &Scene<'_>) -> Result<(), ClientError> {
        self.gather(scene)?;
        for number in 0..self.clients.len() {
            let topic = self.topic(number);
            let client = &mut self.clients[number];
            client.publish(&topic, "here", QoS::AtLeastOnce)?;
            // What came before the cut may come again: at least once.
            while client.receive()?.dup {}
        }
        while scene.goes_on() {
            // Pings would say no more: a lost connection shows here too.
            let last = self.clients.last_mut().expect("there are some");
            while last
                .receive_until(Instant::now() + PACE, |_| true)?
                .is_some()
            {}
        }
        Ok(())
    }

    fn part(&mut self) {
        for client in &mut self.clients {
            client.drop_connection();
            client.take_inbox();
        }
    }
}
