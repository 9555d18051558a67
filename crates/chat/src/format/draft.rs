//! A message as a client sends it: read leniently, checked, and made into the one JSON that everybody gets.
//! Must not know conversations.

use std::borrow::Cow;

use bytes::Bytes;
use records::{Millis, Pos, Seq};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::format::device::DeviceId;
use crate::format::properties::MessageProperties;
use crate::format::{json, text, topic, wire};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Bytes of a `mid`.
pub(crate) const MID_BYTES_MAX: usize = 64;

/// Nesting of `att` and `x`; deeper ones break the parsers of other people's clients.
pub(crate) const EXTENSION_DEPTH_MAX: usize = 64;

/// A message that can be taken, wherever it is going.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) mid: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    reply: Option<u64>,
    thread: Option<u64>,
    /// Whether a program says it for the account.
    pub(crate) auto: bool,
    /// Seconds after which it has expired.
    ttl: Option<u32>,
    att: Option<&'a RawValue>,
    x: Option<&'a RawValue>,
    /// Of the PUBLISH.
    content_type: Option<&'a str>,
    user_properties: Vec<(&'a str, &'a str)>,
}

/// What the server adds to a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamped<'a> {
    pub(crate) seq: Seq,
    pub(crate) pos: Pos,
    pub(crate) from: &'a str,
    pub(crate) device: DeviceId,
    pub(crate) at: Millis,
}

/// A payload that is no message, and the mid under which its sender awaits an answer if that much could be read.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) refusal: Refusal,
    pub(crate) mid: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    mid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(default)]
    reply: Option<u64>,
    #[serde(default)]
    thread: Option<u64>,
    #[serde(default)]
    auto: bool,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(borrow, default)]
    att: Option<&'a RawValue>,
    #[serde(borrow, default)]
    x: Option<&'a RawValue>,
}

/// Reads a payload of `im/to/<conv>`, or, with `is_text`, of `im/to/<conv>/text`.
pub(crate) fn parse<'a>(
    payload: &'a [u8],
    is_text: bool,
    settings: &Settings,
) -> Result<Draft<'a>, Rejected> {
    let Ok(whole) = std::str::from_utf8(payload) else {
        let refusal = Refusal::payload("the payload is not UTF-8");
        return Err(Rejected { refusal, mid: None });
    };
    if is_text || !whole.starts_with('{') {
        let draft = Draft {
            text: Some(Cow::Borrowed(whole)),
            ..Draft::default()
        };
        return match check(&draft, settings) {
            Ok(()) => Ok(draft),
            Err(refusal) => Err(Rejected { refusal, mid: None }),
        };
    }
    let body: Body<'a> = json::read(payload).map_err(|refusal| Rejected {
        refusal: whole_text(refusal),
        mid: json::mid_alone(whole).filter(|mid| check_mid(mid).is_ok()),
    })?;
    let mut draft = Draft {
        mid: body.mid,
        text: body.text,
        reply: body.reply,
        thread: body.thread,
        auto: body.auto,
        ttl: body.ttl,
        att: body.att,
        x: body.x,
        ..Draft::default()
    };
    match check(&draft, settings).and_then(|()| draft.check_properties(settings)) {
        Ok(()) => {
            draft.text = draft.text.filter(|text| !text.is_empty());
            Ok(draft)
        }
        Err(refusal) => {
            let mid = draft.mid.filter(|mid| check_mid(mid).is_ok());
            let mid = mid.map(|mid| mid.into_owned().into_boxed_str());
            Err(Rejected { refusal, mid })
        }
    }
}

/// A text that begins like JSON is said in another way.
fn whole_text(refusal: Refusal) -> Refusal {
    if refusal.code != "invalid_json" {
        return refusal;
    }
    let (sentence, hint) = (
        &refusal.sentence,
        "a text that begins with '{' is published to im/to/<conv>/text",
    );
    Refusal::invalid_json(format!("{sentence}; {hint}"))
}

/// The mid of a payload that is refused without being looked at any further.
pub(crate) fn mid(payload: &[u8]) -> Option<Box<str>> {
    let whole = std::str::from_utf8(payload).ok()?;
    if !whole.starts_with('{') {
        return None;
    }
    json::mid_alone(whole).filter(|mid| check_mid(mid).is_ok())
}

fn check(draft: &Draft<'_>, settings: &Settings) -> Result<(), Refusal> {
    if let Some(mid) = &draft.mid {
        check_mid(mid)?;
    }
    let text = draft.text.as_deref().unwrap_or_default();
    if text.len() > settings.text_bytes_max {
        let most = settings.text_bytes_max;
        return Err(Refusal::too_large("the text", text.len(), most).in_field("text"));
    }
    // Six bytes is the most that one becomes, and then a page or a packet would be full of it.
    let most = settings.text_bytes_max.saturating_mul(2);
    if text.len().saturating_mul(json::ESCAPED_BYTES_MAX) > most {
        let escaped = json::escaped(text);
        if escaped > most {
            return Err(Refusal::too_large("the text as JSON", escaped, most).in_field("text"));
        }
    }
    for (name, extension) in [("att", draft.att), ("x", draft.x)] {
        let Some(extension) = extension else { continue };
        let bytes = extension.get().len();
        if bytes > settings.extension_bytes_max {
            let most = settings.extension_bytes_max;
            return Err(Refusal::too_large(name, bytes, most).in_field(name));
        }
        if json::depth(extension.get()) > EXTENSION_DEPTH_MAX {
            let sentence = format!("{name} is nested deeper than {EXTENSION_DEPTH_MAX} levels");
            return Err(Refusal::payload(sentence).in_field(name));
        }
    }
    if draft.att.is_some_and(|att| !att.get().starts_with('[')) {
        return Err(Refusal::payload("att must be an array").in_field("att"));
    }
    if text.is_empty() && draft.att.is_none() && draft.x.is_none() {
        return Err(Refusal::payload("the message is empty: it needs a text"));
    }
    Ok(())
}

/// Whether it is fit to be one level of a topic.
pub(crate) fn check_mid(mid: &str) -> Result<(), Refusal> {
    if mid.len() > MID_BYTES_MAX {
        return Err(Refusal::too_large("mid", mid.len(), MID_BYTES_MAX).in_field("mid"));
    }
    if !topic::is_level(mid) {
        let sentence =
            "mid must be fit for a topic: not empty, without '/', '+', '#' and control characters";
        return Err(Refusal::payload(sentence).in_field("mid"));
    }
    Ok(())
}

impl<'a> Draft<'a> {
    /// The message with what its PUBLISH said of it.
    pub(crate) fn with(
        mut self,
        properties: Option<&'a MessageProperties>,
        settings: &Settings,
    ) -> Result<Self, Rejected> {
        let Some(properties) = properties else {
            return Ok(self);
        };
        let (content_type, user) = (&properties.content_type, &properties.user);
        self.ttl = self.ttl.or(properties.expiry_secs);
        self.content_type = content_type.as_deref();
        self.user_properties = user
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        match self.check_properties(settings) {
            Ok(()) => Ok(self),
            Err(refusal) => {
                let mid = self.mid.map(|mid| mid.into_owned().into_boxed_str());
                Err(Rejected { refusal, mid })
            }
        }
    }

    fn check_properties(&self, settings: &Settings) -> Result<(), Refusal> {
        if self.ttl == Some(0) {
            return Err(Refusal::payload("ttl must be at least one second").in_field("ttl"));
        }
        let bytes = self.content_type.map_or(0, str::len);
        if bytes > settings.title_bytes_max {
            let refusal = Refusal::too_large("the content type", bytes, settings.title_bytes_max);
            return Err(refusal.in_field("content_type"));
        }
        let pairs = self.user_properties.iter();
        let bytes = pairs.map(|(name, value)| json::escaped(name) + json::escaped(value));
        let (bytes, most) = (bytes.sum(), settings.extension_bytes_max);
        if bytes > most {
            let refusal = Refusal::too_large("the user properties", bytes, most);
            return Err(refusal.in_field("user_properties"));
        }
        Ok(())
    }

    /// When it has expired, if it was sent at this moment.
    pub(crate) fn expires_at(&self, at: Millis) -> Option<Millis> {
        self.ttl
            .map(|secs| at.saturating_add(u64::from(secs) * 1_000))
    }

    /// Whether the messages that it names are there, of so many.
    pub(crate) fn check_references(&self, last: u64) -> Result<(), Refusal> {
        for (key, named) in [("reply", self.reply), ("thread", self.thread)] {
            if let Some(missing) = named.filter(|seq| *seq == 0 || *seq > last) {
                return Err(Refusal::no_such_message(missing).in_field(key));
            }
        }
        Ok(())
    }

    /// The JSON that everybody gets.
    pub(crate) fn wire(&self, stamped: &Stamped<'_>) -> Bytes {
        wire::json(&wire::Message {
            kind: "message",
            seq: stamped.seq.value(),
            pos: stamped.pos.to_string(),
            from: stamped.from,
            device: stamped.device.to_string(),
            at: wire::millis(stamped.at),
            mid: self.mid.as_deref(),
            text: self.text.as_deref(),
            reply: self.reply,
            thread: self.thread,
            auto: self.auto,
            ttl: self.ttl,
            att: self.att,
            x: self.x,
            content_type: self.content_type,
            user_properties: &self.user_properties,
        })
    }

    /// What a terminal shows of it.
    pub(crate) fn line(&self, from: &str) -> Bytes {
        text::line(from, self.text.as_deref())
    }
}
