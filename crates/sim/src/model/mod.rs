//! What MQTT promises, as the clients can see it: what was asked, what was answered, what was delivered. It is
//! written from the specification, knows nothing of the broker's insides, and compares every filter with every
//! topic. It must not call `routing` or `mqtt-session`.
//!
//! The server decides between a request and its answer, at a moment nobody sees. So every fact has two edges:
//! from when it is possible and from when it is sure.

mod delivery;
mod expiry;
mod order;
mod retained;
mod session;
mod topics;
mod verdict;

use std::collections::BTreeMap;

pub(crate) use delivery::Repeated;
pub(crate) use session::Session;

/// Fine, or what is wrong in one sentence.
pub(crate) use crate::run::Verdict;

/// A moment; the model counts what it is told.
pub(crate) type Moment = u64;

/// After everything.
pub(crate) const NEVER: Moment = u64::MAX;

/// A client, by its place in the world.
pub(crate) type ClientNumber = usize;

/// An application message, by its place in the model; its payload carries the number.
pub(crate) type MessageNumber = usize;

/// What a client published, or left as its will.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) publisher: ClientNumber,
    /// The session it was published in.
    pub(crate) session: usize,
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) payload: Vec<u8>,
    /// Message Expiry Interval in seconds.
    pub(crate) expiry: Option<u32>,
    /// How often the publisher sent it, so that the server may have taken it for so many messages.
    pub(crate) sends: u32,
    pub(crate) sent: Moment,
    /// When its publisher read the acknowledgement: it is processed.
    pub(crate) done: Moment,
    /// The same in the world's time.
    pub(crate) sent_at: u64,
    pub(crate) done_at: u64,
    /// The acknowledgement was a refusal.
    pub(crate) refused: bool,
    /// It is a will: nobody sends it, and it may never come.
    pub(crate) will: bool,
}

/// How a message reached a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy {
    pub(crate) at: Moment,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
}

/// The copies of each message that a session got.
pub(crate) type Got = BTreeMap<MessageNumber, Vec<Copy>>;

/// Everything the clients know together.
#[derive(Debug)]
pub(crate) struct Model {
    now: Moment,
    /// The world's time, in milliseconds.
    pub(crate) time: u64,
    pub(crate) messages: Vec<Message>,
    pub(crate) sessions: Vec<Session>,
    /// Each client's session, as far as the client knows.
    current: Vec<Option<usize>>,
    connecting: Vec<Option<session::Connecting>>,
    /// A CONNECT that was never answered may have made a session, or will once there is none.
    maybe_made: Vec<bool>,
    /// When each message was sent, and sent again.
    sendings: Vec<Vec<Moment>>,
    crashes: Vec<Moment>,
    expiry_max: u32,
}

impl Model {
    pub(crate) fn new(clients: usize, expiry_max: u32) -> Self {
        Self {
            now: 0,
            time: 0,
            messages: Vec::new(),
            sessions: Vec::new(),
            current: vec![None; clients],
            connecting: vec![None; clients],
            maybe_made: vec![false; clients],
            sendings: Vec::new(),
            crashes: Vec::new(),
            expiry_max,
        }
    }

    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// The server died and came back.
    pub(crate) fn crashed(&mut self) {
        let at = self.tick();
        self.crashes.push(at);
    }

    pub(crate) fn crashes(&self) -> usize {
        self.crashes.len()
    }

    fn crashes_since(&self, moment: Moment) -> usize {
        self.crashes.iter().filter(|crash| **crash > moment).count()
    }

    /// A client publishes; returns the number that its payload carries.
    pub(crate) fn publish_sent(&mut self, mut message: Message) -> MessageNumber {
        let number = self.messages.len();
        message.sent = self.tick();
        message.done = NEVER;
        (message.sent_at, message.done_at) = (self.time, u64::MAX);
        message.session = self.current[message.publisher].unwrap_or(usize::MAX);
        message.payload = if message.payload.is_empty() {
            Vec::new()
        } else {
            payload(number, message.payload.len())
        };
        self.sendings.push(vec![message.sent]);
        self.messages.push(message);
        number
    }

    /// A client publishes again what was not acknowledged.
    pub(crate) fn publish_resent(&mut self, number: MessageNumber) {
        let now = self.tick();
        let message = &mut self.messages[number];
        // QoS 2 is the same message, however often its packet is repeated. [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]
        if message.qos < 2 {
            message.sends += 1;
            self.sendings[number].push(now);
        }
    }

    /// A client has read PUBACK or PUBREC, or whatever shows that the server has processed it.
    pub(crate) fn publish_done(&mut self, number: MessageNumber, refused: bool) {
        let now = self.tick();
        let message = &mut self.messages[number];
        message.done = message.done.min(now);
        message.done_at = message.done_at.min(self.time);
        message.refused |= refused;
    }

    pub(crate) fn session(&self, client: ClientNumber) -> Option<&Session> {
        self.current[client].map(|number| &self.sessions[number])
    }

    fn session_mut(&mut self, client: ClientNumber) -> Option<&mut Session> {
        self.current[client].map(|number| &mut self.sessions[number])
    }
}

/// A payload that tells its message, of about so many bytes.
fn payload(number: MessageNumber, bytes: usize) -> Vec<u8> {
    let mut payload = format!("m{number}.").into_bytes();
    payload.resize(bytes.max(payload.len()), b'x');
    payload
}

/// The message whose payload it is.
pub(crate) fn number_in(payload: &[u8]) -> Option<MessageNumber> {
    let text = std::str::from_utf8(payload).ok()?;
    text.strip_prefix('m')?.split_once('.')?.0.parse().ok()
}
