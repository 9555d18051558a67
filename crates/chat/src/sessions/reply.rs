//! Where the answer to a question goes, how large it gets, and what it says when there is none.

use bytes::Bytes;
use records::{Moment, SessionRef};

use crate::format::wire;
use crate::refusal::Refusal;
use crate::sessions::delivery::{self, Answer, Audience, Delivery, Packet};
use crate::stored::source::Unreadable;

/// Bytes of one answer, so that it fits the packets of ordinary clients.
pub(crate) const PAGE_BYTES_MAX: usize = 256 * 1024;

/// Where an answer goes.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    pub(crate) session: SessionRef,
    pub(crate) topic: Box<str>,
    pub(crate) correlation: Option<Bytes>,
}

impl ReplyTo {
    /// The answer, from the store.
    pub(crate) fn answer(self, found: Result<Bytes, Unreadable>) -> Answer {
        let payload = found.unwrap_or_else(|Unreadable| error(&Refusal::unavailable()));
        Answer::Deliver(vec![self.delivery(payload)])
    }

    /// The answer, from memory.
    pub(crate) fn delivery(self, payload: Bytes) -> Delivery {
        Delivery {
            audience: Audience::Session(self.session),
            packets: vec![Packet {
                correlation: self.correlation,
                ..delivery::packet(self.topic.into(), payload)
            }],
            pos: None,
            floor: records::Pos::ZERO,
            publisher: None,
            expires_at: None,
            receipt: None,
            read_at: Moment::UNKNOWN,
        }
    }
}

/// The answer to a question that cannot be answered.
pub(crate) fn error(refusal: &Refusal) -> Bytes {
    wire::failed(refusal)
}

/// A truth value in JSON.
pub(crate) fn truth(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}
