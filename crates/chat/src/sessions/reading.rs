//! One reading of the store per session at a time: what a device asks, and how its conversations are.

use std::collections::BTreeSet;

use records::{ConversationId, SessionRef};

use crate::refusal::Refusal;
use crate::sessions::queries::{Question, Reading};
use crate::sessions::reply::{self, ReplyTo};
use crate::sessions::{Context, Sessions, Timer};

/// Conversations described in one reading.
const DESCRIBED_MAX: usize = 64;
/// How long after a failed reading the same is read again; each time it fails again, twice as long.
const AGAIN_MILLIS: u64 = 5_000;
/// After so many times, which are five minutes, what cannot be described is told with its next change.
const TRIES_MAX: u32 = 6;

impl Sessions {
    /// Whether a question of a session that needs the store would be read or kept. Asked before it is prepared, which is work too.
    pub(super) fn check_turn(
        &mut self,
        session: SessionRef,
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        if !self.devices.has_pending(session) {
            return Ok(());
        }
        let most = self.settings.questions_waiting_max;
        match self.devices.pending(session) {
            Some(pending) if pending.is_busy(context.now) && !pending.has_room(most) => {
                self.counters.reads_refused += 1;
                Err(Refusal::unavailable())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Reads something for a session: now, or after what is being read for it. Refused if too much waits already.
    pub(super) fn ask_store(&mut self, to: ReplyTo, question: Question, context: Context<'_>) {
        let most = self.settings.questions_waiting_max;
        let Some(pending) = self.devices.pending(to.session) else {
            self.read(Reading::Question { to, question });
            return;
        };
        if !pending.is_busy(context.now) {
            pending.begin(context.now);
            self.read(Reading::Question { to, question });
        } else if pending.has_room(most) {
            pending.wait(to, question);
        } else {
            self.counters.reads_refused += 1;
            let refused = reply::error(&Refusal::unavailable());
            self.deliver(to.delivery(refused));
        }
    }

    /// What was read for a session has been read, or refused; these conversations could not be described.
    pub(super) fn read_done(
        &mut self,
        session: SessionRef,
        again: Vec<ConversationId>,
        context: Context<'_>,
    ) {
        if !self.devices.has_pending(session) {
            return;
        }
        if let Some(pending) = self.devices.pending(session) {
            pending.end();
            if again.is_empty() && pending.undescribed.is_empty() {
                pending.tries = 0;
            }
        }
        self.describe_again(session, again, context);
        self.pump(session, context);
    }

    /// These conversations could not be described for a session.
    pub(super) fn describe_again(
        &mut self,
        session: SessionRef,
        again: Vec<ConversationId>,
        context: Context<'_>,
    ) {
        if again.is_empty() {
            return;
        }
        let Some(pending) = self.devices.pending(session) else {
            return;
        };
        if pending.undescribed.is_empty() {
            if pending.tries == TRIES_MAX {
                pending.tries = 0;
                return;
            }
            let due = context.now.saturating_add(AGAIN_MILLIS << pending.tries);
            pending.tries += 1;
            self.timers.set(due, Timer::Describe(session));
        }
        pending.undescribed.extend(again);
    }

    /// What could not be described is tried again.
    pub(super) fn describe_due(&mut self, session: SessionRef, context: Context<'_>) {
        if !self.devices.has_pending(session) {
            return;
        }
        if let Some(pending) = self.devices.pending(session) {
            let again = std::mem::take(&mut pending.undescribed);
            pending.due.extend(again);
        }
        self.pump(session, context);
    }

    /// Goes on with what waits for a session.
    pub(super) fn pump(&mut self, session: SessionRef, context: Context<'_>) {
        let Some((account, since)) = self.devices.account_and_since(session) else {
            return;
        };
        let Some(pending) = self.devices.pending(session) else {
            return;
        };
        if !pending.is_busy(context.now) {
            if let Some((to, question)) = pending.next() {
                pending.begin(context.now);
                self.read(Reading::Question { to, question });
            } else if !pending.resumed.is_empty() || !pending.due.is_empty() {
                pending.begin(context.now);
                let (taken, upto) = if pending.resumed.is_empty() {
                    (take_some(&mut pending.due), None)
                } else {
                    (take_some(&mut pending.resumed), since)
                };
                let names = self.names_for(account, context);
                self.read(Reading::About {
                    session,
                    account,
                    conversations: taken,
                    upto,
                    names,
                });
            }
        }
        self.devices.tidy(session);
    }
}

/// As many as are described in one reading.
fn take_some(conversations: &mut BTreeSet<ConversationId>) -> Vec<ConversationId> {
    let mut taken = Vec::new();
    while taken.len() < DESCRIBED_MAX
        && let Some(id) = conversations.pop_first()
    {
        taken.push(id);
    }
    taken
}
