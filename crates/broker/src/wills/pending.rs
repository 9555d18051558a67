//! Wills that the messenger was given as messages and has not answered yet.

use std::collections::VecDeque;
use std::sync::Arc;

use records::AccountId;

/// The upper half of the numbers under which the messenger is told of wills: no connection has this serial.
const WILL_ACK: u64 = 0xFFFF_FFFF << 32;

/// The wills, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct PendingWills(VecDeque<PendingWill>);

/// Whose one is.
#[derive(Debug)]
pub(crate) struct PendingWill {
    ack: u64,
    pub(crate) account: Option<AccountId>,
    pub(crate) client_id: Arc<str>,
}

impl PendingWills {
    /// A client's will is given to the messenger, which answers under the number that is returned.
    pub(crate) fn push(&mut self, account: Option<AccountId>, client_id: Arc<str>) -> u64 {
        let last = self.0.back();
        let ack = last.map_or(WILL_ACK, |last| {
            WILL_ACK | (last.ack.wrapping_add(1) & u64::from(u32::MAX))
        });
        self.0.push_back(PendingWill {
            ack,
            account,
            client_id,
        });
        ack
    }

    /// The messenger has answered; `None` when that was no will.
    pub(crate) fn take(&mut self, ack: u64) -> Option<PendingWill> {
        let place = self.0.iter().position(|known| known.ack == ack)?;
        self.0.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_will_that_is_not_answered_has_a_number_of_its_own() {
        let mut wills = PendingWills::default();
        let first = wills.push(None, "a".into());
        let second = wills.push(None, "b".into());
        assert_ne!(first, second);
        assert_eq!(first >> 32, u64::from(u32::MAX));
        let taken = wills.take(second).map(|will| will.client_id);
        assert_eq!(taken.as_deref(), Some("b"));
        assert!(wills.take(second).is_none());
        assert_ne!(wills.push(None, "c".into()), first);
    }
}
