//! What an account says about itself, and who is in a conversation.

use std::sync::Arc;

use records::{AccountId, MemberRole, Millis};
use serde::{Deserialize, Serialize};

use crate::address;
use crate::ask::Reply;
use crate::chat::Chat;
use crate::delivery;
use crate::groups::Named;
use crate::log::Batch;
use crate::names;
use crate::refusal::Refusal;
use crate::reply::PAGE_BYTES_MAX;
use crate::text;
use crate::wire;

/// Bytes of what an account says about itself.
const TEXT_BYTES_MAX: usize = 1_024;
/// Conversations whose peers are told of a change at the cost of one message.
const PEERS_TOLD: usize = 64;

#[derive(Deserialize)]
pub(crate) struct ProfileAsked {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ProfileSet {
    #[serde(default)]
    display: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct MembersAsked {
    #[serde(flatten)]
    named: Named,
    /// Members behind this one.
    #[serde(default)]
    after: Option<String>,
}

#[derive(Serialize)]
struct Profile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    name: &'a str,
    display: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct Members<'a> {
    members: Vec<Member<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Serialize)]
struct Member<'a> {
    name: &'a str,
    display: &'a str,
    role: &'static str,
    read: u64,
    received: u64,
}

impl Chat {
    /// `profile.get`: one's own, or somebody's.
    pub(crate) fn profile(
        &self,
        account: AccountId,
        asked: &ProfileAsked,
    ) -> Result<Reply, Refusal> {
        let wanted = match asked.name.as_deref() {
            None => account,
            Some(name) => {
                let plain = name.strip_prefix('@').unwrap_or(name);
                self.directory
                    .named(plain)
                    .ok_or_else(|| Refusal::no_such_account(plain))?
            }
        };
        self.profile_json(wanted, None)
            .map(Reply::Now)
            .ok_or_else(Refusal::unavailable)
    }

    /// `profile.set`: told to one's own devices and to whom one talks directly.
    pub(crate) fn set_profile(
        &mut self,
        account: AccountId,
        wanted: &ProfileSet,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        let Some(state) = self.directory.find(account) else {
            return Err(Refusal::unavailable());
        };
        let display = match wanted.display.as_deref() {
            None => None,
            // One of an earlier release, with other rules, is sent back with a new text.
            Some(given) if given == state.record.display => None,
            Some(given) => {
                let most = self.settings.title_bytes_max;
                Some(names::shown("the display name", given, most)?)
            }
        };
        let about = match wanted.text.as_deref().map(str::trim) {
            None => None,
            Some("") => Some(String::new()),
            Some(given) => Some(text::title("the text", given, TEXT_BYTES_MAX)?),
        };
        // Every peer may see the change.
        let peers = self.directory.conversations(account).len() / PEERS_TOLD;
        let most = self.settings.messages_burst_max as usize;
        self.take_message_quota(account, (1 + peers).min(most.max(1)), now)?;
        let Some(state) = self.directory.find_mut(account) else {
            return Err(Refusal::unavailable());
        };
        let record = &mut state.record;
        let before = (record.display.clone(), record.profile_text.clone());
        record.display = display.unwrap_or_else(|| before.0.clone());
        record.profile_text = about.unwrap_or_else(|| before.1.clone());
        if before != (record.display.clone(), record.profile_text.clone()) {
            let renamed = before.0 != record.display;
            self.put_account(account, batch);
            self.tell_profile(account, batch);
            if renamed {
                self.retitle(account, batch);
            }
        }
        self.profile_json(account, None)
            .map(Reply::Now)
            .ok_or_else(Refusal::unavailable)
    }

    fn tell_profile(&self, account: AccountId, batch: &mut Batch) {
        let mut told: Vec<AccountId> = std::iter::once(account)
            .chain(self.direct_peers(account))
            .filter(|other| self.live.is_connected(*other))
            .collect();
        told.sort_unstable();
        told.dedup();
        if let Some(payload) = self.profile_json(account, Some("profile")) {
            let packet = delivery::packet("im/me/event".to_owned(), payload);
            batch.tell(address::to_accounts(Arc::from(told), packet));
        }
    }

    /// The title of a direct chat is its peer's display name.
    fn retitle(&self, account: AccountId, batch: &mut Batch) {
        let titled = self
            .directory
            .conversations(account)
            .iter()
            .filter_map(|id| Some((*id, self.rooms.find(*id)?.peer(account)?)))
            .filter(|(_, peer)| self.live.is_connected(*peer))
            .map(|(id, peer)| (id, Some(peer)));
        batch.about.extend(titled);
    }

    fn profile_json(&self, account: AccountId, kind: Option<&'static str>) -> Option<bytes::Bytes> {
        let record = &self.directory.find(account)?.record;
        Some(wire::json(&Profile {
            kind,
            name: record.name.as_str(),
            display: &record.display,
            text: &record.profile_text,
        }))
    }

    /// `members`: everybody in a conversation, from the oldest account to the newest; with `more` the next page is asked for by
    /// naming the last one as `after`.
    pub(crate) fn members(
        &self,
        account: AccountId,
        asked: &MembersAsked,
    ) -> Result<Reply, Refusal> {
        let conv = &asked.named.conv;
        let id = self.room_of(account, conv)?;
        let Some(room) = self.rooms.find(id) else {
            return Err(Refusal::no_such_conversation(conv));
        };
        let after = match asked.after.as_deref() {
            None => AccountId::ZERO,
            Some(name) => self
                .directory
                .named_ever(name)
                .ok_or_else(|| Refusal::no_such_account(name))?,
        };
        let mut members = Vec::new();
        let (mut bytes, mut more) = (0, false);
        for (other, member) in room.members().iter().filter(|(other, _)| *other > after) {
            let Some(state) = self.directory.find(*other) else {
                continue;
            };
            // Names of the keys and numbers take less than this.
            bytes += 128 + state.name().len() + 2 * state.record.display.len();
            if bytes > PAGE_BYTES_MAX {
                more = true;
                break;
            }
            members.push(Member {
                name: state.name(),
                display: &state.record.display,
                role: match member.role {
                    MemberRole::Owner => "owner",
                    MemberRole::Moderator => "moderator",
                    MemberRole::Member => "member",
                },
                read: member.read.value(),
                received: member.received.value(),
            });
        }
        Ok(Reply::Now(wire::json(&Members { members, more })))
    }
}
