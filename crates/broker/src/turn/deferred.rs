//! What can be deferred to a later turn, as far as it has come. Data only: what a piece does is in the files that defer it.

use mqtt_codec::ReasonCode;
use records::{SessionNumber, Stamp};

use crate::authentication::closed::Closed;
use crate::metrics::collected::Waits;
use crate::metrics::counters::SlowClient;
use crate::stored::shed_order::Shedding;
use crate::stored::survey::Survey;
use crate::subscriptions::filter_request::FilterRequest;

/// Something that goes on in a later turn.
#[derive(Debug)]
pub(crate) enum DeferredWork {
    /// What waits for a session: slot and serial.
    Pump(u32, u32),
    /// A slice of the retained messages for a new subscription of a session: slot and serial.
    Retained(u32, u32),
    /// The rest of a long SUBSCRIBE or UNSUBSCRIBE.
    FilterRequest(Box<FilterRequest>),
    /// The subscriptions of a session that has ended.
    EndedSession {
        /// Its place, which it keeps until none is left.
        slot: u32,
        /// Given to what is left of it.
        serial: u32,
        /// What their records stand under; zero if there are none, or if they are deleted already.
        number: SessionNumber,
    },
    /// The rest of a session's groups, which are told that it has come or gone.
    Shares {
        /// The session.
        slot: u32,
        /// Its serial.
        serial: u32,
        /// How many are left, from the first on.
        left: usize,
    },
    /// The next recipients of a message that has very many.
    Fanout,
    /// The next accounts of a delivery that has very many.
    AccountDelivery,
    /// The rest of an account's connections.
    Close(Closing),
    /// The rest of the connections that are sent to another server.
    Redirect {
        /// The slot looked at next.
        next: u32,
    },
    /// The rest of the sessions whose subscriptions and wills are checked against a changed access list.
    Access {
        /// The slot looked at next.
        next: u32,
    },
    /// The rest of the sessions that may have to lose their oldest stored messages.
    Shed(Shedding),
    /// The rest of the sessions whose waiting messages are counted.
    Census(Box<Census>),
}

/// What waits for all sessions, counted in pieces.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// The slot looked at next.
    pub(crate) next: u32,
    pub(crate) lowest: Stamp,
    pub(crate) waiting: Waits,
    pub(crate) survey: Option<Box<Survey>>,
    /// For which connected clients most waits, the most first.
    pub(crate) slowest: Vec<SlowClient>,
}

/// Clients whose connections are closed, piece by piece.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) closed: Closed,
    pub(crate) reason: ReasonCode,
    /// The slot looked at next.
    pub(crate) next: u32,
}

impl Closing {
    pub(crate) fn new(closed: Closed, reason: ReasonCode) -> Self {
        Self {
            closed,
            reason,
            next: 0,
        }
    }
}
