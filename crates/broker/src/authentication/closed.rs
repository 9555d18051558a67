//! Accounts and tokens that were closed of late. Whoever asked to come in before that is not let in after it: what its credentials
//! were checked against is no longer true.

use std::sync::Arc;

use records::{AccountId, Millis};

use crate::access::list::Identity;

/// How long a closed account or token is remembered: longer than a CONNECT takes to be checked and handed over.
const CLOSED_KEPT_MS: u64 = 600_000;
/// Closed accounts and tokens remembered; the oldest is forgotten.
const CLOSED_MAX: usize = 10_000;

/// Whose connections are closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    account: AccountId,
    /// Only those that it opened.
    token: Option<Arc<[u8; 32]>>,
}

impl Closed {
    pub(crate) fn account(account: AccountId) -> Self {
        Self {
            account,
            token: None,
        }
    }

    pub(crate) fn token(account: AccountId, token: Arc<[u8; 32]>) -> Self {
        Self {
            account,
            token: Some(token),
        }
    }

    /// Whether a client of this account, which came in by this token, is among them.
    pub(crate) fn concerns(
        &self,
        account: Option<AccountId>,
        token: Option<&Arc<[u8; 32]>>,
    ) -> bool {
        account == Some(self.account) && (self.token.is_none() || self.token.as_ref() == token)
    }
}

/// Who was closed, and when.
#[derive(Debug, Default)]
pub(crate) struct ClosedClients(Vec<(Closed, Millis)>);

impl ClosedClients {
    /// An account or a token is closed.
    pub(crate) fn note(&mut self, closed: &Closed, now: Millis) {
        self.0
            .retain(|(known, at)| known != closed && now.since(*at) < CLOSED_KEPT_MS);
        if self.0.len() >= CLOSED_MAX {
            self.0.remove(0);
        }
        self.0.push((closed.clone(), now));
    }

    /// Whether a client's account or token was closed after it had asked to come in.
    pub(crate) fn since(&self, identity: &Identity, connect_at: Millis) -> bool {
        let mut closed = self.0.iter();
        closed.any(|(closed, at)| {
            *at >= connect_at && closed.concerns(identity.account, identity.token.as_ref())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::new(1_766_000_000_000);

    fn bob(token: Option<u8>) -> Identity {
        Identity {
            account: Some(AccountId::new(7)),
            name: "bob".into(),
            admin: false,
            token: token.map(|byte| Arc::new([byte; 32])),
        }
    }

    #[test]
    fn a_token_closes_only_what_it_opened_and_only_what_was_asked_before() {
        let mut clients = ClosedClients::default();
        let token = Closed::token(AccountId::new(7), Arc::new([1; 32]));
        clients.note(&token, NOW);
        assert!(clients.since(&bob(Some(1)), NOW));
        assert!(!clients.since(&bob(Some(1)), NOW.saturating_add(1)));
        assert!(!clients.since(&bob(Some(2)), NOW) && !clients.since(&bob(None), NOW));
        clients.note(&Closed::account(AccountId::new(7)), NOW);
        assert!(clients.since(&bob(Some(2)), NOW) && clients.since(&bob(None), NOW));
    }

    #[test]
    fn so_many_are_remembered_and_for_so_long() {
        let mut clients = ClosedClients::default();
        for account in 0..CLOSED_MAX as u64 + 10 {
            clients.note(&Closed::account(AccountId::new(account + 1)), NOW);
        }
        assert_eq!(clients.0.len(), CLOSED_MAX);
        clients.note(
            &Closed::account(AccountId::new(1)),
            NOW.saturating_add(CLOSED_KEPT_MS),
        );
        assert_eq!(clients.0.len(), 1);
    }
}
