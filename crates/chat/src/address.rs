//! How something is addressed: topics are relative to who receives them, so a direct chat is delivered once per side and a group
//! once for all. Must not decide what is delivered.

use std::sync::Arc;

use bytes::Bytes;
use records::{AccountId, ConversationId, ConversationKind, Moment, Pos, Seq, SessionRef};
use smallvec::{SmallVec, smallvec};

use crate::chat::Chat;
use crate::delivery::{self, Audience, Delivery, Packet};
use crate::door::Output;

/// Accounts and what they call a conversation.
pub(crate) type Addressees = SmallVec<[(Arc<[AccountId]>, Box<str>); 2]>;

/// One packet that is no entry, for some accounts.
pub(crate) fn to_accounts(accounts: Arc<[AccountId]>, packet: Packet) -> Output {
    Output::Deliver(Delivery {
        audience: Audience::Accounts(accounts),
        packets: vec![packet],
        pos: None,
        receipt: None,
        read_at: Moment::UNKNOWN,
    })
}

/// One packet that is no entry, for one session.
pub(crate) fn to_session(session: SessionRef, packet: Packet) -> Output {
    Output::Deliver(Delivery {
        audience: Audience::Session(session),
        packets: vec![packet],
        pos: None,
        receipt: None,
        read_at: Moment::UNKNOWN,
    })
}

impl Chat {
    /// What an account calls a conversation; empty for one that does not exist.
    pub(crate) fn conv_name(&self, id: ConversationId, account: AccountId) -> Box<str> {
        let Some(room) = self.rooms.find(id) else {
            return "".into();
        };
        match &room.record.kind {
            ConversationKind::Group { slug, .. } => slug.as_str().into(),
            ConversationKind::Ended { .. } => "".into(),
            ConversationKind::Direct { .. } => {
                let peer = room.peer(account).unwrap_or(account);
                direct_name(self.directory.name(peer))
            }
        }
    }

    /// Everybody in a conversation, by what they call it.
    pub(crate) fn addressees(&mut self, id: ConversationId) -> Addressees {
        if let Some((low, high)) = self.rooms.pair(id) {
            let to_low = (Arc::from([low]), direct_name(self.directory.name(high)));
            if low == high {
                return smallvec![to_low];
            }
            let to_high = (Arc::from([high]), direct_name(self.directory.name(low)));
            return smallvec![to_low, to_high];
        }
        let Some(room) = self.rooms.find_mut(id) else {
            return SmallVec::new();
        };
        let audience = room.audience();
        match &room.record.kind {
            ConversationKind::Group { slug, .. } => smallvec![(audience, slug.as_str().into())],
            ConversationKind::Direct { .. } | ConversationKind::Ended { .. } => SmallVec::new(),
        }
    }

    /// A stored message to everybody in its conversation.
    pub(crate) fn message_deliveries(
        &mut self,
        id: ConversationId,
        (seq, pos): (Seq, Pos),
        (wire, line): (&Bytes, &Bytes),
        read_at: Moment,
    ) -> impl Iterator<Item = Output> {
        let (wire, line) = (wire.clone(), line.clone());
        self.addressees(id)
            .into_iter()
            .map(move |(accounts, conv)| {
                Output::Deliver(Delivery {
                    audience: Audience::Accounts(accounts),
                    packets: delivery::message_packets(&conv, wire.clone(), line.clone()),
                    pos: Some(pos),
                    receipt: Some((id, seq)),
                    read_at,
                })
            })
    }

    /// A stored event to everybody in its conversation.
    pub(crate) fn event_deliveries(
        &mut self,
        id: ConversationId,
        pos: Pos,
        wire: &Bytes,
    ) -> impl Iterator<Item = Output> {
        let wire = wire.clone();
        self.addressees(id)
            .into_iter()
            .map(move |(accounts, conv)| {
                Output::Deliver(Delivery {
                    audience: Audience::Accounts(accounts),
                    packets: delivery::event_packets(&conv, wire.clone()),
                    pos: Some(pos),
                    receipt: None,
                    read_at: Moment::UNKNOWN,
                })
            })
    }
}

/// A direct chat as the other side calls it.
pub(crate) fn direct_name(peer: &str) -> Box<str> {
    format!("@{peer}").into()
}
