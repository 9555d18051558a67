//! Retained messages that are replaced all the time: whoever subscribes gets of each topic what was acknowledged last, or
//! what was sent after it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{Client, ClientError, Dial, QoS, Version};

use crate::extras::{Extra, Scene};

const TOPICS: usize = 100;
/// Replaced between two looks.
const BETWEEN: usize = 50;
const PACE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Default)]
struct Value {
    sent: u64,
    acknowledged: u64,
}

pub(crate) struct Kept {
    server: SocketAddr,
    values: Vec<Value>,
    at: usize,
    publisher: Option<Client>,
}

impl Kept {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            values: vec![Value::default(); TOPICS],
            at: 0,
            publisher: None,
        }
    }

    fn look(&self) -> Result<(), ClientError> {
        let mut newcomer = Dial::new(self.server, Version::V5, "kept-newcomer").connect()?;
        newcomer.subscribe(&[("kept/#", QoS::AtLeastOnce)])?;
        let known = self
            .values
            .iter()
            .filter(|value| value.acknowledged > 0)
            .count();
        let mut seen = [false; TOPICS];
        while seen.iter().filter(|seen| **seen).count() < known {
            let message = newcomer.receive()?;
            assert!(message.retain, "{}", message.topic);
            let topic: usize = message.topic["kept/".len()..]
                .parse()
                .expect("a number of ours");
            let number: u64 = message.text().parse().expect("a number of ours");
            let Value { sent, acknowledged } = self.values[topic];
            assert!(
                (acknowledged..=sent).contains(&number),
                "{}: {number}, of {acknowledged} acknowledged and {sent} sent",
                message.topic
            );
            // One that was sent and never acknowledged may be there; it does not count.
            seen[topic] = acknowledged > 0;
        }
        newcomer.disconnect();
        Ok(())
    }
}

impl Extra for Kept {
    fn work(&mut self, scene: &Scene<'_>) -> Result<(), ClientError> {
        // Before anything is replaced: what is there has survived the last end.
        self.look()?;
        let mut publisher = Dial::new(self.server, Version::V311, "kept-publisher").connect()?;
        while scene.goes_on() {
            for _ in 0..BETWEEN {
                let at = self.at % TOPICS;
                self.at += 1;
                self.values[at].sent += 1;
                let number = self.values[at].sent;
                publisher.retain(&format!("kept/{at}"), number.to_string(), QoS::AtLeastOnce)?;
                self.values[at].acknowledged = number;
                scene.count();
            }
            self.look()?;
            let nothing = publisher.receive_until(Instant::now() + PACE, |_| true)?;
            assert_eq!(nothing, None, "it has subscribed to nothing");
        }
        self.publisher = Some(publisher);
        Ok(())
    }

    fn part(&mut self) {
        self.publisher = None;
    }
}
