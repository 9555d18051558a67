//! Why bytes are not a packet, and with which reason code the connection closes for it.

use crate::ReasonCode;

/// A packet that can't be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not well formed.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// Well formed, but against the protocol.
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// Larger than allowed.
    #[error("packet of {bytes} bytes, at most {maximum} are allowed")]
    TooLarge {
        /// What the packet claims.
        bytes: u64,
        /// What is allowed.
        maximum: u32,
    },
    /// More properties than allowed.
    #[error("more than {0} user properties")]
    TooManyProperties(u16),
    /// Not an MQTT CONNECT.
    #[error("unknown protocol name")]
    UnknownProtocol,
    /// A level we do not speak.
    #[error("unsupported protocol level {level}")]
    UnsupportedVersion {
        /// The level in CONNECT.
        level: u8,
    },
    /// A topic name with wildcards or without characters.
    #[error("invalid topic name")]
    InvalidTopicName,
    /// A filter with misplaced wildcards or without characters.
    #[error("invalid topic filter")]
    InvalidTopicFilter,
    /// Topic alias zero.
    #[error("topic alias 0")]
    InvalidTopicAlias,
}

impl DecodeError {
    /// Whether the packet may be sound and is only more than is taken here.
    pub const fn is_limit(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::TooManyProperties(_) => true,
            Self::Malformed(_)
            | Self::Protocol(_)
            | Self::UnknownProtocol
            | Self::UnsupportedVersion { .. }
            | Self::InvalidTopicName
            | Self::InvalidTopicFilter
            | Self::InvalidTopicAlias => false,
        }
    }

    /// The reason code of the DISCONNECT. [5 MQTT-4.13.1-1]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::MALFORMED_PACKET,
            Self::Protocol(_) => ReasonCode::PROTOCOL_ERROR,
            Self::TooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Self::TooManyProperties(_) => ReasonCode::QUOTA_EXCEEDED,
            Self::UnknownProtocol | Self::UnsupportedVersion { .. } => {
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
            }
            Self::InvalidTopicName => ReasonCode::TOPIC_NAME_INVALID,
            Self::InvalidTopicFilter => ReasonCode::TOPIC_FILTER_INVALID,
            Self::InvalidTopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
        }
    }
}
