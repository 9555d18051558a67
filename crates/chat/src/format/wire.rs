//! The JSON that goes out: messages, events, acknowledgements. Each is built once, by the functions here and nowhere else.

use bytes::Bytes;
use records::{Millis, Pos, Seq};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// Bytes of a topic that are repeated when it was refused; a longer one is cut.
const TOPIC_BYTES_MAX: usize = 256;

/// A message as it goes out and is stored.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) kind: &'static str,
    pub(crate) seq: u64,
    pub(crate) pos: String,
    pub(crate) from: &'a str,
    pub(crate) device: String,
    pub(crate) at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reply: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) auto: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) att: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) user_properties: &'a [(&'a str, &'a str)],
}

/// A change of members as it goes out and is stored.
#[derive(Debug, Serialize)]
pub(crate) struct MemberEvent<'a> {
    pub(crate) pos: String,
    pub(crate) kind: &'static str,
    pub(crate) action: &'static str,
    /// Everybody whom one command concerned.
    pub(crate) accounts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    pub(crate) from: &'a str,
    pub(crate) at: u64,
    /// Whoever leaves is the last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) last: bool,
}

/// Markers that moved, as authors are told, and of their own account every device. It has no `pos`: it is no entry and moves no cursor.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt<'a> {
    pub(crate) kind: &'static str,
    pub(crate) from: Vec<&'a str>,
    pub(crate) seq: u64,
}

/// A positive `im/ack`.
#[derive(Debug, Serialize)]
struct Stored<'a> {
    ok: bool,
    conv: &'a str,
    seq: u64,
    pos: String,
}

/// An `im/ack` of something that is no message.
#[derive(Debug, Serialize)]
struct Done {
    ok: bool,
}

/// Why something was refused: in a negative `im/ack`, in an answer, or, where there is neither, in `im/me/event`.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    error: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

impl<'a> Refused<'a> {
    fn of(refusal: &'a Refusal) -> Self {
        Self {
            ok: None,
            kind: None,
            topic: None,
            error: refusal.code,
            detail: &refusal.sentence,
            field: refusal.field.as_deref(),
            retry_ms: refusal.retry_millis,
        }
    }
}

/// A conversation that began or ended for an account.
#[derive(Debug, Serialize)]
struct OwnEvent<'a> {
    kind: &'static str,
    conv: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

#[derive(Debug, Serialize)]
struct From<'a> {
    from: &'a str,
}

/// Anything of this file, or of an answer, as bytes.
pub(crate) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("only structs with string keys and borrowed, checked JSON are written")
        .into()
}

/// `im/ack/<mid>` of a message that is stored.
pub(crate) fn stored(conv: &str, seq: Seq, pos: Pos) -> Bytes {
    json(&Stored {
        ok: true,
        conv,
        seq: seq.value(),
        pos: pos.to_string(),
    })
}

/// `im/ack/<mid>` of something that is done and is no message.
pub(crate) fn done() -> Bytes {
    json(&Done { ok: true })
}

/// `im/ack/<mid>` of what is refused.
pub(crate) fn refused(refusal: &Refusal) -> Bytes {
    json(&Refused {
        ok: Some(false),
        ..Refused::of(refusal)
    })
}

/// `im/answer/…` to a question that cannot be answered.
pub(crate) fn failed(refusal: &Refusal) -> Bytes {
    json(&Refused::of(refusal))
}

/// `im/me/event` about a publish that was refused and has no `mid` under which it could be told.
pub(crate) fn refused_event(topic: &str, refusal: &Refusal) -> Bytes {
    json(&Refused {
        kind: Some("refused"),
        topic: Some(&topic[..topic.floor_char_boundary(TOPIC_BYTES_MAX)]),
        ..Refused::of(refusal)
    })
}

/// `im/me/event` about a conversation.
pub(crate) fn own_event(kind: &'static str, conv: &str) -> Bytes {
    json(&OwnEvent {
        kind,
        conv,
        deleted: false,
    })
}

/// `im/me/event` about a group that was deleted: it is left.
pub(crate) fn deleted_event(conv: &str) -> Bytes {
    json(&OwnEvent {
        kind: "left",
        conv,
        deleted: true,
    })
}

/// `im/in/<conv>/typing`.
pub(crate) fn typing(from: &str) -> Bytes {
    json(&From { from })
}

/// A direct chat as the other side calls it.
pub(crate) fn direct(peer: &str) -> Box<str> {
    format!("@{peer}").into()
}

/// Milliseconds on the wire.
pub(crate) fn millis(at: Millis) -> u64 {
    at.value()
}
