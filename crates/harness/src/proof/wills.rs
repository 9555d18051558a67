//! Clients that leave wills and are there when the server is killed: each accepted one's will is heard of.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::{Client, Event, PATIENCE, QoS, Server, Version};

/// Those who leave wills, and the one that hears of them.
pub struct Wills {
    watcher: Client,
    left: BTreeSet<String>,
}

impl Wills {
    /// Makes the session that hears of them.
    pub fn watch(server: &Server) -> Self {
        let dial = server.dial(Version::V5, "carol", "watcher").persistent();
        let mut watcher = Client::connect(dial).expect("the server stays");
        let granted = watcher.subscribe(&[("wills/#", QoS::AtLeastOnce)]);
        assert_eq!(granted, Ok(vec![1]));
        watcher.drop_connection();
        Self {
            watcher,
            left: BTreeSet::new(),
        }
    }

    /// Connects clients whose wills the server accepts, one with a session that outlives it and one without. They are
    /// to be kept until it is killed.
    pub fn leave(&mut self, server: &Server, round: u64) -> Vec<Client> {
        let mut clients = Vec::new();
        for (name, lasting) in [("lasting", true), ("guest", false)] {
            let text = format!("{name}-{round}");
            let dial = server.dial(Version::V5, "carol", &format!("will-{name}"));
            let dial = if lasting { dial.persistent() } else { dial };
            let topic = format!("wills/{name}");
            // A client that is not accepted in time promises nothing.
            if let Ok(client) = Client::connect(dial.will(&topic, &text, QoS::AtLeastOnce)) {
                clients.push(client);
                self.left.insert(text);
            }
        }
        clients
    }

    /// Everything that was left has to come.
    pub fn judge(mut self) {
        assert!(self.watcher.reconnect().expect("the server stays"));
        let deadline = Instant::now() + PATIENCE;
        while !self.left.is_empty() {
            let event = self.watcher.event(deadline).expect("the server stays");
            let Some(event) = event else {
                panic!("accepted, and never published: {:?}", self.left);
            };
            if event == Event::Message {
                for message in self.watcher.take_inbox() {
                    self.left.remove(message.text());
                }
            }
        }
    }
}
