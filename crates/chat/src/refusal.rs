//! Why a publish was refused: a code for programs, a sentence for people. What MQTT makes of it is the server's business.

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// The account may not do this (0x87).
    NotAuthorized,
    /// A limit is reached (0x97).
    Quota,
    /// The payload is not what the topic takes (0x99).
    PayloadFormat,
    /// There is no such topic in the contract (0x90).
    TopicName,
    /// The fault is ours (0x83).
    Unavailable,
}

/// A refused publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind it is.
    pub kind: RefusalKind,
    /// The code, for programs: `not_a_member`, `payload_format` …
    pub code: &'static str,
    /// A sentence for people.
    pub sentence: Box<str>,
    /// The key of the payload that is wrong, if it is one.
    pub field: Option<Box<str>>,
    /// Milliseconds after which it may be tried again, where that may help.
    pub retry_millis: Option<u64>,
}

/// When what failed for a moment may be tried again.
const MOMENT_MILLIS: u64 = 1_000;
/// When it may be tried again whether the disk has room.
const DISK_FULL_MILLIS: u64 = 30_000;

impl Refusal {
    fn new(kind: RefusalKind, code: &'static str, sentence: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            code,
            sentence: sentence.into(),
            field: None,
            retry_millis: None,
        }
    }

    /// It is this key of the payload that is wrong.
    pub(crate) fn in_field(self, field: impl Into<Box<str>>) -> Self {
        let field = Some(field.into());
        Self { field, ..self }
    }

    /// It may be tried again after so many milliseconds.
    pub(crate) fn retry_in(self, millis: u64) -> Self {
        let retry_millis = Some(millis.max(1));
        Self {
            retry_millis,
            ..self
        }
    }

    /// The payload should be JSON and is not.
    pub(crate) fn invalid_json(sentence: impl Into<Box<str>>) -> Self {
        Self::new(RefusalKind::PayloadFormat, "invalid_json", sentence)
    }

    /// A key of the payload that must be there is not.
    pub(crate) fn missing_key(key: &str) -> Self {
        let sentence = format!("{key} is missing");
        Self::new(RefusalKind::PayloadFormat, "missing_key", sentence).in_field(key)
    }

    /// The payload is not what the topic takes.
    pub(crate) fn payload(sentence: impl Into<Box<str>>) -> Self {
        Self::new(RefusalKind::PayloadFormat, "payload_format", sentence)
    }

    /// Longer than it may be.
    pub(crate) fn too_large(what: &str, bytes: usize, most: usize) -> Self {
        let sentence = format!("{what} has {bytes} bytes, at most {most} are taken");
        Self::new(RefusalKind::PayloadFormat, "too_large", sentence)
    }

    /// A title or a name for people is longer than it may be.
    pub(crate) fn title_too_long(what: &str, bytes_max: usize) -> Self {
        // A character has four bytes at most.
        let fitting = bytes_max / 4;
        let sentence = format!("{what} is too long; one of up to {fitting} characters always fits");
        Self::new(RefusalKind::PayloadFormat, "too_large", sentence)
    }

    /// There is no message with this number.
    pub(crate) fn no_such_message(seq: u64) -> Self {
        let sentence = format!("there is no message {seq} in this conversation");
        Self::new(RefusalKind::PayloadFormat, "no_such_message", sentence)
    }

    /// A `mid` that stands for another message of this account in this conversation.
    pub(crate) fn mid_reused(seq: u64) -> Self {
        let sentence = format!("this mid is that of message {seq}, which says something else");
        Self::new(RefusalKind::PayloadFormat, "mid_reused", sentence)
    }

    /// A conversation that somebody does not take part in.
    pub(crate) fn not_a_member(conv: &str) -> Self {
        let sentence = format!("you are not a member of {conv}");
        Self::new(RefusalKind::NotAuthorized, "not_a_member", sentence)
    }

    /// A conversation that does not exist.
    pub(crate) fn no_such_conversation(conv: &str) -> Self {
        let sentence = format!("there is no conversation {}", shown(conv));
        Self::new(RefusalKind::NotAuthorized, "no_such_conversation", sentence)
    }

    /// The conversation of a command that names none.
    pub(crate) fn no_such_group() -> Self {
        let sentence = "there is no such conversation";
        Self::new(RefusalKind::NotAuthorized, "no_such_conversation", sentence)
    }

    /// An account that does not exist.
    pub(crate) fn no_such_account(name: &str) -> Self {
        let sentence = format!("there is no account named {}", shown(name));
        Self::new(RefusalKind::NotAuthorized, "no_such_account", sentence)
    }

    /// A device that is not connected.
    pub(crate) fn no_such_device(conv: &str) -> Self {
        let sentence = format!("{} has no such device here at the moment", shown(conv));
        Self::new(RefusalKind::NotAuthorized, "no_such_device", sentence)
    }

    /// Something this account may not do.
    pub(crate) fn not_allowed(sentence: impl Into<Box<str>>) -> Self {
        Self::new(RefusalKind::NotAuthorized, "not_allowed", sentence)
    }

    /// Too much or too many.
    pub(crate) fn quota(sentence: impl Into<Box<str>>) -> Self {
        Self::new(RefusalKind::Quota, "quota", sentence)
    }

    /// Too many at once; after so many milliseconds there is room again.
    pub(crate) fn rate(millis: u64, sentence: impl Into<Box<str>>) -> Self {
        Self::quota(sentence).retry_in(millis)
    }

    /// One more conversation than an account may have begun or joined.
    pub(crate) fn too_many_conversations() -> Self {
        let sentence = "you have begun or joined as many conversations as you may";
        Self::quota(sentence)
    }

    /// Nothing can be stored until there is room.
    pub(crate) fn disk_full() -> Self {
        let sentence =
            "the server's disk is almost full; nothing new is stored until there is room";
        Self::new(RefusalKind::Quota, "disk_full", sentence).retry_in(DISK_FULL_MILLIS)
    }

    /// A topic outside the contract.
    pub(crate) fn unknown_topic() -> Self {
        let sentence = "this topic is not one that a client publishes to";
        Self::new(RefusalKind::TopicName, "unknown_topic", sentence)
    }

    /// Part of the contract, but not of this release.
    pub(crate) fn not_supported(what: &str) -> Self {
        let sentence = format!("this server does not support {} yet", shown(what));
        Self::new(RefusalKind::Unavailable, "not_supported", sentence)
    }

    /// The store cannot be read, or does not keep up.
    pub(crate) fn unavailable() -> Self {
        let sentence = "the server cannot do this right now";
        Self::new(RefusalKind::Unavailable, "unavailable", sentence).retry_in(MOMENT_MILLIS)
    }

    /// A name that is taken.
    pub(crate) fn exists(slug: &str) -> Self {
        let sentence = format!("there is a group {slug} already");
        Self::new(RefusalKind::NotAuthorized, "exists", sentence)
    }
}

/// A stranger's word as it may be repeated in a sentence: short, and nothing that a terminal would obey.
pub(crate) fn shown(word: &str) -> String {
    const CHARS_MAX: usize = 80;
    word.chars()
        .take(CHARS_MAX)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}
