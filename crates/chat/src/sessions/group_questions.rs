//! `im/ask/group.<method>`: what is asked for becomes a command to the group's conversation. What members are told of it is the
//! conversation's business.

use records::{AccountId, GroupSlug, HistoryAccess};
use serde::Deserialize;

use crate::command::{Address, Making, Speaker, To, What};
use crate::format::device::DeviceId;
use crate::format::names;
use crate::io::{AccountError, Output, RequestId};
use crate::refusal::Refusal;
use crate::sessions::ask::Reply;
use crate::sessions::commands::{Who, group};
use crate::sessions::{Context, Sessions};

/// Accounts named in one question.
pub(super) const ACCOUNTS_NAMED_MAX: usize = 100;

#[derive(Deserialize)]
pub(super) struct Create {
    slug: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    accounts: Vec<String>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    history: HistoryAsk,
}

/// What whoever joins may read.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum HistoryAsk {
    #[default]
    All,
    Joined,
}

#[derive(Deserialize)]
pub(super) struct Invite {
    conv: String,
    accounts: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Conv {
    conv: String,
}

#[derive(Deserialize)]
pub(super) struct Delete {
    conv: String,
    /// Its address once more, so that nobody deletes another one.
    slug: String,
}

impl Sessions {
    /// `group.create`: whoever asks is the owner.
    pub(super) fn create_group(
        &mut self,
        account: AccountId,
        wanted: &Create,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let slug = GroupSlug::parse(&wanted.slug).map_err(|error| {
            Refusal::payload(format!("the slug is not fit: {error}")).in_field("slug")
        })?;
        let title = match wanted.title.as_deref() {
            None | Some("") => slug.as_str().to_owned(),
            Some(given) => names::shown("the title", given, self.settings.title_bytes_max)
                .map_err(|refusal| refusal.in_field("title"))?,
        };
        let mut members = named_accounts(&wanted.accounts, context)?;
        members.retain(|other| *other != account);
        self.check_conversations_max(account)?;
        self.take_message_quota(account, 1 + members.len(), context.now)?;
        self.take_group_quota(account, context.now)?;
        let what = What::Create(Making {
            title,
            open: wanted.open,
            history: match wanted.history {
                HistoryAsk::All => HistoryAccess::All,
                HistoryAsk::Joined => HistoryAccess::Joined,
            },
            members,
        });
        Ok(Reply::Command(Address::Group(slug), what))
    }

    /// `group.invite`: makes accounts members at once.
    pub(super) fn invite_to_group(
        &mut self,
        account: AccountId,
        wanted: &Invite,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let address = group(&wanted.conv)?;
        let accounts = named_accounts(&wanted.accounts, context)?;
        self.take_message_quota(account, accounts.len(), context.now)?;
        Ok(Reply::Command(address, What::Invite { accounts }))
    }

    /// `group.join`, for open groups.
    pub(super) fn join_group(
        &mut self,
        account: AccountId,
        wanted: &Conv,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let address = group(&wanted.conv)?;
        self.check_conversations_max(account)?;
        self.take_message_quota(account, 1, context.now)?;
        Ok(Reply::Command(address, What::Join))
    }

    /// `group.leave`.
    pub(super) fn leave_group(
        &mut self,
        account: AccountId,
        wanted: &Conv,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        if wanted.conv.starts_with('@') {
            return Err(Refusal::not_allowed("a direct chat cannot be left"));
        }
        let address = group(&wanted.conv)?;
        self.take_message_quota(account, 1, context.now)?;
        Ok(Reply::Command(address, What::Leave))
    }

    /// `group.delete`, by an owner, by who owned it and left it last, or by an administrator.
    pub(super) fn delete_group(
        &mut self,
        account: AccountId,
        wanted: &Delete,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        if wanted.conv.starts_with('@') {
            return Err(Refusal::not_allowed("a direct chat cannot be deleted"));
        }
        let address = group(&wanted.conv)?;
        if wanted.slug != wanted.conv {
            let sentence = "slug must be the group's address once more, or nothing is deleted";
            return Err(Refusal::payload(sentence).in_field("slug"));
        }
        self.take_message_quota(account, 1, context.now)?;
        let by_administrator = context.accounts.is_administrator(account);
        Ok(Reply::Command(address, What::Delete { by_administrator }))
    }

    /// Whoever runs the server deletes a group.
    pub(crate) fn delete_group_of_server(&mut self, request: RequestId, slug: String) {
        let Ok(address) = group(&slug) else {
            let outcome = Err(AccountError::NoSuchGroup(slug));
            return self.output(Output::Answered { request, outcome });
        };
        let speaker = Speaker {
            account: AccountId::ZERO,
            device: DeviceId::NONE,
        };
        let what = What::Delete {
            by_administrator: true,
        };
        let who = Who::Server { request, slug };
        self.command(speaker, To::Address(address), what, Some(who));
    }
}

/// Accounts by name, each once.
fn named_accounts(names: &[String], context: Context<'_>) -> Result<Vec<AccountId>, Refusal> {
    if names.len() > ACCOUNTS_NAMED_MAX {
        let sentence = format!("at most {ACCOUNTS_NAMED_MAX} accounts are named at once");
        return Err(Refusal::quota(sentence));
    }
    let mut accounts = Vec::with_capacity(names.len());
    for (number, name) in names.iter().enumerate() {
        let plain = name.strip_prefix('@').unwrap_or(name);
        let Some(account) = context.accounts.named(plain) else {
            let field = format!("accounts[{number}]");
            return Err(Refusal::no_such_account(plain).in_field(field));
        };
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}
