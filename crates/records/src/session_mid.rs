//! What tells a message that a session sends again, where its client gave it no `mid`.

use crate::{AccountId, SessionNumber, key};

/// What stands for the `mid` of a message whose client gave none, if it must not be sent twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionMid {
    /// A QoS 2 publish of a persistent session, until its receipt is released.
    Packet {
        /// The session.
        session: SessionNumber,
        /// Its packet id.
        packet_id: u16,
    },
    /// A connection's will, until it is gone.
    Will {
        /// Whose.
        account: AccountId,
        /// Of which device.
        client_id: Box<str>,
    },
}

impl SessionMid {
    /// The key under which it stands what became of the message.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Packet { session, packet_id } => key::sent(*session, *packet_id),
            Self::Will { account, client_id } => key::sent_will(*account, client_id),
        }
    }
}
