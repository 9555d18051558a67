//! What reaches devices: to whom, on which topics, with which payloads. Must not know who is in a conversation.

use std::sync::Arc;

use bytes::Bytes;
use records::{AccountId, ConversationId, Cursor, Millis, Moment, Pos, Seq, SessionRef};

use crate::format::wire;
use crate::note::Marker;

/// One thing to deliver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Whom it concerns.
    pub audience: Audience,
    /// The packets it consists of, at most four; a session gets those it subscribed to.
    pub packets: Vec<Packet>,
    /// Position of a stored entry, which a session can catch up with.
    pub pos: Option<Pos>,
    /// Every entry up to here, whatever its partition, was delivered before this one, or is this one: whoever has had all of its
    /// deliveries has come so far. Zero says nothing. While one node owns all partitions it is the entry's own position.
    pub floor: Pos,
    /// The session that has published it, if it is here.
    pub publisher: Option<SessionRef>,
    /// When it is not to be delivered any more.
    pub expires_at: Option<Millis>,
    /// The message whose acknowledgement by a device is a receipt.
    pub receipt: Option<(ConversationId, Seq)>,
    /// When what a client published and this delivers was read; unknown for everything else.
    pub read_at: Moment,
}

/// Whom a delivery concerns.
#[derive(Debug, Clone)]
pub enum Audience {
    /// Every session of these accounts.
    Accounts(Arc<[AccountId]>),
    /// One session.
    Session(SessionRef),
}

/// One topic and its payload.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Topic name, relative to the session.
    pub topic: Box<str>,
    /// The payload.
    pub payload: Bytes,
    /// Whether QoS 0 is enough whatever was subscribed (typing, presence).
    pub live_only: bool,
    /// MQTT 5 correlation data of an answer.
    pub correlation: Option<Bytes>,
}

/// What a [`crate::Query`] comes to.
#[derive(Debug)]
pub enum Answer {
    /// Deliver these.
    Deliver(Vec<Delivery>),
    /// What a session asked for with [`crate::Input::CatchUp`].
    CaughtUp {
        /// The session.
        session: SessionRef,
        /// Entries that its cursor does not cover, in the order of their positions.
        entries: Vec<Delivery>,
        /// Everything that this covers is contained, unless the session had it.
        upto: Cursor,
        /// Whether more is stored between there and the present.
        more: bool,
    },
}

/// Packets in one delivery.
const PACKETS_MAX: usize = 4;

/// What is no entry.
pub(crate) fn plain(audience: Audience, packets: Vec<Packet>) -> Delivery {
    Delivery {
        audience,
        packets,
        pos: None,
        floor: Pos::ZERO,
        publisher: None,
        expires_at: None,
        receipt: None,
        read_at: Moment::UNKNOWN,
    }
}

/// One packet that is no entry, for some accounts.
pub(crate) fn to_accounts(accounts: Arc<[AccountId]>, packet: Packet) -> Delivery {
    plain(Audience::Accounts(accounts), vec![packet])
}

/// Packets that are no entries, for one session.
pub(crate) fn to_session(session: SessionRef, packets: Vec<Packet>) -> Vec<Delivery> {
    let mut packets = packets.into_iter().peekable();
    let mut deliveries = Vec::new();
    while packets.peek().is_some() {
        let some = packets.by_ref().take(PACKETS_MAX).collect();
        deliveries.push(plain(Audience::Session(session), some));
    }
    deliveries
}

/// How a conversation is; empty when it was left.
pub(crate) fn about(conv: &str, payload: Bytes) -> Packet {
    packet(format!("im/about/{conv}"), payload)
}

/// What tells devices that a conversation was left, or that it was deleted.
pub(crate) fn left_packets(conv: &str, deleted: bool) -> Vec<Packet> {
    let event = if deleted {
        wire::deleted_event(conv)
    } else {
        wire::own_event("left", conv)
    };
    vec![
        packet("im/me/event".to_owned(), event),
        about(conv, Bytes::new()),
    ]
}

/// These have come to a message.
pub(crate) fn receipt(conv: &str, kind: Marker, from: Vec<&str>, seq: Seq) -> Packet {
    let payload = wire::json(&wire::Receipt {
        kind: kind.word(),
        from,
        seq: seq.value(),
    });
    packet(format!("im/in/{conv}/event"), payload)
}

/// A packet at whatever QoS was subscribed.
pub(crate) fn packet(topic: String, payload: Bytes) -> Packet {
    Packet {
        topic: topic.into(),
        payload,
        live_only: false,
        correlation: None,
    }
}

/// A packet that is worth nothing later.
pub(crate) fn live(topic: String, payload: Bytes) -> Packet {
    Packet {
        live_only: true,
        ..packet(topic, payload)
    }
}

/// The packets of a message under one name of its conversation.
pub(crate) fn message_packets(conv: &str, wire: Bytes, line: Bytes) -> Vec<Packet> {
    vec![
        packet(format!("im/in/{conv}"), wire),
        packet(format!("im/text/{conv}"), line),
    ]
}

/// The packet of an event under one name of its conversation.
pub(crate) fn event_packets(conv: &str, wire: Bytes) -> Vec<Packet> {
    vec![packet(format!("im/in/{conv}/event"), wire)]
}
