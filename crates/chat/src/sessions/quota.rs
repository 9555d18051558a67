//! How often an account may do something: a token bucket that fills with time; and how much it may have.

use records::{AccountId, Millis};

use crate::refusal::Refusal;
use crate::sessions::Sessions;

/// One event costs a thousand, so that a millisecond fills a whole number.
const COST: u64 = 1_000;

/// What an account has used up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// In parts of an event; nothing is used up in the beginning.
    used: u64,
    at: Millis,
}

impl Bucket {
    /// Takes so many events out; if there are not so many, none is taken, and the error says in how many milliseconds there are.
    pub(crate) fn take(
        &mut self,
        events: usize,
        per_second: u32,
        burst: u32,
        now: Millis,
    ) -> Result<(), u64> {
        let cost = (events as u64).saturating_mul(COST);
        self.spend(cost, per_second, u64::from(burst.max(1)) * COST, now)
    }

    /// Takes one event out of a bucket that fills by the minute; not to be mixed with `take`.
    pub(crate) fn take_one(&mut self, per_minute: u32, burst: u32, now: Millis) -> Result<(), u64> {
        const COST: u64 = 60_000;
        self.spend(COST, per_minute, u64::from(burst.max(1)) * COST, now)
    }

    /// Gives events back that were taken in vain.
    pub(crate) fn give_back(&mut self, events: usize) {
        self.used = self
            .used
            .saturating_sub((events as u64).saturating_mul(COST));
    }

    fn spend(&mut self, cost: u64, per_milli: u32, most: u64, now: Millis) -> Result<(), u64> {
        let per_milli = u64::from(per_milli.max(1));
        let filled = now.since(self.at).saturating_mul(per_milli);
        let used = self.used.saturating_sub(filled).saturating_add(cost);
        if used > most {
            return Err((used - most).div_ceil(per_milli));
        }
        *self = Self { used, at: now };
        Ok(())
    }
}

impl Sessions {
    /// A message costs one of the account's messages, and so does every account that an invitation names.
    pub(super) fn take_message_quota(
        &mut self,
        account: AccountId,
        messages: usize,
        now: Millis,
    ) -> Result<(), Refusal> {
        let rate = self.settings.messages_per_second_max;
        let burst = self.settings.messages_burst_max;
        let state = self.state_of(account, now);
        let Err(millis) = state.messages.take(messages, rate, burst, now) else {
            return Ok(());
        };
        self.counters.quota_refused += 1;
        let sentence = format!("at most {rate} messages a second are taken, {burst} after a pause");
        // What costs more than there ever is: no pause helps.
        if messages > burst.max(1) as usize {
            return Err(Refusal::quota(sentence));
        }
        Err(Refusal::rate(millis, sentence))
    }

    /// A message that was stored before costs nothing.
    pub(super) fn give_back_message(&mut self, account: AccountId, now: Millis) {
        self.state_of(account, now).messages.give_back(1);
    }

    /// A question costs one of the account's questions, and so does listening to many things at once.
    pub(super) fn take_ask_quota(
        &mut self,
        account: AccountId,
        questions: usize,
        now: Millis,
    ) -> Result<(), Refusal> {
        let rate = self.settings.messages_per_second_max;
        let burst = self.settings.messages_burst_max;
        // What costs more than there ever is can be asked after a pause.
        let questions = questions.min(burst as usize).max(1);
        let state = self.state_of(account, now);
        let Err(millis) = state.asks.take(questions, rate, burst, now) else {
            return Ok(());
        };
        self.counters.quota_refused += 1;
        Err(Refusal::rate(
            millis,
            format!("at most {rate} questions a second are answered, {burst} after a pause"),
        ))
    }

    pub(super) fn take_group_quota(
        &mut self,
        account: AccountId,
        now: Millis,
    ) -> Result<(), Refusal> {
        let most = self.settings.groups_per_minute_max;
        let burst = most.saturating_mul(2);
        let state = self.state_of(account, now);
        let Err(millis) = state.groups.take_one(most, burst, now) else {
            return Ok(());
        };
        self.counters.quota_refused += 1;
        Err(Refusal::rate(
            millis,
            format!("at most {most} groups a minute are made, {burst} after a pause"),
        ))
    }

    /// Whether the account may begin or join one more conversation. What others brought it into does not count: they could fill it.
    pub(super) fn check_conversations_max(&self, account: AccountId) -> Result<(), Refusal> {
        let most = self.settings.conversations_per_account_max;
        let own = self
            .accounts
            .known(account)
            .map_or(0, |known| known.own_count());
        if own < most {
            return Ok(());
        }
        Err(Refusal::quota(format!(
            "you have begun or joined {most} conversations, which is the most"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, at| {
            (0..100)
                .filter(|_| bucket.take(1, 2, 5, Millis::new(at)).is_ok())
                .count()
        };
        assert_eq!(taken(&mut bucket, 10_000), 5);
        assert_eq!(taken(&mut bucket, 10_400), 0);
        assert_eq!(taken(&mut bucket, 10_500), 1);
        assert_eq!(taken(&mut bucket, 12_000), 3);
        assert_eq!(taken(&mut bucket, 999_000), 5);
        assert_eq!(bucket.take(6, 2, 5, Millis::new(9_999_000)), Err(500));
        assert_eq!(bucket.take(5, 2, 5, Millis::new(9_999_000)), Ok(()));
        assert_eq!(bucket.take(1, 2, 5, Millis::new(9_999_100)), Err(400));
        assert_eq!(bucket.take(1, 2, 5, Millis::new(9_999_500)), Ok(()));
    }
}
