//! What an account says about itself.

use std::sync::Arc;

use bytes::Bytes;
use records::{AccountId, ConversationId, Place};
use serde::{Deserialize, Serialize};

use crate::accounts::ProfileChange;
use crate::command::{Address, Speaker, To, What};
use crate::format::device::DeviceId;
use crate::format::{names, text, wire};
use crate::refusal::Refusal;
use crate::sessions::accounts::Deferred;
use crate::sessions::commands::{Waiting, Who};
use crate::sessions::reply::{self, ReplyTo};
use crate::sessions::{Context, Effect, Sessions, delivery};

/// Bytes of what an account says about itself.
const TEXT_BYTES_MAX: usize = 1_024;
/// Conversations whose peers are told of a change at the cost of one message.
const PEERS_TOLD: usize = 64;

#[derive(Deserialize)]
pub(super) struct ProfileAsked {
    #[serde(default)]
    account: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ProfileSet {
    #[serde(default)]
    display: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Serialize)]
struct Profile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    account: &'a str,
    display: &'a str,
    text: &'a str,
}

impl Sessions {
    /// `profile.get`: one's own, or somebody's.
    pub(super) fn profile(
        &self,
        account: AccountId,
        asked: &ProfileAsked,
        context: Context<'_>,
    ) -> Result<Bytes, Refusal> {
        let wanted = match asked.account.as_deref() {
            None => account,
            Some(name) => {
                let plain = name.strip_prefix('@').unwrap_or(name);
                let named = context.accounts.named(plain);
                named.ok_or_else(|| Refusal::no_such_account(plain))?
            }
        };
        profile_json(wanted, None, context).ok_or_else(Refusal::unavailable)
    }

    /// `profile.set`: told to one's own devices and to whom one talks directly.
    pub(super) fn set_profile(
        &mut self,
        account: AccountId,
        wanted: &ProfileSet,
        (to, ack): (ReplyTo, Option<u64>),
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        let Some(record) = context.accounts.find(account) else {
            return Err(Refusal::unavailable());
        };
        let display = match wanted.display.as_deref() {
            None => None,
            // One of an earlier release, with other rules, is sent back with a new text.
            Some(given) if given == record.display => None,
            Some(given) => {
                let most = self.settings.title_bytes_max;
                let shown = names::shown("the display name", given, most);
                Some(shown.map_err(|refusal| refusal.in_field("display"))?)
            }
        };
        let text = match wanted.text.as_deref().map(str::trim) {
            None => None,
            Some("") => Some(String::new()),
            Some(given) => {
                let title = text::title("the text", given, TEXT_BYTES_MAX);
                Some(title.map_err(|refusal| refusal.in_field("text"))?)
            }
        };
        // Every peer may see the change.
        let known = self.accounts.known(account);
        let peers = known.map_or(0, |known| known.len()) / PEERS_TOLD;
        let most = self.settings.messages_burst_max as usize;
        self.take_message_quota(account, (1 + peers).min(most.max(1)), context.now)?;
        let conv = "".into();
        let who = Who::Asker { to, ack, conv };
        let id = self.in_flight.begin(Waiting { account, who });
        self.effects.push_back(Effect::Profile(ProfileChange {
            id,
            account,
            display,
            text,
            renamed: false,
            changed: false,
        }));
        Ok(())
    }

    /// A profile was changed, and that is on disk.
    pub(crate) fn profiled(&mut self, change: &ProfileChange, context: Context<'_>) {
        if change.changed {
            let renamed = change.renamed;
            let deferred = Deferred::TellProfile { renamed };
            self.with_list(change.account, deferred, context);
        }
        let waiting = self.in_flight.end(change.id);
        if let Some(Who::Asker { to, ack, .. }) = waiting.map(|waiting| waiting.who) {
            self.acknowledge(to.session, ack, Ok(()));
            let answer = profile_json(change.account, None, context);
            let answer = answer.unwrap_or_else(|| reply::error(&Refusal::unavailable()));
            self.deliver(to.delivery(answer));
        }
        self.go_on(change.account, context);
    }

    /// Tells of a changed profile. The title of a direct chat is its peer's display name.
    pub(super) fn tell_profile(&mut self, account: AccountId, renamed: bool, context: Context<'_>) {
        let known = self.accounts.known(account).into_iter();
        let mut chats: Vec<(ConversationId, AccountId)> = Vec::new();
        for (id, place) in known.flat_map(|known| known.places()) {
            match place {
                Place::Direct { peer } if self.accounts.is_connected(*peer) => {
                    chats.push((id, *peer));
                }
                Place::Direct { .. } | Place::Group { .. } => {}
            }
        }
        let mut told: Vec<AccountId> = chats.iter().map(|(_, peer)| *peer).collect();
        told.push(account);
        told.sort_unstable();
        told.dedup();
        if let Some(payload) = profile_json(account, Some("profile"), context) {
            let packet = delivery::packet("im/me/event".to_owned(), payload);
            self.deliver(delivery::to_accounts(Arc::from(told), packet));
        }
        if renamed {
            for (id, peer) in chats {
                let address = Address::pair(account, peer);
                self.about_changed(id, &address, Some(peer), None, context);
            }
        }
    }

    /// An account was removed: it leaves every group.
    pub(crate) fn account_removed(&mut self, account: AccountId, context: Context<'_>) {
        self.with_list(account, Deferred::LeaveAll, context);
    }

    pub(super) fn leave_all(&mut self, account: AccountId, _context: Context<'_>) {
        let known = self.accounts.known(account);
        let groups: Vec<ConversationId> =
            known.map_or_else(Vec::new, |known| known.groups().collect());
        for id in groups {
            let speaker = Speaker {
                account,
                device: DeviceId::NONE,
            };
            self.command(speaker, To::Conversation(id), What::Leave, None);
        }
    }
}

fn profile_json(
    account: AccountId,
    kind: Option<&'static str>,
    context: Context<'_>,
) -> Option<Bytes> {
    let record = context.accounts.find(account)?;
    Some(wire::json(&Profile {
        kind,
        account: record.name.as_str(),
        display: &record.display,
        text: &record.profile_text,
    }))
}
