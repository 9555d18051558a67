//! A turn of the event loop, and what was deferred to it: whatever a client can make long is done in pieces, so that nobody else
//! waits for more than one. What a piece does is in the files that defer it.

use records::{Millis, Moment};

use crate::shard::Shard;
use crate::turn::deferred::DeferredWork;

impl Shard {
    /// A turn begins, in which what is received was read about `at`: what the last one did no longer counts.
    pub fn begin_turn(&mut self, at: Moment) {
        self.turn.begin();
        self.metrics.latencies.begin_turn(at);
        self.outputs.drop_delivered_forwards();
    }

    /// Whether it is to be told with [`Self::end_turn`] when what this turn had to say was written.
    pub fn measures(&self) -> bool {
        !self.metrics.latencies.is_idle()
    }

    /// What this turn had to say is written, as far as sockets took it.
    pub fn end_turn(&mut self, at: Moment) {
        self.metrics.latencies.written(at);
    }

    /// Whether work was deferred so that what waits can be written first.
    pub fn has_deferred(&self) -> bool {
        self.turn.has_deferred()
    }

    /// Goes on with what was deferred, for a while.
    pub fn resume_deferred(&mut self, now: Millis) {
        for _ in 0..self.turn.begin_deferred() {
            if self.turn.is_spent() {
                break;
            }
            let Some(id) = self.turn.next_read() else {
                break;
            };
            self.resume(id, now);
        }
        // Neither holds up the other.
        self.turn.begin();
        while let Some(work) = self.turn.next_deferred() {
            self.run(work, now);
        }
        self.hand_over();
    }

    fn run(&mut self, work: DeferredWork, now: Millis) {
        match work {
            DeferredWork::Pump(slot, serial) => {
                if let Some(session) = self.sessions.get_mut(slot, serial) {
                    session.pump_deferred = false;
                    self.pump(slot, now);
                }
            }
            DeferredWork::Retained(slot, serial) => {
                if self.sessions.is_still(slot, serial) {
                    self.run_retained_slice(slot, now);
                }
            }
            DeferredWork::EndedSession {
                slot,
                serial,
                number,
            } => {
                assert_eq!(
                    self.sessions[slot].serial, serial,
                    "it keeps its place until this is done"
                );
                self.drop_ended_subscriptions(slot, number, now);
            }
            DeferredWork::Shares { slot, serial, left } => {
                if self.sessions.is_still(slot, serial) {
                    self.announce_some_shares(slot, left, now);
                }
            }
            DeferredWork::Fanout => self.continue_fanout(now),
            DeferredWork::AccountDelivery => self.continue_account_delivery(now),
            DeferredWork::FilterRequest(filters) => self.continue_filters(*filters, now),
            DeferredWork::Close(closing) => self.close_some(closing, now),
            DeferredWork::Redirect { next } => self.redirect_some(next, now),
            DeferredWork::Access { next } => self.check_some_access(next, now),
            DeferredWork::Shed(shedding) => self.shed_some(shedding, now),
            DeferredWork::Census(census) => self.count_some(*census),
        }
    }

    /// Lists a session for the next turn.
    pub(crate) fn defer_pump(&mut self, slot: u32) {
        let session = &mut self.sessions[slot];
        if !std::mem::replace(&mut session.pump_deferred, true) {
            let serial = session.serial;
            self.turn.defer(DeferredWork::Pump(slot, serial));
        }
    }
}
