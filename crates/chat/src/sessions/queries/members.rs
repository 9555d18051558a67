//! `members`: who takes part in a conversation, from the oldest account to the newest. Runs where a disk may be waited for.

use bytes::Bytes;
use records::{AccountId, Member, MemberRole, key};
use serde::Serialize;

use crate::command::Address;
use crate::format::wire;
use crate::refusal::Refusal;
use crate::sessions::queries::names::Names;
use crate::sessions::reply::{self, PAGE_BYTES_MAX};
use crate::stored::conversations;
use crate::stored::damaged::Damaged;
use crate::stored::source::{End, Source, Unreadable};

/// Rows read at once.
const SLICE: usize = 256;

/// A question for the members.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) account: AccountId,
    pub(crate) conv: Box<str>,
    pub(crate) address: Address,
    /// Members behind this one.
    pub(crate) after: AccountId,
    pub(crate) limit: usize,
}

#[derive(Serialize)]
struct Answer {
    members: Vec<Shown>,
    more: bool,
    /// What the next page begins behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Box<str>>,
}

impl Answer {
    fn json(members: Vec<Shown>, more: bool) -> Bytes {
        let last = members.last().filter(|_| more);
        let next = last.map(|last| last.account.clone());
        wire::json(&Self {
            members,
            more,
            next,
        })
    }
}

#[derive(Serialize)]
struct Shown {
    account: Box<str>,
    display: Box<str>,
    role: &'static str,
    read: u64,
    received: u64,
}

impl Members {
    /// The answer; with `more` the next page is asked for by naming `next` as `after`.
    pub(crate) fn json(&self, source: &dyn Source) -> Result<Bytes, Unreadable> {
        let Some(id) = conversations::find(source, &self.address)? else {
            return Ok(reply::error(&Refusal::no_such_conversation(&self.conv)));
        };
        if conversations::member(source, id, self.account)?.is_none() {
            return Ok(reply::error(&Refusal::not_a_member(&self.conv)));
        }
        let mut range = key::members(id);
        range.from = [&key::member(id, self.after)[..], &[0]].concat();
        let names = Names::default();
        let mut members = Vec::new();
        let mut bytes = 0;
        loop {
            let rows = source.rows(&range, End::First, SLICE, usize::MAX)?;
            for (at, value) in &rows {
                let member = match key::parse_member(at) {
                    Ok((_, account)) => Member::decode(value)
                        .map(|member| (account, member))
                        .map_err(|error| Damaged::new(at, error)),
                    Err(error) => Err(Damaged::new(at, error)),
                };
                let (account, member) = match member {
                    Ok(member) => member,
                    Err(damaged) => {
                        source.damaged(&damaged);
                        continue;
                    }
                };
                let Some(shown) = names.find(account, source)? else {
                    continue;
                };
                // Names of the keys and numbers take less than this.
                bytes += 128 + shown.name.len() + 2 * shown.display.len();
                if bytes > PAGE_BYTES_MAX || members.len() == self.limit {
                    return Ok(Answer::json(members, true));
                }
                members.push(Shown {
                    account: shown.name.clone(),
                    display: shown.display.clone(),
                    role: match member.role {
                        MemberRole::Owner => "owner",
                        MemberRole::Moderator => "moderator",
                        MemberRole::Member => "member",
                    },
                    read: if account == self.account {
                        member.read.value()
                    } else {
                        member.read_shown().value()
                    },
                    received: member.received.value(),
                });
            }
            match rows.last() {
                Some((last, _)) if rows.len() == SLICE => range.from = [last, &[0][..]].concat(),
                Some(_) | None => return Ok(Answer::json(members, false)),
            }
        }
    }
}
