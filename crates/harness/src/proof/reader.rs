//! One persistent session that reads while the server is killed, and misses a round now and then. It notes what it is
//! handed, in order.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Client, ClientError, Dial, Event, Message, PATIENCE, QoS};

use super::ledger::END;
use super::random::Random;
use super::stage::{Round, Stage};

/// One round in so many is missed.
const MISSED: u64 = 4;
/// How often a reader that nothing comes for looks whether the round still goes on.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One that reads.
pub struct Reader {
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
pub struct Seen {
    /// Who read.
    pub account: String,
    /// What it had subscribed to.
    pub filter: String,
    /// At this QoS.
    pub qos: QoS,
    /// In the order in which they came.
    pub messages: Vec<Message>,
}

impl Reader {
    /// Makes the session.
    pub fn subscribe(dial: Dial, account: &str, filter: &str, qos: QoS, random: Random) -> Self {
        let mut client = Client::connect(dial).expect("the server stays");
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
    pub fn spawn(mut self, stage: &Arc<Stage>, ends: usize) -> JoinHandle<Seen> {
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
                let end = self.read(ends, &stage, round);
                self.connected = false;
                match end {
                    Ok(()) => return self.close(),
                    Err(end) if round.explains(&end) => {}
                    Err(end) => panic!("{}: {end} in {round:?}", self.account),
                }
            }
        })
    }

    fn read(&mut self, ends: usize, stage: &Stage, round: Round) -> Result<(), ClientError> {
        if !self.connected {
            let present = self.client.reconnect()?;
            assert!(present, "{}: the session is gone", self.account);
            self.connected = true;
        }
        let mut heard = Instant::now();
        while self.ends < ends {
            match self.client.event(Instant::now() + LOOK_EVERY)? {
                Some(event) => {
                    heard = Instant::now();
                    if event == Event::Message {
                        self.take();
                    }
                }
                None if !stage.goes_on(round) => {
                    self.client.drop_connection();
                    return Err(ClientError::Lost("the stage closed".to_owned()));
                }
                None => assert!(
                    matches!(round, Round::Busy(_)) || heard.elapsed() < PATIENCE,
                    "{}: nothing came for {} in {PATIENCE:?}, after {} messages",
                    self.account,
                    self.filter,
                    self.messages.len()
                ),
            }
        }
        Ok(())
    }

    fn take(&mut self) {
        let messages = self.client.take_inbox();
        self.ends += messages
            .iter()
            .filter(|message| text(message) == END)
            .count();
        self.messages.extend(messages);
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
