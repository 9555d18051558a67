//! Reason codes of MQTT 5, and what MQTT 3 says in their place.

/// A reason code; values below 0x80 mean success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal),+ $(,)?) => {
        impl ReasonCode {
            $($(#[doc = $doc])+ pub const $name: Self = Self($value);)+

            /// Every code of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

// A macro keeps the constants and the list of all in step.
reason_codes! {
    /// Success, granted QoS 0, or normal disconnection.
    SUCCESS = 0x00,
    /// Granted QoS 1.
    GRANTED_QOS_1 = 0x01,
    /// Granted QoS 2.
    GRANTED_QOS_2 = 0x02,
    /// The client leaves and wants its will published.
    DISCONNECT_WITH_WILL = 0x04,
    /// Accepted, but nobody subscribes.
    NO_MATCHING_SUBSCRIBERS = 0x10,
    /// There was nothing to unsubscribe.
    NO_SUBSCRIPTION_EXISTED = 0x11,
    /// Authentication goes on.
    CONTINUE_AUTHENTICATION = 0x18,
    /// The client authenticates anew.
    RE_AUTHENTICATE = 0x19,
    /// Not further specified.
    UNSPECIFIED_ERROR = 0x80,
    /// The packet is not well formed.
    MALFORMED_PACKET = 0x81,
    /// The packet must not come here or now.
    PROTOCOL_ERROR = 0x82,
    /// Valid, but not accepted by this server.
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83,
    /// The server does not speak this version.
    UNSUPPORTED_PROTOCOL_VERSION = 0x84,
    /// The client id is not allowed.
    CLIENT_IDENTIFIER_NOT_VALID = 0x85,
    /// User name or password are wrong.
    BAD_USER_NAME_OR_PASSWORD = 0x86,
    /// Not allowed.
    NOT_AUTHORIZED = 0x87,
    /// The server is not available.
    SERVER_UNAVAILABLE = 0x88,
    /// The server is busy.
    SERVER_BUSY = 0x89,
    /// The client is banned.
    BANNED = 0x8A,
    /// The server is shutting down.
    SERVER_SHUTTING_DOWN = 0x8B,
    /// The authentication method is not supported or not the present one.
    BAD_AUTHENTICATION_METHOD = 0x8C,
    /// Nothing was heard for one and a half times the keep-alive.
    KEEP_ALIVE_TIMEOUT = 0x8D,
    /// Another connection uses this client id.
    SESSION_TAKEN_OVER = 0x8E,
    /// The topic filter is not accepted.
    TOPIC_FILTER_INVALID = 0x8F,
    /// The topic name is not accepted.
    TOPIC_NAME_INVALID = 0x90,
    /// The packet identifier is in use.
    PACKET_IDENTIFIER_IN_USE = 0x91,
    /// The packet identifier is not known.
    PACKET_IDENTIFIER_NOT_FOUND = 0x92,
    /// More unacknowledged publishes than Receive Maximum.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    /// The topic alias is zero or above the maximum.
    TOPIC_ALIAS_INVALID = 0x94,
    /// The packet is larger than Maximum Packet Size.
    PACKET_TOO_LARGE = 0x95,
    /// The rate is too high.
    MESSAGE_RATE_TOO_HIGH = 0x96,
    /// A quota is exhausted.
    QUOTA_EXCEEDED = 0x97,
    /// An administrative action.
    ADMINISTRATIVE_ACTION = 0x98,
    /// The payload does not have the form it claims or has to have.
    PAYLOAD_FORMAT_INVALID = 0x99,
    /// Retained messages are not supported.
    RETAIN_NOT_SUPPORTED = 0x9A,
    /// The QoS is not supported.
    QOS_NOT_SUPPORTED = 0x9B,
    /// Use another server for now.
    USE_ANOTHER_SERVER = 0x9C,
    /// Use another server for good.
    SERVER_MOVED = 0x9D,
    /// Shared subscriptions are not supported.
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E,
    /// Connections come too fast.
    CONNECTION_RATE_EXCEEDED = 0x9F,
    /// The longest time a connection may last has passed.
    MAXIMUM_CONNECT_TIME = 0xA0,
    /// Subscription identifiers are not supported.
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1,
    /// Wildcard subscriptions are not supported.
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2,
}

impl ReasonCode {
    /// Whether it reports a failure.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The code that grants a subscription. [3.1.1 MQTT-3.9.3-2] [5 MQTT-3.8.4-7]
    pub const fn granted(qos: crate::QoS) -> Self {
        Self(qos as u8)
    }

    /// The return code of a 3.1 or 3.1.1 CONNACK.
    pub const fn connect_return_code(self) -> u8 {
        const UNACCEPTABLE_VERSION: u8 = 1;
        const IDENTIFIER_REJECTED: u8 = 2;
        const SERVER_UNAVAILABLE: u8 = 3;
        const BAD_CREDENTIALS: u8 = 4;
        const NOT_AUTHORIZED: u8 = 5;
        match self {
            Self::SUCCESS => 0,
            Self::UNSUPPORTED_PROTOCOL_VERSION => UNACCEPTABLE_VERSION,
            Self::CLIENT_IDENTIFIER_NOT_VALID => IDENTIFIER_REJECTED,
            Self::BAD_USER_NAME_OR_PASSWORD | Self::BAD_AUTHENTICATION_METHOD => BAD_CREDENTIALS,
            Self::NOT_AUTHORIZED | Self::BANNED => NOT_AUTHORIZED,
            _ => SERVER_UNAVAILABLE,
        }
    }
}
