//! What a client published, to the room that deals with it, and the word on it. Must not know what the rooms do.

use records::{AccountId, Millis};

use crate::chat::Chat;
use crate::door::{Output, Publish};
use crate::log::Batch;
use crate::message;
use crate::refusal::Refusal;
use crate::source::Source;
use crate::topic::{self, Topic, Verb};

impl Chat {
    /// A client published under `im/`.
    pub(crate) fn publish(&mut self, mut publish: Publish, source: &dyn Source, now: Millis) {
        let attach = std::mem::take(&mut publish.attach);
        let mut batch = Batch::default();
        match self.route(&publish, &mut batch, source, now) {
            Ok(()) => {
                if let Some(ack) = publish.ack {
                    let session = publish.session;
                    let acknowledged = Output::Acknowledge {
                        session,
                        ack,
                        outcome: Ok(()),
                    };
                    // The sender is the one who waits.
                    batch.effects.insert(0, acknowledged);
                }
                batch.writes.extend(attach);
                self.commit(batch, now);
            }
            Err(refusal) => {
                self.counters.publishes_refused += 1;
                if let Some(ack) = publish.ack {
                    let session = publish.session;
                    self.log.tell(Output::Acknowledge {
                        session,
                        ack,
                        outcome: Err(refusal),
                    });
                }
            }
        }
    }

    /// A refusal changes nothing: rooms check everything before they touch anything.
    fn route(
        &mut self,
        publish: &Publish,
        batch: &mut Batch,
        source: &dyn Source,
        now: Millis,
    ) -> Result<(), Refusal> {
        let topic = topic::parse(&publish.topic);
        let topic = match self
            .admit(publish.account)
            .and(topic.ok_or_else(Refusal::unknown_topic))
            .and_then(|topic| self.check_room(topic))
        {
            Ok(topic) => topic,
            Err(refusal) => {
                // Who sent a message waits for a word on it, whatever became of it.
                if let Some(Topic::Send { .. }) = topic {
                    let mid = message::mid(&publish.payload);
                    self.tell_refused(publish, mid.as_deref(), &refusal);
                }
                return Err(refusal);
            }
        };
        match topic {
            Topic::Send { conv } => self.send(publish, conv, batch, source, now),
            Topic::Verb { conv, verb } => match verb {
                Verb::Read => self.read(publish, conv, batch, now),
                Verb::Typing => self.typing(publish, conv, now),
                Verb::Edit | Verb::Delete | Verb::React | Verb::Pin => {
                    Err(Refusal::not_supported(&publish.topic))
                }
            },
            Topic::Status => self.set_status(publish, now),
            Topic::Active => self.set_active(publish, now),
            Topic::Ask { method, rid } => self.ask(publish, method, rid, batch, now),
        }
    }

    /// Whether there is room on the disk for what is published to a topic. A question says itself whether it stores something.
    fn check_room<'t>(&mut self, topic: Topic<'t>) -> Result<Topic<'t>, Refusal> {
        match topic {
            Topic::Send { .. } if self.disk_full => {
                self.counters.disk_full_refused += 1;
                Err(Refusal::disk_full())
            }
            // A marker replaces the one before it.
            Topic::Send { .. }
            | Topic::Verb { .. }
            | Topic::Status
            | Topic::Active
            | Topic::Ask { .. } => Ok(topic),
        }
    }

    /// Whether anything can be taken from an account at all.
    fn admit(&mut self, account: AccountId) -> Result<(), Refusal> {
        let Some(account) = self.directory.find(account) else {
            self.counters.strays += 1;
            return Err(Refusal::not_allowed("this account does not exist"));
        };
        if account.record.removed || account.record.disabled {
            return Err(Refusal::not_allowed("this account is closed"));
        }
        if self.log.full() {
            self.counters.appends_refused += 1;
            return Err(Refusal::unavailable());
        }
        Ok(())
    }
}
