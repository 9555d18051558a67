//! The messenger's state and its one door.

use records::{
    Account, AccountId, Conversation, ConversationId, KeyRange, Member, Millis, Pos, Seq, Token,
};

use crate::door::{Input, ListedAccount, Output, Source};
use crate::settings::Settings;

/// The whole state of the messenger except its messages.
#[derive(Debug)]
pub struct Chat {}

impl Chat {
    /// An empty messenger. `seeds` key its hash tables.
    pub fn new(_settings: Settings, _seeds: [u64; 4]) -> Self {
        Self {}
    }

    // Recovery, before the first input; in this order.

    /// Takes back an account.
    pub fn recover_account(&mut self, _id: AccountId, _account: Account) {}

    /// Takes back a token.
    pub fn recover_token(&mut self, _sha256: [u8; 32], _token: Token) {}

    /// Takes back a conversation with the newest message and the newest entry it has.
    pub fn recover_conversation(
        &mut self,
        _id: ConversationId,
        _conversation: Conversation,
        _last_seq: Seq,
        _last_pos: Pos,
    ) {
    }

    /// Takes back a member.
    pub fn recover_member(
        &mut self,
        _conversation: ConversationId,
        _account: AccountId,
        _member: Member,
    ) {
    }

    /// Everything is back.
    pub fn finish_recovery(&mut self, _now: Millis) {}

    // The door.

    /// Something happened outside.
    pub fn handle(&mut self, _input: Input, _source: &dyn Source, _now: Millis) {}

    /// What has to be done outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When [`Chat::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Millis> {
        None
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, _source: &dyn Source, _now: Millis) {}

    // For the outer doors.

    /// The newest position on disk.
    pub fn committed_pos(&self) -> Pos {
        Pos::ZERO
    }

    /// Whether there is no account yet.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Accounts that are not removed, by name.
    pub fn accounts(&self) -> Vec<ListedAccount> {
        Vec::new()
    }

    /// Dedup records that are too old to be asked for, for the caller to trim at start.
    pub fn stale_dedups(&self, _now: Millis) -> KeyRange {
        records::key::dedups_before(0)
    }
}
