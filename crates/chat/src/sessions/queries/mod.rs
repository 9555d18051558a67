//! Questions to the store that may take a while: made by the messenger, run elsewhere, answered from what is stored.
//! They must not change anything: each holds a copy of what it needs.

pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod joined;
pub(crate) mod list;
pub(crate) mod listing;
pub(crate) mod members;
pub(crate) mod names;
mod parts;
pub(crate) mod row;
pub(crate) mod sync;

use std::borrow::Cow;

use bytes::Bytes;
use records::{AccountId, ConversationId, Cursor, Entry, EntryKind, Moment, Pos, SessionRef};
use serde::Deserialize;

use crate::format::device::DeviceId;
use crate::format::text;
use crate::sessions::delivery::{self, Answer, Audience, Delivery, Packet};
use crate::sessions::reply::ReplyTo;
use crate::stored::source::{Source, Unreadable};
use feed::{Feed, Item};
use history::History;
use list::List;
use listing::{Listed, Listing};
use members::Members;
use names::Names;
use row::{Described, Row};
use sync::Sync;

/// Entries a session gets at once when it catches up.
const CAUGHT_UP_MAX: usize = 200;
/// Bytes a session gets at once when it catches up.
const CAUGHT_UP_BYTES_MAX: usize = 1024 * 1024;

/// Something to be read for sessions.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The conversations of an account.
    Account(Listing),
    /// What a session has missed.
    CatchUp {
        session: SessionRef,
        /// Its device: what that has published itself is marked.
        device: DeviceId,
        feed: Feed,
    },
    /// What a client has asked.
    Question { to: ReplyTo, question: Question },
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

/// What was read.
#[derive(Debug)]
pub(crate) enum Finding {
    /// The conversations of an account.
    Account(Listed),
    /// The turn of a session is over; these of its conversations could not be described.
    Session {
        session: SessionRef,
        again: Vec<ConversationId>,
    },
    /// A session has caught up, or could not because the store was busy.
    CaughtUp { session: SessionRef, answered: bool },
    /// Members of a conversation were told how it is, but for these.
    Described {
        conversation: ConversationId,
        again: Vec<AccountId>,
    },
}

/// What reading has come to: what goes to devices, and then back to sessions.
pub(crate) type Outcome = (Option<Answer>, Finding);

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

impl Reading {
    /// What it comes to when there is no room to run this. A session that catches up is told to ask again, and the messenger sees to
    /// it that it does not do so in a circle.
    pub(crate) fn refuse(self) -> Outcome {
        match self {
            Self::Account(listing) => (None, Finding::Account(listing.refuse())),
            Self::CatchUp { session, feed, .. } => ask_again(session, feed.since),
            Self::Question { to, .. } => answered(to, Err(Unreadable)),
            Self::About {
                session,
                conversations: again,
                ..
            } => (None, Finding::Session { session, again }),
            Self::Described {
                conversation,
                members,
                ..
            } => {
                let again = members.into_iter().map(|(account, _)| account).collect();
                let finding = Finding::Described {
                    conversation,
                    again,
                };
                (None, finding)
            }
        }
    }

    /// Reads what is wanted and builds the answer. If the store cannot be read, the answer is that of [`Reading::refuse`].
    pub(crate) fn run(self, source: &dyn Source) -> Outcome {
        match self {
            Self::Account(listing) => (None, Finding::Account(listing.run(source))),
            Self::CatchUp {
                session,
                device,
                feed,
            } => match caught_up((session, device), &feed, source) {
                Ok(answer) => {
                    let answered = true;
                    (Some(answer), Finding::CaughtUp { session, answered })
                }
                Err(Unreadable) => ask_again(session, feed.since),
            },
            Self::Question { to, question } => answered(to, question.json(source)),
            Self::About {
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
                let answer = Answer::Deliver(delivery::to_session(session, packets));
                (Some(answer), Finding::Session { session, again })
            }
            Self::Described {
                conversation,
                members,
                names,
            } => {
                let (deliveries, again) = described(source, conversation, members, &names);
                let finding = Finding::Described {
                    conversation,
                    again,
                };
                (Some(Answer::Deliver(deliveries)), finding)
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

fn answered(to: ReplyTo, answer: Result<Bytes, Unreadable>) -> Outcome {
    let (session, again) = (to.session, Vec::new());
    (Some(to.answer(answer)), Finding::Session { session, again })
}

/// Nothing, and that there is more.
fn ask_again(session: SessionRef, since: Cursor) -> Outcome {
    let answer = Answer::CaughtUp {
        session,
        entries: Vec::new(),
        upto: since,
        more: true,
    };
    let answered = false;
    (Some(answer), Finding::CaughtUp { session, answered })
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

fn caught_up(
    (session, device): (SessionRef, DeviceId),
    feed: &Feed,
    source: &dyn Source,
) -> Result<Answer, Unreadable> {
    let own = (feed.account, device);
    let page = feed.read(source, usize::MAX, CAUGHT_UP_MAX, CAUGHT_UP_BYTES_MAX)?;
    let page = page.ok_or(Unreadable)?;
    let mut entries: Vec<Delivery> = Vec::with_capacity(page.items.len());
    for item in page.items {
        match item {
            Item::Entry(conv, id, entry) => {
                entries.push(delivery_of(session, own, (&conv, id), &entry));
            }
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
            // What a session gets has no position: it might undo what `sync` has told of the next group already.
            Item::Superseded { .. } => {}
        }
    }
    Ok(Answer::CaughtUp {
        session,
        entries,
        upto: page.upto,
        more: page.more,
    })
}

fn delivery_of(
    session: SessionRef,
    (account, device): (AccountId, DeviceId),
    (conv, id): (&str, ConversationId),
    entry: &Entry,
) -> Delivery {
    let mut publisher = None;
    let packets = match entry.kind {
        EntryKind::Message => {
            let (line, said_by) = said(&entry.wire);
            let is_own = entry.from == account && said_by == Some(device);
            publisher = is_own.then_some(session);
            delivery::message_packets(conv, entry.wire.clone(), line)
        }
        EntryKind::Event => delivery::event_packets(conv, entry.wire.clone()),
    };
    Delivery {
        audience: Audience::Session(session),
        packets,
        pos: Some(entry.pos),
        floor: Pos::ZERO,
        publisher,
        // What has expired was replaced when it was read.
        expires_at: None,
        receipt: entry.seq.map(|seq| (id, seq)),
        read_at: Moment::UNKNOWN,
    }
}

/// What a terminal shows of a stored message, and the device that has published it.
fn said(stored: &[u8]) -> (Bytes, Option<DeviceId>) {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        from: Cow<'a, str>,
        #[serde(borrow, default)]
        device: Cow<'a, str>,
        #[serde(borrow, default)]
        text: Option<Cow<'a, str>>,
    }
    match serde_json::from_slice::<Said<'_>>(stored) {
        Ok(said) => {
            let line = text::line(&said.from, said.text.as_deref());
            (line, DeviceId::parse(&said.device))
        }
        // Stored by this program; if the disk has turned it into something else, a terminal shows that there was something.
        Err(_) => (text::line("?", None), None),
    }
}
