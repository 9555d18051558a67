//! `im/ask/<method>`: which questions there are, and where their answers go. What is in memory is answered from there; pages of
//! entries become queries.

use bytes::Bytes;
use records::{AccountId, Millis, Pos};
use serde::Deserialize;

use crate::chat::Chat;
use crate::door::{Output, Publish};
use crate::history::{History, Place, Window};
use crate::json;
use crate::log::Batch;
use crate::merge::Feed;
use crate::query::{List, Query};
use crate::refusal::Refusal;
use crate::reply::{self, ReplyTo};
use crate::row::Row;

/// Conversations with something new that `sync` still pages; with more the client begins anew from the list.
const SYNC_CONVERSATIONS_MAX: usize = 1_000;

/// Conversations in one list, if they fit; `before` then leads to the rest.
const ROWS_MAX: usize = 1_000;

/// Conversations that `sync` and `conversations` look at for the price of one question.
const LOOKED_AT: usize = 1_024;

const ANSWERS: &str = "im/answer/";

/// What a question comes to.
#[derive(Debug)]
pub(crate) enum Reply {
    /// This JSON.
    Now(Bytes),
    /// A conversation, whose newest message may have to be read.
    Row(Box<Row>),
    /// Whatever a query with these finds.
    History(History),
    /// Everything after a position.
    Sync(Feed, usize),
    /// The list of conversations.
    Conversations(List),
}

#[derive(Deserialize)]
struct HistoryAsked {
    conv: String,
    #[serde(default)]
    before: Option<Named>,
    #[serde(default)]
    after: Option<Named>,
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
enum Named {
    Seq(u64),
    Pos(String),
}

impl Named {
    fn place(&self, key: &str) -> Result<Place, Refusal> {
        match self {
            Self::Seq(seq) => Ok(Place::Message(records::Seq::new(*seq))),
            Self::Pos(pos) => match pos.parse() {
                Ok(pos) => Ok(Place::Entry(pos)),
                Err(error) => Err(Refusal::payload(format!("{key} is {error}"))),
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
}

#[derive(Deserialize)]
struct ConversationsAsked {
    #[serde(default)]
    before: Option<String>,
}

impl Chat {
    /// `im/ask/<method>` or `im/ask/<method>/<rid>`. A question that is answered with an error has been accepted all the same.
    pub(crate) fn ask(
        &mut self,
        publish: &Publish,
        method: &str,
        rid: Option<&str>,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<(), Refusal> {
        let topic = match publish.response_topic.as_deref() {
            Some(topic) if is_answer_topic(topic) => topic.to_owned(),
            Some(_) => {
                let sentence = "the response topic must lie under im/answer/";
                return Err(Refusal::payload(sentence));
            }
            None => format!("{ANSWERS}{}", rid.unwrap_or(method)),
        };
        let session = publish.session;
        let to = ReplyTo {
            session,
            topic: topic.into(),
            correlation: publish.correlation.clone(),
        };
        self.counters.asks += 1;
        let answer = self.answer(publish, method, batch, now);
        match answer {
            Ok(Reply::Now(payload)) => batch.tell(Output::Deliver(to.delivery(payload))),
            Ok(Reply::Row(row)) if !row.lacks_head() => {
                batch.tell(Output::Deliver(to.delivery(row.json())))
            }
            Ok(Reply::Row(row)) => self.ask_store(session, Query::row(to, *row), batch, now),
            Ok(Reply::History(history)) => {
                self.ask_store(session, Query::history(to, history), batch, now);
            }
            Ok(Reply::Sync(feed, limit)) => {
                self.ask_store(session, Query::sync(to, feed, limit), batch, now);
            }
            Ok(Reply::Conversations(list)) => {
                self.ask_store(session, Query::conversations(to, list), batch, now);
            }
            Err(refusal) => {
                self.counters.asks_failed += 1;
                batch.tell(Output::Deliver(to.delivery(reply::error(&refusal))));
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        publish: &Publish,
        method: &str,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        let (account, payload) = (publish.account, &publish.payload[..]);
        let looked_at = match method {
            "sync" | "conversations" => self.directory.conversations(account).len(),
            _ => 0,
        };
        self.take_ask_quota(account, 1 + looked_at / LOOKED_AT, now)?;
        if matches!(method, "history" | "sync" | "conversations") {
            self.check_turn(publish.session, now)?;
        }
        let stores = method.starts_with("group.") || method == "profile.set";
        // What was said goes with a group.
        let makes_room = matches!(method, "group.leave" | "group.delete");
        if stores && !makes_room && self.disk_full {
            self.counters.disk_full_refused += 1;
            return Err(Refusal::disk_full());
        }
        match method {
            "history" => self.history(account, &read(payload)?),
            "sync" => self.sync(account, &read(payload)?),
            "conversations" => self.conversations(account, &read(payload)?),
            "members" => self.members(account, &read(payload)?),
            "group.create" => self.create_group(account, &read(payload)?, batch, now),
            "group.invite" => self.invite_to_group(account, &read(payload)?, batch, now),
            "group.join" => self.join_group(account, &read(payload)?, batch, now),
            "group.leave" => self.leave_group(account, &read(payload)?, batch, now),
            "group.delete" => self.delete_group(account, &read(payload)?, batch, now),
            "profile.get" => self.profile(account, &read(payload)?),
            "profile.set" => self.set_profile(account, &read(payload)?, batch, now),
            _ => Err(Refusal::not_supported(method)),
        }
    }

    /// A question costs one of the account's questions, and so does listening to many things at once.
    pub(crate) fn take_ask_quota(
        &mut self,
        account: AccountId,
        questions: usize,
        now: Millis,
    ) -> Result<(), Refusal> {
        let (rate, burst) = (
            self.settings.messages_per_second_max,
            self.settings.messages_burst_max,
        );
        // What costs more than there ever is can be asked after a pause.
        let questions = questions.min(burst as usize).max(1);
        let taken = self
            .directory
            .find_mut(account)
            .is_some_and(|state| state.asks.take(questions, rate, burst, now));
        if taken {
            return Ok(());
        }
        self.counters.quota_refused += 1;
        Err(Refusal::quota(format!(
            "at most {rate} questions a second are answered, {burst} after a pause"
        )))
    }

    fn history(&self, account: AccountId, asked: &HistoryAsked) -> Result<Reply, Refusal> {
        let window = match (&asked.before, &asked.after, asked.around) {
            (None, None, None) => Window::Latest,
            (Some(named), None, None) => Window::Before(named.place("before")?),
            (None, Some(named), None) => Window::After(named.place("after")?),
            (None, None, Some(seq)) => Window::Around(records::Seq::new(seq)),
            _ => {
                let sentence = "name one of before, after and around";
                return Err(Refusal::payload(sentence));
            }
        };
        let conversation = match self.room_of(account, &asked.conv) {
            Ok(id) => Some(id),
            // A chat that has not begun is empty, which is no mistake.
            Err(refusal)
                if refusal.code == "no_such_conversation" && asked.conv.starts_with('@') =>
            {
                None
            }
            Err(refusal) => return Err(refusal),
        };
        Ok(Reply::History(History {
            conv: asked.conv.as_str().into(),
            conversation,
            window,
            limit: self.limit(asked.limit),
        }))
    }

    fn sync(&self, account: AccountId, asked: &SyncAsked) -> Result<Reply, Refusal> {
        let since = asked.since.as_deref().and_then(|since| since.parse().ok());
        // Whoever is ahead of this server has talked to one that knew more: nothing can be told apart any more.
        let known = since.filter(|since: &Pos| *since <= self.log.newest());
        let feed = known
            .map(|since| self.feed(account, since))
            .filter(|feed| feed.conversations() <= SYNC_CONVERSATIONS_MAX);
        match feed {
            Some(feed) => Ok(Reply::Sync(feed, self.limit(asked.limit))),
            None => Ok(Reply::Conversations(self.list(account, None, true))),
        }
    }

    fn conversations(
        &self,
        account: AccountId,
        asked: &ConversationsAsked,
    ) -> Result<Reply, Refusal> {
        let before = match asked.before.as_deref().map(str::parse) {
            None => None,
            Some(Ok(pos)) => Some(pos),
            Some(Err(error)) => {
                return Err(Refusal::payload(format!("before is {error}")));
            }
        };
        Ok(Reply::Conversations(self.list(account, before, false)))
    }

    /// An account's conversations, the one with the newest entry first.
    fn list(&self, account: AccountId, before: Option<Pos>, reset: bool) -> List {
        let mut places: Vec<_> = self
            .directory
            .conversations(account)
            .iter()
            .filter_map(|id| Some((self.rooms.find(*id)?.last_pos, *id)))
            .filter(|(last_pos, _)| before.is_none_or(|before| *last_pos < before))
            .collect();
        places.sort_by_key(|(last_pos, _)| std::cmp::Reverse(*last_pos));
        let more = places.len() > ROWS_MAX;
        let rows = places
            .iter()
            .take(ROWS_MAX)
            .filter_map(|(_, id)| self.row(*id, account))
            .collect();
        List {
            rows,
            more,
            pos: self.log.newest(),
            reset,
        }
    }

    fn limit(&self, asked: Option<usize>) -> usize {
        let most = self.settings.page_entries_max.max(1);
        asked.unwrap_or(most).clamp(1, most)
    }
}

/// The parameters of a question; none at all are an empty object.
fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Refusal> {
    let payload: &[u8] = if payload.is_empty() { b"{}" } else { payload };
    serde_json::from_slice(payload).map_err(|error| json::refusal(&error))
}

fn is_answer_topic(topic: &str) -> bool {
    topic.strip_prefix(ANSWERS).is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(['+', '#']) && !rest.chars().any(char::is_control)
    })
}
