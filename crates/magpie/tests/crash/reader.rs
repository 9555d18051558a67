//! One persistent session that reads while the server is killed, and misses a round now and then. It notes what it is
//! handed, in order.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use harness::{Client, ClientError, Dial, Event, Message, PATIENCE, QoS};

use crate::random::Random;
use crate::stage::{Round, Stage};
use crate::verdict::END;

/// One round in so many is missed.
const MISSED: u64 = 4;

pub(crate) struct Reader {
    account: String,
    filter: String,
    qos: QoS,
    client: Client,
    connected: bool,
    random: Random,
    messages: Vec<Message>,
    /// How many of them were the last of their place.
    ends: usize,
}

/// What a reader was handed.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) account: String,
    pub(crate) filter: String,
    pub(crate) qos: QoS,
    pub(crate) messages: Vec<Message>,
}

impl Reader {
    /// Makes the session.
    pub(crate) fn subscribe(
        dial: Dial,
        account: &str,
        filter: &str,
        qos: QoS,
        random: Random,
    ) -> Self {
        let mut client = Client::connect(dial).unwrap();
        assert_eq!(client.subscribe(&[(filter, qos)]), Ok(vec![qos as u8]));
        Self {
            account: account.to_owned(),
            filter: filter.to_owned(),
            qos,
            client,
            connected: true,
            random,
            messages: Vec::new(),
            ends: 0,
        }
    }

    /// Reads round after round; in the last until `ends` places have come to their end.
    pub(crate) fn spawn(mut self, stage: &Arc<Stage>, ends: usize) -> JoinHandle<Seen> {
        let stage = Arc::clone(stage);
        std::thread::spawn(move || {
            let mut seen = 0;
            loop {
                let round = stage.next_round(&mut seen);
                let last = matches!(round, Round::Last(_));
                if !last && self.random.below(MISSED) == 0 {
                    self.client.drop_connection();
                    self.connected = false;
                    continue;
                }
                let end = self.read(ends);
                self.connected = false;
                match end {
                    Ok(()) => return self.close(),
                    Err(ClientError::Lost(_)) if !last => {}
                    Err(error) => panic!("{}: {error} in {round:?}", self.account),
                }
            }
        })
    }

    fn read(&mut self, ends: usize) -> Result<(), ClientError> {
        if !self.connected {
            let present = self.client.reconnect()?;
            assert!(present, "{}: the session is gone", self.account);
            self.connected = true;
        }
        loop {
            if self.ends >= ends {
                return Ok(());
            }
            match self.client.event(Instant::now() + PATIENCE)? {
                Some(Event::Message) => {
                    let messages = self.client.take_inbox();
                    self.ends += messages
                        .iter()
                        .filter(|message| text(message) == END)
                        .count();
                    self.messages.extend(messages);
                }
                Some(_) => {}
                None => panic!(
                    "{}: nothing came for {} in {PATIENCE:?}, after {} messages",
                    self.account,
                    self.filter,
                    self.messages.len()
                ),
            }
        }
    }

    fn close(self) -> Seen {
        Seen {
            account: self.account,
            filter: self.filter,
            qos: self.qos,
            messages: self.messages,
        }
    }
}

/// The text of a conversation's message, or of an ordinary one.
fn text(message: &Message) -> String {
    if message.topic.starts_with("im/") {
        let text = message.json()["text"].as_str().map(str::to_owned);
        text.expect("a message has a text")
    } else {
        message.text().to_owned()
    }
}
