//! The order in which one publisher's messages of one topic and QoS reach a session. [3.1.1 MQTT-4.6.0-6]
//! [5 MQTT-4.6.0-6] It looks at nothing but sequence.

use super::{MessageNumber, Moment};

/// What has an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stream {
    /// The publisher's session: what it sent on an earlier one is another matter.
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) published: u8,
    pub(crate) delivered: u8,
}

/// How far a stream has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The newest message that has come.
    newest: MessageNumber,
    /// Of the publisher's sendings, repeated ones too, the one that was delivered last in this life of the
    /// server.
    sending: Moment,
    life: usize,
}

impl Progress {
    /// A message that is not a repetition has come; the error says behind what it may not come. `sendings` tells when its publisher sent it, and sent it again.
    /// `life` counts the server's starts.
    pub(super) fn keep_order(
        &mut self,
        number: MessageNumber,
        sendings: &[Moment],
        life: usize,
        first: bool,
    ) -> Result<(), String> {
        let newest = self.newest;
        if first && newest > number && sendings.len() == 1 {
            return Err(format!("m{newest}, which was published later"));
        }
        self.newest = newest.max(number);
        if self.life != life {
            // What was under way when the server died comes again.
            self.life = life;
            self.sending = 0;
        }
        let Some(sending) = sendings.iter().find(|sending| **sending > self.sending) else {
            return Err("what its publisher sent later".to_owned());
        };
        self.sending = *sending;
        Ok(())
    }
}
