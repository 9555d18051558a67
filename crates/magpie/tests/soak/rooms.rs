//! Rooms of members that stay connected: each message comes to each of them, in order and once, while the server lives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{Client, ClientError, Dial, QoS, Version};

use crate::extras::{Extra, Scene};

pub(crate) const ROOMS: usize = 3;
const MEMBERS: usize = 6;
/// Between two messages, so that the machine has time for the others.
const PACE: Duration = Duration::from_millis(10);

pub(crate) struct Room {
    server: SocketAddr,
    number: usize,
    members: Vec<Client>,
    said: u64,
}

impl Room {
    pub(crate) fn new(server: SocketAddr, number: usize) -> Self {
        Self {
            server,
            number,
            members: Vec::new(),
            said: 0,
        }
    }

    fn gather(&mut self, topic: &str) -> Result<(), ClientError> {
        for member in 0..MEMBERS {
            let version = [Version::V311, Version::V5][member % 2];
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][member % 3];
            let name = format!("room-{}-{member}", self.number);
            let mut client = Dial::new(self.server, version, &name).connect()?;
            client.subscribe(&[(topic, qos)])?;
            self.members.push(client);
        }
        Ok(())
    }
}

impl Extra for Room {
    fn work(&mut self, scene: &Scene<'_>) -> Result<(), ClientError> {
        let topic = format!("room/{}", self.number);
        self.gather(&topic)?;
        while scene.goes_on() {
            let text = self.said.to_string();
            let speaker = self.said as usize % MEMBERS;
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.said as usize % 3];
            self.said += 1;
            self.members[speaker].publish(&topic, &text, qos)?;
            for member in &mut self.members {
                assert_eq!(member.receive()?.text(), text, "{topic}: out of order");
            }
            scene.count();
            let next = Instant::now() + PACE;
            let more = self.members[speaker].receive_until(next, |_| true)?;
            assert_eq!(more, None, "{topic}: one too many");
        }
        Ok(())
    }

    fn part(&mut self) {
        self.members.clear();
    }
}
