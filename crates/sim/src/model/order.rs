//! The order in which one publisher's messages of one topic and QoS reach a session. [3.1.1 MQTT-4.6.0-6]
//! [5 MQTT-4.6.0-6] It looks at nothing but sequence.

use super::session::Session;
use super::{MessageNumber, Moment, Verdict};

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

impl Session {
    /// A message that is not a repetition has come. `sendings` tells when its publisher sent it, and sent it again.
    pub(super) fn keep_order(
        &mut self,
        number: MessageNumber,
        sendings: &[Moment],
        stream: Stream,
        first: bool,
    ) -> Verdict {
        let client = self.client;
        let topic = stream.topic.clone();
        let life = self.life;
        let progress = self.order.entry(stream).or_default();
        let newest = progress.newest;
        if first && newest > number && sendings.len() == 1 {
            return Err(format!(
                "[MQTT-4.6.0-6] client {client} got m{number} on {topic} after m{newest}, which was published later"
            ));
        }
        progress.newest = newest.max(number);
        if progress.life != life {
            // What was under way when the server died comes again.
            progress.life = life;
            progress.sending = 0;
        }
        let Some(sending) = sendings.iter().find(|sending| **sending > progress.sending) else {
            return Err(format!(
                "[MQTT-4.6.0-6] client {client} got m{number} on {topic} after what its publisher sent later"
            ));
        };
        progress.sending = *sending;
        Ok(())
    }
}
