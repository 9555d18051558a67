//! `im/ask/<method>`: which questions there are, and where their answers go. What is in memory is answered from there; pages of
//! entries are read elsewhere; what changes a conversation becomes a command.

use bytes::Bytes;
use records::{AccountId, Cursor, Pos, Seq};
use serde::{Deserialize, Serialize};

use crate::command::{Address, To, What};
use crate::format::{json, topic, wire};
use crate::io::Publish;
use crate::note::Outcome;
use crate::refusal::Refusal;
use crate::sessions::commands::{Accepted, Who};
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
/// Milliseconds by which a bare position is taken for older: what was on its way when it was given may stand before it.
const POS_EARLIER_MILLIS: u64 = 10_000;

const ANSWERS: &str = "im/answer/";

/// What a question comes to.
pub(super) enum Reply {
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
    before: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    before_seq: Option<u64>,
    #[serde(default)]
    after_seq: Option<u64>,
    #[serde(default)]
    around_seq: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct SyncAsked {
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    states: bool,
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
    /// Members behind this one, as the page before named it.
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Invited<'a> {
    conv: &'a str,
    accounts: Vec<&'a str>,
    member_count: u32,
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
                let speaker = self.speaker(publish);
                self.command(speaker, To::Address(address), what, Some(who));
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
                    accounts: accounts.iter().map(name).collect(),
                    member_count,
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
            "server" => Ok(Reply::Now(self.describe_server(publish, context))),
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
        let message = |seq| Named::Message(Seq::new(seq));
        let before = position("before", asked.before.as_deref())?.map(Named::Entry);
        let after = position("after", asked.after.as_deref())?.map(Named::Entry);
        let around = asked.around_seq.map(Seq::new);
        let named = [
            before.map(Window::Before),
            after.map(Window::After),
            asked.before_seq.map(message).map(Window::Before),
            asked.after_seq.map(message).map(Window::After),
            around.map(Window::Around),
        ];
        let mut named = named.into_iter().flatten();
        let window = named.next().unwrap_or(Window::Latest);
        if named.next().is_some() {
            let sentence = "name one of before, after, before_seq, after_seq and around_seq";
            return Err(Refusal::payload(sentence));
        }
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
                states: asked.states,
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
        let before = position("before", asked.before.as_deref())?;
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
                named.ok_or_else(|| Refusal::no_such_account(name).in_field("after"))?
            }
        };
        Ok(Reply::Read(Question::Members(Members {
            account,
            address: self.address(account, &asked.conv, context)?,
            conv: asked.conv.as_str().into(),
            after,
            limit: asked.limit.unwrap_or(usize::MAX).max(1),
        })))
    }

    fn limit(&self, asked: Option<usize>) -> usize {
        let most = self.settings.page_entries_max.max(1);
        asked.unwrap_or(most).clamp(1, most)
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

/// Where a page begins, as the one before it has named it.
fn position(key: &'static str, given: Option<&str>) -> Result<Option<Pos>, Refusal> {
    match given.map(str::parse) {
        None => Ok(None),
        Some(Ok(pos)) => Ok(Some(pos)),
        Some(Err(error)) => Err(Refusal::payload(format!("{key} is {error}")).in_field(key)),
    }
}

/// What a client names as where it has come to: a cursor, or a bare position, which is taken for a few seconds older.
fn cursor(text: &str) -> Option<Cursor> {
    if let Ok(cursor) = text.parse() {
        return Some(cursor);
    }
    let pos: Pos = text.parse().ok()?;
    (pos < Pos::END).then(|| Cursor::at(pos.earlier(POS_EARLIER_MILLIS)))
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
