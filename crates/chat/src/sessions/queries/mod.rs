//! Questions to the store that may take a while: made by the messenger, run elsewhere, answered from what is stored.
//! They must not change anything: each holds a copy of what it needs.

pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod joined;
pub(crate) mod list;
pub(crate) mod listing;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod row;
pub(crate) mod sync;

use std::borrow::Cow;

use bytes::Bytes;
use records::{AccountId, ConversationId, Cursor, Entry, EntryKind, Moment, Pos, SessionRef};
use serde::Deserialize;

use crate::conversations::load::Load;
use crate::conversations::markers::AuthorsWanted;
use crate::format::text;
use crate::io::{Finding, Found, Input};
use crate::sessions::delivery::{self, Answer, Audience, Delivery, Packet};
use crate::sessions::reply::ReplyTo;
use crate::stored::source::{Source, Unreadable};
use feed::{Feed, Item};
use history::History;
use list::List;
use listing::Listing;
use members::Members;
use names::Names;
use row::{Described, Row};
use sync::Sync;

/// Entries a session gets at once when it catches up.
const CAUGHT_UP_MAX: usize = 200;
/// Bytes a session gets at once when it catches up.
const CAUGHT_UP_BYTES_MAX: usize = 1024 * 1024;

/// Something to be read. Opaque to whoever runs it.
#[derive(Debug)]
pub struct Query(Work);

/// What reading has come to.
#[derive(Debug, Default)]
pub struct Read {
    /// For devices.
    pub answer: Option<Answer>,
    /// For the messenger, after the answer has gone out: what it says next is newer.
    pub then: Option<Input>,
}

#[derive(Debug)]
enum Work {
    Conversation(Load),
    Authors(AuthorsWanted),
    Account(Listing),
    CatchUp {
        session: SessionRef,
        feed: Feed,
    },
    Question {
        to: ReplyTo,
        question: Question,
    },
    /// How some conversations are for a session.
    About {
        session: SessionRef,
        account: AccountId,
        conversations: Vec<ConversationId>,
        /// How far the session has come with what is still on its way to it.
        upto: Option<Cursor>,
        names: Names,
    },
    /// How a conversation is for some of its members.
    Described {
        conversation: ConversationId,
        members: Vec<(AccountId, Audience)>,
        names: Names,
    },
}

/// A question of a client.
#[derive(Debug)]
pub(crate) enum Question {
    History(History),
    Sync(Sync),
    List(List),
    Members(Members),
    /// One conversation.
    Row {
        account: AccountId,
        conversation: ConversationId,
        names: Names,
    },
}

impl Query {
    pub(crate) fn conversation(load: Load) -> Self {
        Self(Work::Conversation(load))
    }

    pub(crate) fn authors(wanted: AuthorsWanted) -> Self {
        Self(Work::Authors(wanted))
    }

    pub(crate) fn account(account: AccountId) -> Self {
        Self(Work::Account(Listing { account }))
    }

    pub(crate) fn catch_up(session: SessionRef, feed: Feed) -> Self {
        Self(Work::CatchUp { session, feed })
    }

    pub(crate) fn question(to: ReplyTo, question: Question) -> Self {
        Self(Work::Question { to, question })
    }

    pub(crate) fn about(
        session: SessionRef,
        account: AccountId,
        conversations: Vec<ConversationId>,
        upto: Option<Cursor>,
        names: Names,
    ) -> Self {
        Self(Work::About {
            session,
            account,
            conversations,
            upto,
            names,
        })
    }

    pub(crate) fn described(
        conversation: ConversationId,
        members: Vec<(AccountId, Audience)>,
        names: Names,
    ) -> Self {
        Self(Work::Described {
            conversation,
            members,
            names,
        })
    }

    /// What it comes to when there is no room to run this. A session that catches up is told to ask again, and the messenger sees to
    /// it that it does not do so in a circle.
    pub fn refuse(self) -> Read {
        match self.0 {
            Work::Conversation(load) => found(Finding::Conversation(load.refuse())),
            Work::Authors(wanted) => found(Finding::Authors(wanted.refuse())),
            Work::Account(listing) => found(Finding::Account(listing.refuse())),
            Work::CatchUp { session, feed } => ask_again(session, feed.since.floor()),
            Work::Question { to, .. } => answered(to, Err(Unreadable)),
            Work::About {
                session,
                conversations: again,
                ..
            } => found(Finding::Session { session, again }),
            Work::Described {
                conversation,
                members,
                ..
            } => {
                let again = members.into_iter().map(|(account, _)| account).collect();
                found(Finding::Described {
                    conversation,
                    again,
                })
            }
        }
    }

    /// Reads what is wanted and builds the answer. If the store cannot be read, the answer is that of [`Query::refuse`].
    pub fn run(self, source: &dyn Source) -> Read {
        match self.0 {
            Work::Conversation(load) => found(Finding::Conversation(load.run(source))),
            Work::Authors(wanted) => found(Finding::Authors(wanted.run(source))),
            Work::Account(listing) => found(Finding::Account(listing.run(source))),
            Work::CatchUp { session, feed } => match caught_up(session, &feed, source) {
                Ok(answer) => Read {
                    answer: Some(answer),
                    then: Some(Input::Found(Found(Finding::CaughtUp {
                        session,
                        answered: true,
                    }))),
                },
                Err(Unreadable) => ask_again(session, feed.since.floor()),
            },
            Work::Question { to, question } => answered(to, question.json(source)),
            Work::About {
                session,
                account,
                conversations,
                upto,
                names,
            } => {
                let (mut packets, mut again) = (Vec::new(), Vec::new());
                for id in conversations {
                    match about(source, id, account, upto.as_ref(), &names) {
                        Ok(packet) => packets.extend(packet),
                        Err(Unreadable) => again.push(id),
                    }
                }
                Read {
                    answer: Some(Answer::Deliver(delivery::to_session(session, packets))),
                    ..found(Finding::Session { session, again })
                }
            }
            Work::Described {
                conversation,
                members,
                names,
            } => {
                let (deliveries, again) = described(source, conversation, members, &names);
                Read {
                    answer: Some(Answer::Deliver(deliveries)),
                    ..found(Finding::Described {
                        conversation,
                        again,
                    })
                }
            }
        }
    }
}

impl Question {
    fn json(self, source: &dyn Source) -> Result<Bytes, Unreadable> {
        match self {
            Self::History(history) => history.json(source),
            Self::Sync(sync) => sync.json(source),
            Self::List(list) => list.json(source),
            Self::Members(members) => members.json(source),
            Self::Row {
                account,
                conversation,
                names,
            } => {
                let described = Described::read(source, conversation, None)?;
                let row = match described {
                    Some(described) => described.row(account, &names, source)?,
                    None => None,
                };
                // It was there a moment ago.
                Ok(row.ok_or(Unreadable)?.json())
            }
        }
    }
}

fn found(finding: Finding) -> Read {
    Read {
        answer: None,
        then: Some(Input::Found(Found(finding))),
    }
}

fn answered(to: ReplyTo, answer: Result<Bytes, Unreadable>) -> Read {
    let session = to.session;
    Read {
        answer: Some(to.answer(answer)),
        ..found(Finding::Session {
            session,
            again: Vec::new(),
        })
    }
}

/// Nothing, and that there is more.
fn ask_again(session: SessionRef, since: Pos) -> Read {
    Read {
        answer: Some(Answer::CaughtUp {
            session,
            entries: Vec::new(),
            upto: since,
            more: true,
        }),
        then: Some(Input::Found(Found(Finding::CaughtUp {
            session,
            answered: false,
        }))),
    }
}

fn about(
    source: &dyn Source,
    id: ConversationId,
    account: AccountId,
    upto: Option<&Cursor>,
    names: &Names,
) -> Result<Option<Packet>, Unreadable> {
    let described = Described::read(source, id, upto)?;
    let row = match described {
        Some(described) => described.row(account, names, source)?,
        None => None,
    };
    about_row(source, id, account, row, names)
}

/// A conversation as one of its members sees it, or empty for whoever is none any more.
fn about_row(
    source: &dyn Source,
    id: ConversationId,
    account: AccountId,
    row: Option<Row>,
    names: &Names,
) -> Result<Option<Packet>, Unreadable> {
    if let Some(row) = row {
        return Ok(Some(delivery::about(&row.conv, row.json())));
    }
    // It was left: whoever has kept it learns that it is none of the account's any more.
    let Some(joined) = joined::find(source, account, id)? else {
        return Ok(None);
    };
    let conv = joined::conv(&joined.place, names, source)?;
    Ok(conv.map(|conv| delivery::about(&conv, Bytes::new())))
}

/// How a conversation is for each of these members, and for which of them it cannot be read.
fn described(
    source: &dyn Source,
    id: ConversationId,
    members: Vec<(AccountId, Audience)>,
    names: &Names,
) -> (Vec<Delivery>, Vec<AccountId>) {
    let (mut deliveries, mut again) = (Vec::with_capacity(members.len()), Vec::new());
    let described = Described::read(source, id, None);
    for (account, audience) in members {
        let row = match &described {
            Ok(Some(described)) => described.row(account, names, source),
            Ok(None) => Ok(None),
            Err(Unreadable) => Err(Unreadable),
        };
        let packet = row.and_then(|row| about_row(source, id, account, row, names));
        match packet {
            Ok(Some(packet)) => deliveries.push(delivery::plain(audience, vec![packet])),
            Ok(None) => {}
            Err(Unreadable) => again.push(account),
        }
    }
    (deliveries, again)
}

fn caught_up(session: SessionRef, feed: &Feed, source: &dyn Source) -> Result<Answer, Unreadable> {
    let page = feed.read(source, usize::MAX, CAUGHT_UP_MAX, CAUGHT_UP_BYTES_MAX)?;
    let page = page.ok_or(Unreadable)?;
    let mut entries: Vec<Delivery> = Vec::with_capacity(page.items.len());
    for item in page.items {
        match item {
            Item::Entry(conv, id, entry) => entries.push(delivery_of(session, &conv, id, &entry)),
            Item::Left { conv, pos, deleted } => {
                let packets = delivery::left_packets(&conv, deleted);
                match entries.last_mut() {
                    // One position is one step of the session.
                    Some(last) if last.pos == Some(pos) => last.packets.extend(packets),
                    Some(_) | None => entries.push(Delivery {
                        pos: Some(pos),
                        ..delivery::plain(Audience::Session(session), packets)
                    }),
                }
            }
        }
    }
    Ok(Answer::CaughtUp {
        session,
        entries,
        upto: page.upto.floor(),
        more: page.more,
    })
}

fn delivery_of(session: SessionRef, conv: &str, id: ConversationId, entry: &Entry) -> Delivery {
    let packets = match entry.kind {
        EntryKind::Message => {
            let line = line(&entry.wire);
            delivery::message_packets(conv, entry.wire.clone(), line)
        }
        EntryKind::Event => delivery::event_packets(conv, entry.wire.clone()),
    };
    Delivery {
        audience: Audience::Session(session),
        packets,
        pos: Some(entry.pos),
        receipt: entry.seq.map(|seq| (id, seq)),
        read_at: Moment::UNKNOWN,
    }
}

/// What a terminal shows of a stored message.
fn line(stored: &[u8]) -> Bytes {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        from: Cow<'a, str>,
        #[serde(borrow, default)]
        text: Option<Cow<'a, str>>,
    }
    match serde_json::from_slice::<Said<'_>>(stored) {
        Ok(said) => text::line(&said.from, said.text.as_deref()),
        // Stored by this program; if the disk has turned it into something else, a terminal shows that there was something.
        Err(_) => text::line("?", None),
    }
}
