//! The newest message of a conversation as lists show it: a long one is cut, so that a list of many stays small. Made once per
//! message, shared by all who see it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::format::wire;

/// Bytes of a text in a list, and of `att` and `x` each.
const PART_BYTES_MAX: usize = 1_024;

/// A stored message, and what a list leaves out of it.
#[derive(Deserialize, Serialize)]
struct Head<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    pos: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    device: Cow<'a, str>,
    at: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    mid: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    auto: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    att: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    x: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    user_properties: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    expired: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

/// What lists show of a message; `None` if the bytes are no message, as a damaged disk may have them.
pub(crate) fn of(message: &Bytes) -> Option<Bytes> {
    let mut head: Head<'_> = serde_json::from_slice(message).ok()?;
    let text = head.text.as_deref().unwrap_or_default();
    if text.len() > PART_BYTES_MAX {
        let kept = &text[..text.floor_char_boundary(PART_BYTES_MAX)];
        head.text = Some(Cow::Owned(kept.to_owned()));
        head.cut = true;
    }
    for part in [&mut head.att, &mut head.x, &mut head.user_properties] {
        if part.is_some_and(|raw| raw.get().len() > PART_BYTES_MAX) {
            *part = None;
            head.cut = true;
        }
    }
    Some(if head.cut {
        wire::json(&head)
    } else {
        message.clone()
    })
}

/// What is left of a message that has expired: that there was one. `None` if the bytes are no message.
pub(crate) fn expired(message: &Bytes) -> Option<Bytes> {
    let mut head: Head<'_> = serde_json::from_slice(message).ok()?;
    (head.text, head.att, head.x) = (None, None, None);
    (head.content_type, head.user_properties) = (None, None);
    (head.reply, head.thread) = (None, None);
    head.expired = true;
    Some(wire::json(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters_and_says_so() {
        let cut = |text: &str, x: &str| {
            let message = format!(
                r#"{{"kind":"message","seq":3,"pos":"9f2","from":"bob","device":"d","at":5,"text":"{text}","x":{x}}}"#
            );
            let head = of(&Bytes::from(message)).unwrap();
            serde_json::from_slice::<serde_json::Value>(&head).unwrap()
        };
        let short = cut(&"x".repeat(1_024), "1");
        assert_eq!(
            (short["text"].as_str().unwrap().len(), short.get("cut")),
            (1_024, None)
        );
        let long = cut(&"가".repeat(400), "1");
        assert_eq!(long["text"].as_str().unwrap(), "가".repeat(341));
        assert_eq!((&long["cut"], &long["x"]), (&true.into(), &1.into()));
        let heavy = cut("hi", &format!("[{}0]", "0,".repeat(600)));
        assert_eq!((&heavy["cut"], heavy.get("x")), (&true.into(), None));
        assert_eq!(of(&Bytes::from_static(b"{}")), None);
    }
}
