//! One exchange of enhanced authentication: whose turn it is, and what is remembered between two steps. It acts on
//! nothing; that is `enhanced`.

use std::sync::Arc;

use crate::settings::Limits;

/// What a connection with an authentication method remembers, as long as it lasts.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The method of its CONNECT.
    pub(crate) method: Arc<str>,
    /// The user name of its CONNECT, which has to be the one that is proved.
    pub(crate) claimed: Option<Box<str>>,
    /// What the method wants to know again at its next step.
    pub(crate) state: Box<[u8]>,
    /// The last data, for CONNACK.
    pub(crate) last: Option<Box<[u8]>>,
    pub(crate) awaiting: Awaiting,
    steps: u16,
}

/// Who has the next word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaiting {
    /// A verdict is being made.
    Verdict,
    /// The client's AUTH is awaited.
    Client,
    /// No exchange is under way.
    Nothing,
}

impl Exchange {
    /// Whether the client's AUTH is awaited.
    pub(crate) fn awaits_client(&self) -> bool {
        self.awaiting == Awaiting::Client
    }

    /// What a successful CONNACK repeats: the method, and the last data.
    pub(crate) fn connack_properties(&self) -> (&str, Option<&[u8]>) {
        (&self.method, self.last.as_deref())
    }

    /// CONNACK has said it.
    pub(crate) fn settle(&mut self) {
        (self.last, self.claimed) = (None, None);
    }

    /// The exchange of a CONNECT, before its first step.
    pub(crate) fn new(method: &str, claimed: Option<&str>) -> Self {
        Self {
            method: method.into(),
            claimed: claimed.map(Into::into),
            state: Box::default(),
            last: None,
            awaiting: Awaiting::Nothing,
            steps: 0,
        }
    }

    /// A client's step; false if it is one too many or too large.
    pub(crate) fn take(&mut self, data: Option<&[u8]>, limits: &Limits) -> bool {
        self.steps = self.steps.saturating_add(1);
        self.awaiting = Awaiting::Verdict;
        self.steps <= limits.exchange_steps_max
            && data.is_none_or(|data| data.len() <= limits.exchange_bytes_max)
    }

    /// The exchange is over; another may begin.
    pub(crate) fn end(&mut self) {
        self.state = Box::default();
        self.awaiting = Awaiting::Nothing;
        self.steps = 0;
    }
}
