//! What enters and leaves a shard. Data only: whoever holds the sockets, the store and the clock feeds
//! inputs and carries out outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{QoS, ReasonCode, SubscriptionOptions, UserProperties};
use records::{
    AccountId, ConversationId, Cursor, Moment, Pos, Seq, SessionMid, SessionRef, Stamp, Write,
};

use crate::access::list::Identity;
use crate::connections::pending_connect::PendingConnect;
use crate::message::Message;
use crate::retained::message::RetainedMessage;
use crate::settings::Settings;
use crate::stored::survey::{Holder, Survey};

/// A network connection of this shard. The serial tells a reused slot from its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// Place in the shard's table; fit to be an event token.
    pub slot: u32,
    /// Distinguishes the connections that have had this slot.
    pub serial: u32,
}

/// Counts a shard's appends; they complete in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// The answer to [`Output::Authenticate`].
    Authenticated {
        /// The connection that asked.
        connection: ConnectionId,
        /// Its identity, or the reason code of the refusal.
        verdict: Result<Identity, ReasonCode>,
    },
    /// The answer to [`Output::Exchange`].
    Exchanged {
        /// The connection that asked.
        connection: ConnectionId,
        /// What became of its step.
        outcome: Exchanged,
    },
    /// Every append up to this one is on disk.
    Appended(Ticket),
    /// Another shard published.
    Forwarded(Arc<Forwarded>),
    /// Another shard's interest in a filter changed.
    Announced(Announcement),
    /// Another shard has messages of a shared subscription that it has nobody for.
    PassedOn(PassedOn),
    /// The messenger delivers to accounts or to one session.
    Deliver(Arc<ChatDelivery>),
    /// What a session asked for with [`Service::CatchUp`].
    CaughtUp {
        /// The session that asked.
        session: SessionRef,
        /// Stored entries that its cursor does not cover, in the order of their positions.
        entries: Vec<Arc<ChatDelivery>>,
        /// Everything that this covers is contained, unless the session had it.
        upto: Cursor,
        /// Whether more is stored between there and the present.
        more: bool,
    },
    /// What a session asked for with [`Output::Fetch`], in the order asked; `None` is gone. It may be the
    /// beginning only, at least one, so that an answer is bounded in bytes: the rest is asked for again.
    Fetched {
        /// The session that asked.
        session: SessionRef,
        /// Stamp and message.
        messages: Vec<(Stamp, Option<Arc<Message>>)>,
    },
    /// The messenger's word on a [`Service::Publish`].
    Acknowledged {
        /// The publishing session.
        session: SessionRef,
        /// The number given in [`ChatPublish::ack`].
        ack: u64,
        /// Why it was refused.
        outcome: Result<(), (ReasonCode, Box<Explanation>)>,
    },
    /// The account was disabled, removed, or changed its password: its connections are closed.
    CloseAccount {
        /// The account.
        account: AccountId,
        /// Why.
        reason: ReasonCode,
    },
    /// The token was revoked: the connections that it opened are closed.
    CloseToken {
        /// Its account.
        account: AccountId,
        /// [`Identity::token`].
        token: Arc<[u8; 32]>,
        /// Why.
        reason: ReasonCode,
    },
    /// Figures of the server for `$SYS/`, QoS 0 and retained; an empty one is gone.
    System(Arc<[Arc<Message>]>),
    /// How much waits on disk in the whole server.
    Storage(Pressure),
    /// These accounts hold most of it, and lose some.
    Shed(Arc<Shed>),
    /// A new configuration.
    Reconfigure(Arc<Settings>),
    /// The server is going down: every client is told and disconnected.
    Shutdown,
}

/// How the stored messages of the whole server stand to their bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Nothing more is taken that would have to wait on disk.
    pub full: bool,
    /// The disk itself has little room left: nothing at all is taken that would have to be stored.
    pub disk_full: bool,
}

/// What accounts lose of the messages that wait for them on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shed {
    /// Of each session, how many in [`Shed::PARTS`], those first that have waited longest.
    pub parts: BTreeMap<Holder, u32>,
    /// Nothing from this stamp on is dropped.
    pub before: Stamp,
}

impl Shed {
    /// Parts that make everything that waits for an account.
    pub const PARTS: u32 = 1 << 16;
}

/// Why a publish was refused, beside the reason code: MQTT 5 clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// A sentence for people.
    pub sentence: Box<str>,
    /// User properties for programs, in wire form.
    pub user: Vec<u8>,
}

impl Explanation {
    pub(crate) fn as_sent(&self) -> mqtt_codec::Explanation<'_> {
        mqtt_codec::Explanation {
            sentence: &self.sentence,
            user: UserProperties::of_wire(&self.user),
        }
    }
}

impl From<&str> for Box<Explanation> {
    fn from(sentence: &str) -> Self {
        Self::new(Explanation {
            sentence: sentence.into(),
            user: Vec::new(),
        })
    }
}

/// Something to be done outside.
#[derive(Debug)]
pub enum Output {
    /// Bytes wait for this connection: write them, then say so with `wrote`.
    Flush(ConnectionId),
    /// Write what waits, then close.
    Close(ConnectionId),
    /// Read from this connection again.
    Resume(ConnectionId),
    /// Is this who it says it is? Answer with [`Input::Authenticated`].
    Authenticate(Box<AuthenticationRequest>),
    /// A step of enhanced authentication. Answer with [`Input::Exchanged`].
    Exchange(Box<ExchangeRequest>),
    /// The session of this connection lives on another shard: move the socket there.
    HandOver {
        /// The connection, which is forgotten here.
        connection: ConnectionId,
        /// The shard that owns the session.
        shard: u16,
        /// What the other shard has to know.
        pending: Box<PendingConnect>,
    },
    /// Write all of this atomically and durably, then answer [`Input::Appended`].
    Append {
        /// Completes in order.
        ticket: Ticket,
        /// What to write.
        writes: Vec<Write>,
    },
    /// Another shard has subscribers, or keeps retained messages too.
    Forward {
        /// Bit mask of the shards concerned.
        shards: u64,
        /// What they get.
        forwarded: Arc<Forwarded>,
    },
    /// Tell every other shard.
    Announce(Announcement),
    /// Another shard has members of a shared subscription that can take these.
    PassOn {
        /// The shard.
        shard: u16,
        /// What it gets.
        passed: PassedOn,
    },
    /// For the messenger.
    Service(Service),
    /// The answer to [`crate::Shard::seek_low_water`]: messages below this stamp wait for nobody here.
    LowWater(Stamp),
    /// The rest of the answer to [`crate::Shard::survey`].
    Surveyed(Box<Survey>),
    /// Read these stored messages. Answer with [`Input::Fetched`].
    Fetch {
        /// Who waits for them.
        session: SessionRef,
        /// At most [`crate::FETCH_MAX`].
        stamps: Vec<Stamp>,
    },
}

/// Credentials of a CONNECT.
pub struct AuthenticationRequest {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// User name.
    pub username: Box<str>,
    /// Password, if one was sent.
    pub password: Option<Box<[u8]>>,
}

impl std::fmt::Debug for AuthenticationRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AuthenticationRequest")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A client's step of enhanced authentication.
pub struct ExchangeRequest {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// The method of its CONNECT.
    pub method: Arc<str>,
    /// What the client sent.
    pub data: Option<Box<[u8]>>,
    /// What the method gave with its last [`Exchanged::Continue`]; empty at an exchange's first step.
    pub state: Box<[u8]>,
}

impl std::fmt::Debug for ExchangeRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ExchangeRequest")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// What became of a step of enhanced authentication.
pub enum Exchanged {
    /// The client has to say more.
    Continue {
        /// For the client.
        data: Box<[u8]>,
        /// For the next [`ExchangeRequest::state`].
        state: Box<[u8]>,
    },
    /// The client is who it says it is.
    Proved {
        /// Who that is.
        identity: Identity,
        /// For the client.
        data: Box<[u8]>,
    },
    /// It is not, or the method is unknown; as CONNACK would say it.
    Refused(ReasonCode),
}

impl std::fmt::Debug for Exchanged {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Continue { .. } => formatter.write_str("Continue"),
            Self::Proved { identity, .. } => {
                formatter.debug_tuple("Proved").field(identity).finish()
            }
            Self::Refused(reason) => formatter.debug_tuple("Refused").field(reason).finish(),
        }
    }
}

/// A publish that crosses to other shards, once each.
#[derive(Debug)]
pub struct Forwarded {
    /// The message.
    pub message: Arc<Message>,
    /// Its key in the queue table when it is stored.
    pub stamp: Option<Stamp>,
    /// Set when the message is to be retained; all shards keep this one copy.
    pub retained: Option<RetainedMessage>,
    /// The clock of the shard that sends.
    pub clock: Stamp,
    /// Who published.
    pub publisher: SessionRef,
    /// Shared subscriptions that are served there.
    pub shared: Vec<ForwardedClaim>,
}

/// A shared subscription that gets a message on another shard.
#[derive(Debug)]
pub struct ForwardedClaim {
    /// The shard whose turn it is.
    pub shard: u16,
    /// `$share/<name>/<filter>`.
    pub group: Box<str>,
    /// Its key in the claim table when it is stored.
    pub claim: Option<Stamp>,
}

/// Messages of a shared subscription that move to a shard with members that can take them.
#[derive(Debug)]
pub struct PassedOn {
    /// `$share/<name>/<filter>`.
    pub group: Box<str>,
    /// What is stored.
    pub stored: Vec<PassedClaim>,
    /// What is only in memory.
    pub in_memory: Vec<Arc<Message>>,
    /// The clock of the shard that sends.
    pub clock: Stamp,
}

/// A stored message that a shared subscription has still to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedClaim {
    /// Its key in the claim table.
    pub claim: Stamp,
    /// Its key in the queue table.
    pub message: Stamp,
    /// Quality of service it was published with.
    pub qos: QoS,
    /// Bytes of its message.
    pub weight: u32,
}

/// A change in what one shard wants to hear about.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The shard that speaks.
    pub shard: u16,
    /// Set when the filter is one that devices of an account share under `im/`.
    pub account: Option<AccountId>,
    /// The filter.
    pub filter: Arc<str>,
    /// Whether it has subscribers for it, and durable ones.
    pub interest: routing::Interest,
    /// Of a shared filter that is not under `im/`: its members.
    pub group: routing::GroupInterest,
    /// The clock of the shard that speaks.
    pub clock: Stamp,
}

/// What the shard asks of the messenger.
#[derive(Debug)]
pub enum Service {
    /// A client published under `im/`.
    Publish(Box<ChatPublish>),
    /// A session of an account subscribed under `im/`.
    Subscribed {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
        /// The filter.
        filter: Box<str>,
        /// Whether the subscription replaced one.
        existed: bool,
        /// MQTT 5 retain handling.
        retain_handling: u8,
        /// Not a SUBSCRIBE: a stored session that holds the filter has connected again.
        resumed: bool,
    },
    /// A session of an account unsubscribed under `im/`.
    Unsubscribed {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
        /// The filter.
        filter: Box<str>,
    },
    /// A device connected.
    SessionUp {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
        /// Its client id.
        device: Arc<str>,
        /// If the session was here before, what it has of what the messenger has stored.
        since: Option<Cursor>,
    },
    /// A device's connection ended.
    SessionDown {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
    },
    /// A device acknowledged a message.
    Received {
        /// Its account.
        account: AccountId,
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        seq: Seq,
    },
    /// A session wants what is stored and its cursor does not cover. Answer with [`Input::CaughtUp`].
    CatchUp {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
        /// How far it has come.
        since: Cursor,
    },
}

/// A publish for the messenger.
#[derive(Debug)]
pub struct ChatPublish {
    /// The publishing session.
    pub session: SessionRef,
    /// Its account.
    pub account: AccountId,
    /// Its client id.
    pub device: Arc<str>,
    /// The whole topic.
    pub topic: Box<str>,
    /// The payload.
    pub payload: Bytes,
    /// Set when the publish is to be acknowledged; answered with [`Input::Acknowledged`].
    pub ack: Option<u64>,
    /// MQTT 5 response topic.
    pub response_topic: Option<Box<str>>,
    /// MQTT 5 correlation data.
    pub correlation: Option<Bytes>,
    /// What else MQTT 5 says of it, unless that is nothing.
    pub properties: Option<Box<ChatProperties>>,
    /// What stands for the message's `mid` if its client gave none: sent again after a restart, it is the same message.
    pub session_mid: Option<SessionMid>,
    /// When it was read.
    pub read_at: Moment,
}

/// MQTT 5 properties that a message keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatProperties {
    /// Content type.
    pub content_type: Option<Box<str>>,
    /// User properties, in their order.
    pub user: Vec<(Box<str>, Box<str>)>,
    /// Seconds after which it has expired.
    pub expiry_secs: Option<u32>,
}

impl ChatProperties {
    /// `None` if nothing is said.
    pub(crate) fn of(
        content_type: Option<&str>,
        user: UserProperties<'_>,
        expiry_secs: Option<u32>,
    ) -> Option<Box<Self>> {
        let owned = |(name, value): (&str, &str)| (name.into(), value.into());
        let user: Vec<_> = user.iter().map(owned).collect();
        if user.is_empty() && content_type.is_none() && expiry_secs.is_none() {
            return None;
        }
        Some(Box::new(Self {
            content_type: content_type.map(Into::into),
            user,
            expiry_secs,
        }))
    }
}

/// One thing the messenger delivers.
#[derive(Debug)]
pub struct ChatDelivery {
    /// Whom it concerns.
    pub recipients: Recipients,
    /// The packets it consists of; a session gets those it subscribed to.
    pub packets: Vec<Arc<Message>>,
    /// Position of a stored entry, which a session can catch up with.
    pub pos: Option<Pos>,
    /// Every entry up to here, whatever its partition, was delivered before this one, or is this one. Zero says nothing; what the store
    /// has brought needs none.
    pub floor: Pos,
    /// The session that has published it: No Local keeps it from that. [5 MQTT-3.8.3-3]
    pub publisher: Option<SessionRef>,
    /// The message whose acknowledgement by a device is a receipt.
    pub receipt: Option<(ConversationId, Seq)>,
}

impl ChatDelivery {
    /// Whether a filter of this session keeps it from its publisher.
    pub(crate) fn is_kept_from(&self, session: SessionRef, options: u8) -> bool {
        self.publisher == Some(session) && SubscriptionOptions::from_bits(options).no_local
    }
}

/// Whom a delivery concerns.
#[derive(Debug)]
pub enum Recipients {
    /// Every session of these accounts.
    Accounts(Arc<[AccountId]>),
    /// One session.
    Session(SessionRef),
}
