//! `im/ask/<method>`: which questions there are, and where their answers go. What is in memory is answered from there; pages of
//! entries are read elsewhere; what changes a conversation becomes a command.

use bytes::Bytes;
use records::{AccountId, Cursor, GroupSlug, HistoryAccess, Pos, Seq};
use serde::{Deserialize, Serialize};

use crate::command::{Address, Making, Speaker, To, What};
use crate::format::{json, names, topic, wire};
use crate::io::{AccountError, Output, Publish, RequestId};
use crate::note::Outcome;
use crate::refusal::Refusal;
use crate::sessions::commands::{Accepted, Who, group, speaker};
use crate::sessions::queries::Question;
use crate::sessions::queries::feed::Feed;
use crate::sessions::queries::history::{History, Named, Window};
use crate::sessions::queries::list::List;
use crate::sessions::queries::members::Members;
use crate::sessions::queries::sync::Sync;
use crate::sessions::reply::{self, ReplyTo};
use crate::sessions::{Context, Sessions};

/// Conversations that `sync` and `conversations` look at for the price of one question.
const LOOKED_AT: usize = 1_024;
/// Accounts named in one question.
const NAMES_MAX: usize = 100;
/// Milliseconds by which a bare position is taken for older: what was on its way when it was given may stand before it.
const POS_EARLIER_MILLIS: u64 = 10_000;

const ANSWERS: &str = "im/answer/";

/// What a question comes to.
enum Reply {
    /// This JSON.
    Now(Bytes),
    /// Whatever is found.
    Read(Question),
    /// Whatever comes of this command.
    Command(Address, What),
    /// It is answered later.
    Later,
}

#[derive(Deserialize)]
struct HistoryAsked {
    conv: String,
    #[serde(default)]
    before: Option<Position>,
    #[serde(default)]
    after: Option<Position>,
    #[serde(default)]
    around: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

/// A place as it is asked for: a `seq`, or a `pos` as a string.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a seq as a number or a pos as a string is expected"
)]
enum Position {
    Seq(u64),
    Pos(String),
}

impl Position {
    fn named(&self, key: &str) -> Result<Named, Refusal> {
        match self {
            Self::Seq(seq) => Ok(Named::Message(Seq::new(*seq))),
            Self::Pos(pos) => match pos.parse() {
                Ok(pos) => Ok(Named::Entry(pos)),
                Err(error) => Err(Refusal::payload(format!("{key} is {error}")).in_field(key)),
            },
        }
    }
}

#[derive(Deserialize)]
struct SyncAsked {
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    state: bool,
}

#[derive(Deserialize)]
struct ConversationsAsked {
    #[serde(default)]
    before: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct MembersAsked {
    conv: String,
    /// Members behind this one.
    #[serde(default)]
    after: Option<String>,
}

#[derive(Deserialize)]
struct Create {
    slug: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    members: Vec<String>,
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
struct Invite {
    conv: String,
    accounts: Vec<String>,
}

#[derive(Deserialize)]
struct Conv {
    conv: String,
}

#[derive(Deserialize)]
struct Delete {
    conv: String,
    /// Its address once more, so that nobody deletes another one.
    slug: String,
}

#[derive(Serialize)]
struct Invited<'a> {
    conv: &'a str,
    invited: Vec<&'a str>,
    members: u32,
}

#[derive(Serialize)]
struct Left<'a> {
    conv: &'a str,
}

impl Sessions {
    /// `im/ask/<method>` or `im/ask/<method>/<rid>`. A question that is answered with an error has been accepted all the same.
    pub(super) fn ask(
        &mut self,
        publish: &Publish,
        method: &str,
        rid: Option<&str>,
        context: Context<'_>,
    ) -> Result<Accepted, Refusal> {
        let to = reply_to(publish, method, rid)?;
        self.counters.asks += 1;
        match self.answer(publish, method, &to, context) {
            Ok(Reply::Command(address, what)) => {
                let conv = match &address {
                    Address::Group(slug) => slug.as_str().into(),
                    Address::Pair { .. } => "".into(),
                };
                let ack = publish.ack;
                let who = Who::Asker { to, ack, conv };
                self.command(speaker(publish), To::Address(address), what, Some(who));
                return Ok(Accepted::Later);
            }
            Ok(Reply::Later) => return Ok(Accepted::Later),
            Ok(Reply::Now(payload)) => {
                self.acknowledge(publish.session, publish.ack, Ok(()));
                self.deliver(to.delivery(payload));
            }
            Ok(Reply::Read(question)) => {
                self.acknowledge(publish.session, publish.ack, Ok(()));
                self.ask_store(to, question, context);
            }
            Err(refusal) => {
                self.acknowledge(publish.session, publish.ack, Ok(()));
                self.failed(to, &refusal);
            }
        }
        Ok(Accepted::Later)
    }

    /// A question that was not looked at is answered like any other; false if it does not say where.
    pub(super) fn ask_refused(
        &mut self,
        publish: &Publish,
        (method, rid): (&str, Option<&str>),
        refusal: &Refusal,
    ) -> bool {
        let Ok(to) = reply_to(publish, method, rid) else {
            return false;
        };
        self.counters.asks += 1;
        self.acknowledge(publish.session, publish.ack, Ok(()));
        self.failed(to, refusal);
        true
    }

    fn failed(&mut self, to: ReplyTo, refusal: &Refusal) {
        self.counters.asks_failed += 1;
        self.deliver(to.delivery(reply::error(refusal)));
    }

    /// What came of a question that was a command.
    pub(super) fn asked(
        &mut self,
        account: AccountId,
        to: ReplyTo,
        conv: &str,
        outcome: Result<Outcome, Refusal>,
        context: Context<'_>,
    ) {
        match outcome {
            Ok(Outcome::Conversation(conversation)) => {
                let names = self.names_for(account, context);
                let question = Question::Row {
                    account,
                    conversation,
                    names,
                };
                self.ask_store(to, question, context);
            }
            Ok(Outcome::Invited {
                accounts,
                member_count,
            }) => {
                let name = |id: &AccountId| context.accounts.name(*id);
                let answer = wire::json(&Invited {
                    conv,
                    invited: accounts.iter().map(name).collect(),
                    members: member_count,
                });
                self.deliver(to.delivery(answer));
            }
            Ok(Outcome::Done | Outcome::Stored { .. }) => {
                let answer = wire::json(&Left { conv });
                self.deliver(to.delivery(answer));
            }
            Err(refusal) => self.failed(to, &refusal),
        }
    }

    fn answer(
        &mut self,
        publish: &Publish,
        method: &str,
        to: &ReplyTo,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let (account, payload) = (publish.account, &publish.payload[..]);
        let looked_at = match method {
            "sync" | "conversations" => {
                let known = self.accounts.known(account);
                known.map_or(0, |known| known.len())
            }
            _ => 0,
        };
        self.take_ask_quota(account, 1 + looked_at / LOOKED_AT, context.now)?;
        if topic::reads_store(method) {
            self.check_turn(publish.session, context)?;
        }
        let stores = method.starts_with("group.") || method == "profile.set";
        // What was said goes with a group.
        let makes_room = matches!(method, "group.leave" | "group.delete");
        if stores && !makes_room && self.disk.is_full {
            self.counters.disk_full_refused += 1;
            return Err(Refusal::disk_full());
        }
        match method {
            "history" => self.history(account, read(payload)?, context),
            "sync" => self.sync(account, &read(payload)?, context),
            "conversations" => self.conversations(account, &read(payload)?, context),
            "members" => self.members(account, &read(payload)?, context),
            "group.create" => self.create_group(account, &read(payload)?, context),
            "group.invite" => self.invite_to_group(account, &read(payload)?, context),
            "group.join" => self.join_group(account, &read(payload)?, context),
            "group.leave" => self.leave_group(account, &read(payload)?, context),
            "group.delete" => self.delete_group(account, &read(payload)?, context),
            "profile.get" => self
                .profile(account, &read(payload)?, context)
                .map(Reply::Now),
            "profile.set" => {
                let waiting = (to.clone(), publish.ack);
                self.set_profile(account, &read(payload)?, waiting, context)?;
                Ok(Reply::Later)
            }
            _ => Err(Refusal::not_supported(method)),
        }
    }

    // What is stored.

    fn history(
        &self,
        account: AccountId,
        asked: HistoryAsked,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let window = match (&asked.before, &asked.after, asked.around) {
            (None, None, None) => Window::Latest,
            (Some(named), None, None) => Window::Before(named.named("before")?),
            (None, Some(named), None) => Window::After(named.named("after")?),
            (None, None, Some(seq)) => Window::Around(Seq::new(seq)),
            _ => {
                let sentence = "name one of before, after and around";
                return Err(Refusal::payload(sentence));
            }
        };
        Ok(Reply::Read(Question::History(History {
            account,
            address: self.address(account, &asked.conv, context)?,
            conv: asked.conv.into(),
            window,
            limit: self.limit(asked.limit),
        })))
    }

    fn sync(
        &self,
        account: AccountId,
        asked: &SyncAsked,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let since = asked.since.as_deref().and_then(cursor);
        let is_ahead = |since: &Cursor| since.floor() > self.stored.floor();
        if !self.is_alone && since.as_ref().is_some_and(is_ahead) {
            // Another node gave it, which this one will soon have caught up with.
            return Err(Refusal::unavailable());
        }
        // Whoever is ahead of this server has talked to one that knew more: nothing can be told apart any more.
        let since = since.filter(|since| !is_ahead(since));
        let names = self.names_for(account, context);
        Ok(Reply::Read(match since {
            Some(since) => Question::Sync(Sync {
                feed: Feed {
                    account,
                    since,
                    upto: self.stored.clone(),
                    names,
                },
                limit: self.limit(asked.limit),
                state: asked.state,
            }),
            None => Question::List(List {
                account,
                before: None,
                limit: None,
                upto: self.stored.clone(),
                reset: true,
                names,
            }),
        }))
    }

    fn conversations(
        &self,
        account: AccountId,
        asked: &ConversationsAsked,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let before: Option<Pos> = match asked.before.as_deref().map(str::parse) {
            None => None,
            Some(Ok(pos)) => Some(pos),
            Some(Err(error)) => {
                let refusal = Refusal::payload(format!("before is {error}"));
                return Err(refusal.in_field("before"));
            }
        };
        Ok(Reply::Read(Question::List(List {
            account,
            before,
            limit: asked.limit,
            upto: self.stored.clone(),
            reset: false,
            names: self.names_for(account, context),
        })))
    }

    fn members(
        &self,
        account: AccountId,
        asked: &MembersAsked,
        context: Context<'_>,
    ) -> Result<Reply, Refusal> {
        let after = match asked.after.as_deref() {
            None => AccountId::ZERO,
            Some(name) => {
                let named = context.accounts.named_ever(name);
                named.ok_or_else(|| Refusal::no_such_account(name))?
            }
        };
        Ok(Reply::Read(Question::Members(Members {
            account,
            address: self.address(account, &asked.conv, context)?,
            conv: asked.conv.as_str().into(),
            after,
        })))
    }

    fn limit(&self, asked: Option<usize>) -> usize {
        let most = self.settings.page_entries_max.max(1);
        asked.unwrap_or(most).clamp(1, most)
    }

    // Groups.

    /// `group.create`: whoever asks is the owner.
    fn create_group(
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
        let mut members = named_accounts(&wanted.members, context)?;
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
    fn invite_to_group(
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
    fn join_group(
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
    fn leave_group(
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
    fn delete_group(
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
            device: "".into(),
        };
        let what = What::Delete {
            by_administrator: true,
        };
        let who = Who::Server { request, slug };
        self.command(speaker, To::Address(address), what, Some(who));
    }
}

/// Where the answer goes.
fn reply_to(publish: &Publish, method: &str, rid: Option<&str>) -> Result<ReplyTo, Refusal> {
    let topic = match publish.response_topic.as_deref() {
        Some(topic) if is_answer_topic(topic) => topic.to_owned(),
        Some(_) => {
            let sentence = "the response topic must lie under im/answer/";
            return Err(Refusal::payload(sentence));
        }
        None => format!("{ANSWERS}{}", rid.unwrap_or(method)),
    };
    Ok(ReplyTo {
        session: publish.session,
        topic: topic.into(),
        correlation: publish.correlation.clone(),
    })
}

/// What a client names as where it has come to: a cursor, or a bare position, which is taken for a few seconds older.
fn cursor(text: &str) -> Option<Cursor> {
    if let Ok(cursor) = text.parse() {
        return Some(cursor);
    }
    let pos: Pos = text.parse().ok()?;
    (pos < Pos::END).then(|| Cursor::at(pos.earlier(POS_EARLIER_MILLIS)))
}

/// Accounts by name, each once.
fn named_accounts(names: &[String], context: Context<'_>) -> Result<Vec<AccountId>, Refusal> {
    if names.len() > NAMES_MAX {
        let sentence = format!("at most {NAMES_MAX} accounts are named at once");
        return Err(Refusal::quota(sentence));
    }
    let mut accounts = Vec::with_capacity(names.len());
    for name in names {
        let plain = name.strip_prefix('@').unwrap_or(name);
        let Some(account) = context.accounts.named(plain) else {
            return Err(Refusal::no_such_account(plain));
        };
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}

/// The parameters of a question; none at all are an empty object.
fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Refusal> {
    let payload: &[u8] = if payload.is_empty() { b"{}" } else { payload };
    json::read(payload)
}

fn is_answer_topic(topic: &str) -> bool {
    topic.strip_prefix(ANSWERS).is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(['+', '#']) && !rest.chars().any(char::is_control)
    })
}
