//! One client that writes while the server is killed, and resends what it has no acknowledgement for: with a
//! persistent session as the protocol says, without one by publishing the same `mid` again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Client, ClientError, Dial, Event, PATIENCE, QoS};
use serde_json::json;

use super::ledger::{Ledger, Place, conversation};
use super::stage::{Round, Stage};

/// Messages of one writer in one round; below what an account may send in a burst.
pub const ROUND_MAX: usize = 120;
/// Messages under way at once.
const WINDOW: usize = 8;
/// How often a writer that nothing comes for looks whether the round still goes on.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a writer's connection leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Nothing: it publishes the same `mid` again.
    Clean,
    /// A session, in which it resends as the protocol says.
    Persistent,
}

/// One that writes.
#[derive(Debug)]
pub struct Writer {
    /// Its account or, on ordinary topics, its device: the beginning of every message's id.
    pub name: String,
    /// How it connects.
    pub dial: Dial,
    /// What it writes at.
    pub qos: QoS,
    /// What it leaves behind when its connection ends.
    pub session: Session,
    /// Where it writes to, in turn.
    pub places: Vec<Place>,
}

#[derive(Debug, Clone)]
struct Letter {
    place: Place,
    id: String,
}

struct Desk {
    writer: Writer,
    ledger: Arc<Ledger>,
    stage: Arc<Stage>,
    client: Option<Client>,
    written: usize,
    /// By packet id. In a persistent session they live as long as the session does.
    under_way: BTreeMap<u16, Letter>,
    /// QoS 2: acknowledged, but its flow has not ended.
    ending: BTreeMap<u16, Letter>,
    again: VecDeque<Letter>,
}

impl Writer {
    /// Writes round after round, on a thread of its own, until everything is acknowledged in the last.
    pub fn spawn(self, stage: &Arc<Stage>, ledger: &Arc<Ledger>) -> JoinHandle<()> {
        let mut desk = Desk {
            writer: self,
            ledger: Arc::clone(ledger),
            stage: Arc::clone(stage),
            client: None,
            written: 0,
            under_way: BTreeMap::new(),
            ending: BTreeMap::new(),
            again: VecDeque::new(),
        };
        std::thread::spawn(move || {
            let mut seen = 0;
            loop {
                let round = desk.stage.next_round(&mut seen);
                match (desk.work(round), round) {
                    (Ok(()), Round::Last(_)) => return,
                    (Err(end), _) if round.explains(&end) => {}
                    (end, _) => panic!("{}: {end:?} in {round:?}", desk.writer.name),
                }
            }
        })
    }
}

impl Desk {
    /// Writes until the connection is lost, or, in the last round, until everything is acknowledged.
    fn work(&mut self, round: Round) -> Result<(), ClientError> {
        self.connect()?;
        let quota = match round {
            Round::Busy(_) => ROUND_MAX,
            Round::Last(_) => 0,
        };
        let mut fresh = 0;
        loop {
            while self.under_way.len() < WINDOW {
                if let Some(letter) = self.again.pop_front() {
                    self.send(letter)?;
                } else if fresh < quota {
                    fresh += 1;
                    let letter = self.next_letter();
                    self.send(letter)?;
                } else {
                    break;
                }
            }
            let done = self.under_way.is_empty() && self.ending.is_empty() && self.again.is_empty();
            if done && matches!(round, Round::Last(_)) {
                return Ok(());
            }
            self.take(round)?;
        }
    }

    fn connect(&mut self) -> Result<(), ClientError> {
        if self.writer.session == Session::Persistent
            && let Some(client) = &mut self.client
        {
            let present = client.reconnect()?;
            assert!(present, "{}: the session is gone", self.writer.name);
            return Ok(());
        }
        // The session went with the connection; the same mid makes the same message of it.
        self.again
            .extend(std::mem::take(&mut self.under_way).into_values());
        self.ending.clear();
        self.client = None;
        let dial = self.writer.dial.clone();
        let mut client = Client::connect(match self.writer.session {
            Session::Clean => dial,
            Session::Persistent => dial.persistent(),
        })?;
        if self.writer.places.iter().any(|place| place.is_conversation) {
            client.subscribe(&[("im/ack/+", QoS::AtLeastOnce)])?;
        }
        self.client = Some(client);
        Ok(())
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("connected before")
    }

    fn next_letter(&mut self) -> Letter {
        self.written += 1;
        Letter {
            place: self.writer.places[self.written % self.writer.places.len()].clone(),
            id: format!("{}-{}", self.writer.name, self.written),
        }
    }

    fn send(&mut self, letter: Letter) -> Result<(), ClientError> {
        let body = if letter.place.is_conversation {
            json!({"mid": letter.id, "text": format!("text of {}", letter.id)}).to_string()
        } else {
            letter.id.clone()
        };
        let qos = self.writer.qos;
        self.ledger.sent(&letter.place, &letter.id);
        let sent = self.client().send(&letter.place.topic, body, qos);
        // Left or not, it is under way in the client's half of the session.
        let packet_id = self.client().last_packet_id();
        let before = self.under_way.insert(packet_id, letter);
        assert!(
            before.is_none(),
            "packet id {packet_id} is under way already"
        );
        sent.map(drop)
    }

    fn take(&mut self, round: Round) -> Result<(), ClientError> {
        let event = self.await_event(round)?;
        match event {
            Event::Acknowledged(ack) => {
                assert!(ack.reason < 0x80, "{}: {ack:?}", self.writer.name);
                // PUBREC comes again when the PUBREL that answered it was lost.
                if let Some(letter) = self.under_way.remove(&ack.packet_id) {
                    self.ledger.acknowledged(&letter.place, &letter.id);
                    self.stage.acknowledge();
                    if self.writer.qos == QoS::ExactlyOnce {
                        self.ending.insert(ack.packet_id, letter);
                    }
                }
            }
            Event::Completed(packet_id) => drop(self.ending.remove(&packet_id)),
            Event::Message => self.note_answers(),
            Event::Subscribed(..) | Event::Pong | Event::Flow => {}
        }
        Ok(())
    }

    fn await_event(&mut self, round: Round) -> Result<Event, ClientError> {
        let since = Instant::now();
        loop {
            if let Some(event) = self.client().event(Instant::now() + LOOK_EVERY)? {
                return Ok(event);
            }
            if !self.stage.goes_on(round) {
                self.client().drop_connection();
                return Err(ClientError::Lost("the stage closed".to_owned()));
            }
            let is_owed = !self.under_way.is_empty() || !self.ending.is_empty();
            assert!(
                !is_owed || since.elapsed() < PATIENCE,
                "{}: nothing came in {PATIENCE:?}; not acknowledged {:?}; not completed {:?}",
                self.writer.name,
                self.under_way,
                self.ending
            );
        }
    }

    /// `im/ack/<mid>`: the message's place in its conversation.
    fn note_answers(&mut self) {
        for message in self.client().take_inbox() {
            let id = message
                .topic
                .strip_prefix("im/ack/")
                .expect("nothing else is subscribed to");
            let answer = message.json();
            assert_eq!(answer["ok"], true, "{}: {answer}", message.topic);
            let conv = answer["conv"]
                .as_str()
                .expect("an answer names its conversation");
            let seq = answer["seq"].as_u64().expect("an answer names its seq");
            self.ledger
                .told(&conversation(&self.writer.name, conv), id, seq);
        }
    }
}
