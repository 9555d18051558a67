//! Messages and sessions whose time is over: what must not come any more, what need not, and what of its time a message
//! has left. Moments are the world's milliseconds here, for expiry is the one promise that is about them.

use super::session::Session;
use super::{MessageNumber, Model, Verdict};
use crate::wire::Publish;

impl Model {
    /// Whether a PUBLISH that a session reads may still come, and tells the time that its message has left.
    /// [5 MQTT-3.3.2-5] [5 MQTT-3.3.2-6]
    pub(super) fn check_expiry(
        &self,
        session: &Session,
        number: MessageNumber,
        publish: &Publish,
    ) -> Verdict {
        let message = &self.messages[number];
        let client = session.client;
        let Some(seconds) = message.expiry else {
            return match publish.expiry {
                None => Ok(()),
                Some(_) => Err(format!("[MQTT-3.3.2-6] m{number} came with an expiry")),
            };
        };
        let life = u64::from(seconds) * 1000;
        // The server had it between its sending and its acknowledgement, and began its delivery between CONNECT and now.
        let waited_most = self.time.saturating_sub(message.sent_at);
        let waited_least = match message.sends {
            1 => session.connect_at.saturating_sub(message.done_at),
            _ => 0,
        };
        if waited_least >= life && !publish.dup {
            return Err(format!(
                "[MQTT-3.3.2-5] client {client} got m{number}, whose {seconds} s were over"
            ));
        }
        let left = |waited: u64| life.saturating_sub(waited).div_ceil(1000).max(1);
        let (least, most) = (left(waited_most), left(waited_least));
        let told = publish.expiry.map(u64::from);
        let right = told.is_some_and(|told| least <= told && told <= most);
        if session.v5 && !right {
            return Err(format!(
                "[MQTT-3.3.2-6] client {client} got m{number} with {told:?} s left where it was {least} to {most}"
            ));
        }
        Ok(())
    }

    /// Whether a message's time may be over by now.
    pub(super) fn may_have_expired(&self, number: MessageNumber) -> bool {
        let message = &self.messages[number];
        message.expiry.is_some_and(|seconds| {
            self.time >= message.sent_at.saturating_add(u64::from(seconds) * 1000)
        })
    }
}

impl Session {
    /// Whether it is surely over at a time, if the server has known since another one that its connection has ended.
    pub(super) fn is_surely_over(&self, disconnected_at: Option<u64>, time: u64) -> bool {
        // A CONNECT that was never answered may have prolonged it.
        let known = self.unanswered_until == u64::MAX && self.expiry != u32::MAX;
        known
            && disconnected_at
                .is_some_and(|at| time >= at.saturating_add(u64::from(self.expiry) * 1000))
    }
}
