//! What happened in conversations may have passed this node by: whatever it remembers of them is read again.

use records::{AccountId, SessionRef};

use crate::io::Output;
use crate::sessions::accounts::Deferred;
use crate::sessions::{Context, Sessions};

impl Sessions {
    /// Everything that was missed can be read from here on, and what comes is told again.
    pub(crate) fn missed(&mut self, context: Context<'_>) {
        self.catch_ups.forget_all();
        self.output(Output::Missed);
        for account in self.accounts.forget_lists() {
            self.read_list(account);
        }
        for (session, account, filter) in self.devices.filters() {
            self.listen_again(session, account, filter, context);
        }
    }

    fn listen_again(
        &mut self,
        session: SessionRef,
        account: AccountId,
        filter: Box<str>,
        context: Context<'_>,
    ) {
        let deferred = Deferred::Listen {
            session,
            filter,
            resumed: false,
        };
        self.with_list(account, deferred, context);
    }
}
