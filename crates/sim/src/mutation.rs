//! Mistakes that the world makes in the server's place, so that the checks are seen to fail. A checker that no
//! mistake can upset checks nothing.

use records::{Progress, Session, Subscription, Table, Write, key};

use crate::model::number_in;
use crate::wire::{self, Packet};

/// A mistake, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mutation {
    /// The server as it is.
    #[default]
    None,
    /// Says that appends are on disk before they are.
    AcknowledgeBeforeDisk,
    /// Does not write stored messages.
    LoseStoredMessage,
    /// Does not write subscriptions.
    LoseSubscription,
    /// Leaves given-up subscriptions on disk.
    KeepSubscription,
    /// Does not write what replaced and given-up subscriptions were.
    LoseTerms,
    /// Forgets QoS 2 packet identifiers that it has received.
    LoseReceipt,
    /// Forgets under which packet identifiers it has begun to deliver at QoS 2.
    LoseIdentifier,
    /// Does not tell other shards of every message.
    LoseForward,
    /// Does not read what another shard has said before it reads its sockets.
    ReadBeforeMail,
    /// Sends again without DUP.
    ForgetDup,
    /// Sends everything as if it were sent again.
    AlwaysDup,
    /// Does not write what is under way at QoS 1.
    LoseProgress,
    /// Leaves out some deliveries.
    SkipDelivery,
    /// Delivers some QoS 0 messages twice.
    RepeatQos0,
    /// Gives every delivery the same packet identifier.
    SamePacketId,
    /// Delivers some messages in the wrong order.
    SwapDeliveries,
    /// Delivers at a lower QoS than it should.
    LowerQos,
    /// Delivers to somebody else too.
    Stray,
    /// Sets RETAIN on every delivery.
    AlwaysRetain,
    /// Leaves out subscription identifiers.
    DropIdentifiers,
    /// Acknowledges publishes in the wrong order.
    SwapAcknowledgements,
    /// Says that there was no session.
    DenySession,
    /// Says that there was one.
    ClaimSession,
    /// Does not hear of the client's Receive Maximum.
    IgnoreReceiveMaximum,
    /// Does not hear of the client's Maximum Packet Size.
    IgnorePacketSize,
    /// Does not hear that messages expire.
    IgnoreExpiry,
    /// Does not hear of the client's will.
    IgnoreWill,
    /// Does not hear of the client's DISCONNECT.
    IgnoreDisconnect,
    /// Takes a shared subscription for an ordinary one.
    Unshare,
    /// Leaves sessions on disk when they end.
    LeakSession,
}

impl Mutation {
    /// Every mistake, with words of what is found when it is made.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (
            Self::AcknowledgeBeforeDisk,
            "acknowledged and not delivered",
        ),
        (Self::LoseStoredMessage, "acknowledged and not delivered"),
        (Self::LoseSubscription, "acknowledged and not delivered"),
        (Self::KeepSubscription, "no subscription matches"),
        (Self::LoseTerms, "belong to nothing"),
        (Self::LoseReceipt, "exactly once"),
        (Self::LoseIdentifier, "which is not released"),
        (Self::LoseForward, "acknowledged and not delivered"),
        (Self::ReadBeforeMail, "acknowledged and not delivered"),
        (Self::ForgetDup, "without DUP"),
        (Self::AlwaysDup, "was never sent before"),
        (Self::LoseProgress, "repeated without DUP"),
        (Self::SkipDelivery, "acknowledged and not delivered"),
        (Self::RepeatQos0, "at most once"),
        (Self::SamePacketId, "which is in use"),
        (Self::SwapDeliveries, "[MQTT-4.6.0-6]"),
        (Self::LowerQos, "QoS 0"),
        (Self::Stray, "no subscription matches"),
        (Self::AlwaysRetain, "retain true"),
        (Self::DropIdentifiers, "is missing"),
        (Self::SwapAcknowledgements, "out of turn"),
        (Self::DenySession, "is gone though it was stored"),
        (
            Self::ClaimSession,
            "has no session, and it is said to be present",
        ),
        (Self::IgnoreReceiveMaximum, "[MQTT-3.3.4-9]"),
        (Self::IgnorePacketSize, "[MQTT-3.1.2-24]"),
        (Self::IgnoreExpiry, "[MQTT-3.3.2-6]"),
        (Self::IgnoreWill, "acknowledged and not delivered"),
        (Self::IgnoreDisconnect, "though its client had disconnected"),
        (Self::Unshare, "times to the group"),
        (Self::LeakSession, "a row is left"),
    ];

    /// Takes out of an append what the mistake does not write.
    pub(crate) fn spoil_writes(self, writes: &mut Vec<Write>) {
        let (table, puts) = match self {
            Self::LoseStoredMessage => (Table::Queue, true),
            Self::LoseSubscription => (Table::Subscription, true),
            Self::KeepSubscription => (Table::Subscription, false),
            Self::LoseReceipt => (Table::Incoming, true),
            Self::LoseIdentifier => (Table::Outgoing, true),
            Self::LeakSession => (Table::Session, false),
            Self::LoseProgress => return lose_progress(writes),
            Self::LoseTerms => return lose_terms(writes),
            _ => return,
        };
        let range = table.range();
        writes.retain(|write| {
            let inside = write.key() >= range.from.as_slice() && write.key() < range.to.as_slice();
            !(inside && puts == matches!(write, Write::Put { .. }))
        });
    }

    /// Whether packets have to be looked at on their way out.
    pub(crate) fn touches_packets(self) -> bool {
        matches!(
            self,
            Self::ForgetDup
                | Self::AlwaysDup
                | Self::SkipDelivery
                | Self::RepeatQos0
                | Self::SamePacketId
                | Self::SwapDeliveries
                | Self::LowerQos
                | Self::Stray
                | Self::AlwaysRetain
                | Self::DropIdentifiers
                | Self::SwapAcknowledgements
                | Self::DenySession
                | Self::ClaimSession
        )
    }

    /// What becomes of the packets of one write.
    pub(crate) fn spoil_packets(self, v5: bool, packets: &mut Vec<Vec<u8>>) {
        match self {
            Self::SwapDeliveries => swap(packets, 0x30),
            Self::SwapAcknowledgements => swap(packets, 0x40),
            _ => {
                let whole = std::mem::take(packets);
                packets.extend(whole.into_iter().flat_map(|packet| self.spoil(v5, packet)));
            }
        }
    }

    fn spoil(self, v5: bool, mut packet: Vec<u8>) -> Vec<Vec<u8>> {
        if packet[0] == 0x20 {
            match self {
                Self::DenySession => packet[2] = 0,
                Self::ClaimSession => packet[2] = 1,
                _ => {}
            }
        }
        let Some(Packet::Publish(mut publish)) = wire::read(v5, &packet) else {
            return vec![packet];
        };
        let number = number_in(&publish.payload).unwrap_or(0);
        match self {
            Self::ForgetDup => publish.dup = false,
            Self::AlwaysDup => publish.dup = publish.qos > 0,
            Self::SkipDelivery if number % 5 == 1 => return Vec::new(),
            Self::RepeatQos0 if publish.qos == 0 && number % 3 == 1 => {
                return vec![packet.clone(), packet];
            }
            Self::SamePacketId if publish.qos > 0 => publish.packet_id = 1,
            Self::LowerQos => publish.qos = 0,
            Self::AlwaysRetain => publish.retain = true,
            Self::DropIdentifiers => publish.identifiers.clear(),
            _ => return vec![packet],
        }
        vec![wire::publish(v5, &publish)]
    }
}

fn lose_progress(writes: &mut [Write]) {
    for write in writes {
        if let Write::Put { key, value } = write
            && key::parse_session(key).is_ok()
            && let Ok(mut session) = Session::decode(value)
        {
            session.progress = Progress::default();
            *value = session.encode();
        }
    }
}

fn lose_terms(writes: &mut [Write]) {
    for write in writes {
        if let Write::Put { key, value } = write
            && key::parse_subscription(key).is_ok()
            && let Ok(mut subscription) = Subscription::decode(value)
        {
            let key = key.clone();
            let given_up = !subscription.until.is_empty();
            subscription.former.clear();
            *value = subscription.encode();
            if given_up {
                *write = Write::Delete { key };
            }
        }
    }
}

/// Swaps the first two packets of a kind.
fn swap(packets: &mut [Vec<u8>], kind: u8) {
    let mut places = (0..packets.len()).filter(|place| packets[*place][0] & 0xF0 == kind);
    if let (Some(first), Some(second)) = (places.next(), places.next()) {
        packets.swap(first, second);
    }
}
