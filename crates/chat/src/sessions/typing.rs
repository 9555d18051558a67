//! Who is typing: told to the others at once, not too often, and forgotten.

use std::sync::Arc;

use records::{AccountId, Millis};

use crate::command::{Address, To, What};
use crate::format::wire;
use crate::io::Publish;
use crate::refusal::Refusal;
use crate::sessions::commands::{Accepted, Who};
use crate::sessions::{Context, Sessions, delivery, notes};
use crate::table::{Table, Tables};

/// How long after one notice the next of the same account in the same conversation is told.
const INTERVAL_MILLIS: u64 = 2_000;
/// Notices that are remembered at once.
const REMEMBERED_MAX: usize = 65_536;

/// When each account was last told to be typing.
#[derive(Debug)]
pub(super) struct Typing {
    told: Table<(AccountId, Address), Millis>,
}

impl Typing {
    pub(super) fn new(tables: &Tables) -> Self {
        Self {
            told: tables.table(),
        }
    }

    /// Whether it may be told, which is then remembered.
    fn may_tell(&mut self, account: AccountId, address: &Address, now: Millis) -> bool {
        let key = (account, address.clone());
        let recent = |at: Millis| now.since(at) < INTERVAL_MILLIS;
        if self.told.get(&key).is_some_and(|at| recent(*at)) {
            return false;
        }
        if self.told.len() >= REMEMBERED_MAX {
            self.told.retain(|_, at| recent(*at));
        }
        if self.told.len() >= REMEMBERED_MAX {
            return false;
        }
        self.told.insert(key, now);
        true
    }
}

impl Sessions {
    /// `im/to/<conv>/typing`.
    pub(super) fn typing(
        &mut self,
        publish: &Publish,
        conv: &str,
        context: Context<'_>,
    ) -> Result<Accepted, Refusal> {
        let address = self.address(publish.account, conv, context)?;
        if !self.typing.may_tell(publish.account, &address, context.now) {
            self.counters.typing_dropped += 1;
            return Ok(Accepted::Now);
        }
        let session = publish.session;
        let who = publish.ack.map(|ack| Who::Typer { session, ack });
        let speaker = self.speaker(publish);
        self.command(speaker, To::Address(address), What::Typing, who);
        Ok(Accepted::Later)
    }

    /// Somebody types.
    pub(super) fn tell_typing(
        &mut self,
        address: &Address,
        account: AccountId,
        audience: &Arc<[AccountId]>,
        context: Context<'_>,
    ) {
        let payload = wire::typing(context.accounts.name(account));
        for other in audience.iter().copied().filter(|other| *other != account) {
            let name = notes::conv(address, other, context);
            let packet = delivery::live(format!("im/in/{name}/typing"), payload.clone());
            let (told, _) = self.tell_attentive(std::iter::once(other), &packet);
            self.counters.typing_told += u64::from(told);
        }
    }
}
