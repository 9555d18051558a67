//! Who can be written to, and what: the letters between shards, the service, readers and authenticators.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use broker::{ChatDelivery, ConnectionId, PendingConnect};
use chat::HashedPassword;
use net::{Readiness, Transport};
use records::{AccountId, Millis, Role, ScramVerifier, Stamp};

use crate::handle::{AccountInfo, Actor, Login, Reply, RequestError};
use crate::logins::Known;
use crate::mailbox::Mailbox;
use crate::origin::Origin;

/// A letter to a shard.
pub(crate) enum ShardEvent {
    /// For its core.
    Input(broker::Input),
    /// The messenger delivers; the same letter goes to every shard.
    Deliver(Arc<ChatDelivery>),
    /// A connection whose CONNECT another shard has accepted.
    Adopt {
        transport: Transport,
        origin: Origin,
        pending: Box<PendingConnect>,
    },
    /// A connection whose handshake is over.
    Connection {
        transport: Transport,
        origin: Origin,
        /// When it began: the time for its CONNECT runs from there.
        began: Instant,
    },
    /// A connection that no poll watches can be read or written again.
    Ready {
        connection: ConnectionId,
        readiness: Readiness,
    },
    /// The committer has room again.
    Room,
    /// Say from which stored message on you still need them, and which segments of them that end at these stamps.
    ReportNeeds(Option<Arc<[Stamp]>>),
    /// Disconnect everybody and end.
    Stop,
}

/// A letter to the service.
pub(crate) enum ServiceEvent {
    /// For the messenger.
    Chat(chat::Input),
    /// Every append of the messenger up to this one is on disk.
    Appended(store::Ticket),
    /// This append of the messenger was refused: somebody else owns what it would have changed.
    Refused(store::Ticket),
    /// A password has been checked; a right one gets a token for `device`.
    Checked {
        outcome: Result<Known, RequestError>,
        device: String,
        peer: IpAddr,
        reply: Reply<Login>,
    },
    /// A password has been hashed, for this.
    Hashed {
        hash: Result<HashedPassword, RequestError>,
        purpose: Purpose,
    },
    /// A password that was right, in the form of SCRAM, for the account's record.
    KeepVerifier {
        account: AccountId,
        argon2: String,
        scram: ScramVerifier,
    },
    /// A token was used and lasts longer.
    RenewToken { sha256: [u8; 32], expires: Millis },
    /// The disk has little room left, or has room again.
    DiskFull(bool),
    /// So many bytes may still be stored until it has.
    DiskRoom(u64),
    /// Commits cannot be made any more, or a thread has died.
    Failed(String),
    /// Work off what has come and end.
    Stop,
}

/// What a password is hashed for.
pub(crate) enum Purpose {
    /// A new account; the first one only while there is none.
    Add {
        name: String,
        display: String,
        role: Role,
        first: bool,
        similar: bool,
        by: Actor,
        reply: Reply<AccountInfo>,
    },
    /// Another password.
    SetPassword {
        name: String,
        by: Actor,
        reply: Reply<()>,
    },
}

/// Everybody's mailboxes.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) shards: Arc<[Mailbox<ShardEvent>]>,
    pub(crate) service: Mailbox<ServiceEvent>,
}

impl Post {
    /// Whether somebody cannot keep up, so that no more work should be taken in.
    pub(crate) fn is_congested(&self) -> bool {
        self.service.is_full() || self.shards.iter().any(Mailbox::is_full)
    }

    pub(crate) fn shard(&self, shard: u16) -> &Mailbox<ShardEvent> {
        &self.shards[usize::from(shard)]
    }

    /// Writes to every shard.
    pub(crate) fn tell_shards(&self, letter: impl Fn() -> ShardEvent) {
        for shard in self.shards.iter() {
            shard.send(letter());
        }
    }
}
