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
}
