//! Who is typing: told to the others at once, not too often, and forgotten.

use records::{AccountId, ConversationId, Millis};

use crate::chat::Chat;
use crate::delivery;
use crate::door::Publish;
use crate::refusal::Refusal;
use crate::table::{Table, Tables};
use crate::wire;

/// How long after one notice the next of the same account in the same conversation is told.
const INTERVAL_MILLIS: u64 = 2_000;
/// In larger conversations typing is not told.
const MEMBERS_MAX: usize = 50;
/// Notices that are remembered at once.
const REMEMBERED_MAX: usize = 65_536;

/// When each account was last told to be typing.
#[derive(Debug)]
pub(crate) struct Typing {
    told: Table<(AccountId, ConversationId), Millis>,
}

impl Typing {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            told: tables.table(),
        }
    }

    /// Whether it may be told, which is then remembered.
    fn may_tell(&mut self, account: AccountId, conversation: ConversationId, now: Millis) -> bool {
        let key = (account, conversation);
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

impl Chat {
    /// `im/to/<conv>/typing`.
    pub(crate) fn typing(
        &mut self,
        publish: &Publish,
        conv: &str,
        now: Millis,
    ) -> Result<(), Refusal> {
        let account = publish.account;
        let id = match self.room_of(account, conv) {
            Ok(id) => id,
            // Before the first message there is nobody to tell, which is no mistake.
            Err(refusal) if conv.starts_with('@') && refusal.code == "no_such_conversation" => {
                return Ok(());
            }
            Err(refusal) => return Err(refusal),
        };
        let members = self.rooms.find(id).map_or(0, |room| room.members().len());
        if members > MEMBERS_MAX || !self.typing.may_tell(account, id, now) {
            self.counters.typing_dropped += 1;
            return Ok(());
        }
        let payload = wire::typing(self.directory.name(account));
        for (accounts, name) in self.addressees(id) {
            let packet = delivery::live(format!("im/in/{name}/typing"), payload.clone());
            let others = accounts.iter().copied().filter(|other| *other != account);
            let (told, _) = self.tell_attentive(others, &packet);
            if told {
                self.counters.typing_told += 1;
            }
        }
        Ok(())
    }
}
