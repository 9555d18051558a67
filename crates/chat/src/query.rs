//! A question to the store that may take a while: made by the messenger, run elsewhere. It must not change anything: it holds a copy of
//! what it needs.

use crate::conversations::reading as conversations;
use crate::sessions::delivery::Answer;
use crate::sessions::queries as sessions;
use crate::stored::source::Source;

/// Something to be read. Opaque to whoever runs it.
#[derive(Debug)]
pub struct Query(Work);

#[derive(Debug)]
enum Work {
    Conversations(conversations::Reading),
    Sessions(sessions::Reading),
}

/// What was read for the messenger, to be given back with [`crate::Input::Found`]. Opaque to whoever reads.
#[derive(Debug)]
pub struct Found(pub(crate) Finding);

#[derive(Debug)]
pub(crate) enum Finding {
    Conversations(conversations::Finding),
    Sessions(sessions::Finding),
}

/// What reading has come to.
#[derive(Debug)]
pub struct Read {
    /// For devices.
    pub answer: Option<Answer>,
    /// For the messenger, after the answer has gone out: what it says next is newer.
    pub found: Found,
}

impl Query {
    pub(crate) fn of_conversations(reading: conversations::Reading) -> Self {
        Self(Work::Conversations(reading))
    }

    pub(crate) fn of_sessions(reading: sessions::Reading) -> Self {
        Self(Work::Sessions(reading))
    }

    /// What it comes to when there is no room to run this.
    pub fn refuse(self) -> Read {
        match self.0 {
            Work::Conversations(reading) => Read::of_conversations(reading.refuse()),
            Work::Sessions(reading) => Read::of_sessions(reading.refuse()),
        }
    }

    /// Reads what is wanted and builds the answer. If the store cannot be read, the answer is that of [`Query::refuse`].
    pub fn run(self, source: &dyn Source) -> Read {
        match self.0 {
            Work::Conversations(reading) => Read::of_conversations(reading.run(source)),
            Work::Sessions(reading) => Read::of_sessions(reading.run(source)),
        }
    }
}

impl Read {
    fn of_conversations(finding: conversations::Finding) -> Self {
        Self {
            answer: None,
            found: Found(Finding::Conversations(finding)),
        }
    }

    fn of_sessions((answer, finding): sessions::Outcome) -> Self {
        Self {
            answer,
            found: Found(Finding::Sessions(finding)),
        }
    }
}
