//! What enters and leaves the messenger. Data only: whoever holds the shards, the store and the clock feeds inputs,
//! carries out outputs and runs queries on a thread that may wait for a disk.

use std::sync::Arc;

use bytes::Bytes;
use records::{
    Account, AccountId, AccountName, ConversationId, Cursor, KeyRange, Millis, Moment, PartitionId,
    Role, ScramVerifier, Seq, SessionMid, SessionRef, Write,
};

use crate::format::properties::MessageProperties;
use crate::nodes::Frame;
use crate::nodes::view::ClusterView;
use crate::query::{Found, Query};
use crate::refusal::Refusal;
use crate::sessions::delivery::Delivery;
use crate::settings::Settings;

/// Counts the appends of one owner; they complete in this order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Whose state an append belongs to. Another owner's appends neither wait for it nor fail with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A part of all conversations.
    Partition(PartitionId),
    /// Accounts and tokens.
    Accounts,
    /// What sessions keep of accounts.
    Sessions,
    /// How far the node may promise to have come; refused if any partition that it takes for its own is somebody else's.
    Node,
}

/// The asker's own number for an account command; only given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// Whether the disk has so little room left that nothing is taken that would have to be stored, but for markers and what
    /// administrators do.
    DiskFull(bool),
    /// So many bytes may still be stored until that is so.
    DiskRoom(u64),
    /// A client published under `im/`.
    Publish(Box<Publish>),
    /// A session holds a filter under `im/`: it subscribed, or it came back with it.
    Subscribed {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
        /// The filter, without a `$share/<name>/` prefix.
        filter: Box<str>,
        /// Whether the subscription replaced one.
        existed: bool,
        /// MQTT 5 retain handling: 0, 1 or 2.
        retain_handling: u8,
        /// Whether a persistent session has come back with it.
        resumed: bool,
    },
    /// A session gave up a filter under `im/`.
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
        /// If it has been here before, what it has of what was stored: the rest is on its way to it.
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
    /// A session wants what is stored and its cursor does not cover: comes back as [`crate::Answer::CaughtUp`] of a [`Output::Read`].
    ///
    /// Only entries move a session's cursor, which are what has [`Delivery::pos`]: messages and changes of members. A session
    /// that asks again from where it has just asked, because the store was too busy, is answered after five seconds.
    CatchUp {
        /// The session.
        session: SessionRef,
        /// Its account.
        account: AccountId,
        /// How far it has come.
        since: Cursor,
    },
    /// What a [`Query`] has come to for the messenger itself.
    Found(Found),
    /// Every append of an owner up to this one is on disk.
    Appended {
        /// Whose.
        owner: Owner,
        /// The last of them.
        ticket: Ticket,
    },
    /// Appends of an owner were refused because somebody else owns its state by now: what waits of it will never be on disk, and
    /// what is known of it is worth nothing.
    Fenced {
        /// Whose.
        owner: Owner,
        /// The first of them.
        ticket: Ticket,
    },
    /// Of several nodes: what the store says of them.
    Cluster(ClusterView),
    /// Another node has sent this.
    Frame(Frame),
    /// A change of accounts or tokens; answered with [`Output::Answered`].
    Account {
        /// The asker's number.
        request: RequestId,
        /// What is wanted.
        command: AccountCommand,
    },
    /// A group is deleted by whoever runs the server; answered with [`Output::Answered`].
    DeleteGroup {
        /// The asker's number.
        request: RequestId,
        /// Its address.
        slug: String,
    },
    /// New limits.
    Reconfigure(Settings),
}

/// A publish under `im/`.
#[derive(Debug)]
pub struct Publish {
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
    /// Set when the publish is to be acknowledged; answered with [`Output::Acknowledge`].
    pub ack: Option<u64>,
    /// MQTT 5 response topic.
    pub response_topic: Option<Box<str>>,
    /// MQTT 5 correlation data.
    pub correlation: Option<Bytes>,
    /// What else MQTT 5 says of it, unless that is nothing.
    pub properties: Option<Box<MessageProperties>>,
    /// What stands for the client's `mid` if it gave none: the same publish, sent again by its session, has the same.
    pub session_mid: Option<SessionMid>,
    /// When it was read, given on with what is delivered of it.
    pub read_at: Moment,
}

/// A change of accounts or tokens, with secrets already hashed.
#[derive(Debug)]
pub enum AccountCommand {
    /// A new account.
    Add {
        /// Login name, checked by the messenger.
        name: String,
        /// The name that people see; the login name where it is empty.
        display: String,
        /// What it may do.
        role: Role,
        /// `None` logs in with tokens only.
        password: Option<HashedPassword>,
        /// Refused with [`AccountError::SetupDone`] unless there is no account yet.
        first: bool,
        /// Not refused with [`AccountError::Similar`].
        similar: bool,
    },
    /// Another password; tokens are revoked and connections closed.
    SetPassword {
        /// Login name.
        name: String,
        /// The new one.
        password: HashedPassword,
    },
    /// A password that was right is kept in the form of SCRAM as well; nothing happens if it was changed meanwhile.
    KeepVerifier {
        /// Whose.
        account: AccountId,
        /// The argon2 hash it was right for.
        argon2: String,
        /// The form of SCRAM.
        scram: ScramVerifier,
    },
    /// Closes an account to logins, or opens it again.
    SetDisabled {
        /// Login name.
        name: String,
        /// Whether it shall be closed.
        disabled: bool,
    },
    /// Ends an account; what it wrote stays under its name.
    Remove {
        /// Login name.
        name: String,
    },
    /// A new token.
    AddToken {
        /// Whose.
        account: AccountId,
        /// SHA-256 of the token.
        sha256: [u8; 32],
        /// What its owner calls it.
        label: String,
        /// From when on it opens nothing.
        expires: Option<Millis>,
    },
    /// Ends a token, and the connections that it opened; no error if there is none.
    RevokeToken {
        /// SHA-256 of the token.
        sha256: [u8; 32],
    },
    /// A token was used and lasts longer; nothing happens if there is none.
    RenewToken {
        /// SHA-256 of the token.
        sha256: [u8; 32],
        /// From when on it opens nothing.
        expires: Millis,
    },
}

/// A password in the forms in which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedPassword {
    /// Argon2 hash as a PHC string.
    pub argon2: String,
    /// The form of SCRAM, unless the operator has switched it off.
    pub scram: Option<ScramVerifier>,
}

/// What became of an [`AccountCommand`] or an [`Input::DeleteGroup`], once it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountAnswer {
    /// To `Add`.
    Added {
        /// The new account's id.
        id: AccountId,
        /// The new account.
        account: Box<Account>,
    },
    /// To everything else.
    Done,
}

/// Why one of them was not carried out. The `Display` form is a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name is taken, or was once.
    #[error("there is an account named {0} already")]
    Exists(String),
    /// The name looks like another's.
    #[error("{name} looks like {other}, which there is already")]
    Similar {
        /// The name that was asked for.
        name: String,
        /// An account's.
        other: String,
    },
    /// No such account.
    #[error("there is no account named {0}")]
    NoSuch(String),
    /// No such group.
    #[error("there is no group with the address {0}")]
    NoSuchGroup(String),
    /// Something breaks a rule; the sentence says what would be right.
    #[error("{0}")]
    Invalid(String),
    /// The last administrator must stay one.
    #[error("{0} is the only administrator left")]
    LastAdministrator(String),
    /// A limit of the server is reached.
    #[error("{0}")]
    Limit(String),
    /// There is an account already.
    #[error("this server has been set up already")]
    SetupDone,
}

/// Something to be done outside.
#[derive(Debug)]
pub enum Output {
    /// Write all of this atomically and durably, then answer [`Input::Appended`]; if somebody else owns it, [`Input::Fenced`].
    Append {
        /// Whose state it is.
        owner: Owner,
        /// Of a partition, in which of its terms: another one's is refused. Of the node, in which view of the cluster: refused unless every
        /// partition that was its own there still is, in the same term.
        term: u64,
        /// Completes in order with its owner's others.
        ticket: Ticket,
        /// What to write.
        writes: Vec<Write>,
    },
    /// Deliver to sessions.
    Deliver(Delivery),
    /// The word on a publish that asked for one.
    Acknowledge {
        /// The publishing session.
        session: SessionRef,
        /// The number given in [`Publish::ack`].
        ack: u64,
        /// Whether it was accepted.
        outcome: Result<(), Refusal>,
    },
    /// Run this on a thread that may wait for the disk, and carry out what it answers.
    Read(Query),
    /// Bring this to another node, or fail to: it is sent again.
    Frame(Frame),
    /// Deliveries may have been missed: every session asks for what is stored behind its position, like one that comes back.
    Missed,
    /// The credentials of an account or token have changed.
    Credentials(CredentialsChange),
    /// Close every connection of this account.
    CloseAccount {
        /// The account.
        account: AccountId,
    },
    /// Close every connection that this token has opened.
    CloseToken {
        /// Its account.
        account: AccountId,
        /// SHA-256 of the token.
        sha256: [u8; 32],
    },
    /// What became of an account command.
    Answered {
        /// The asker's number.
        request: RequestId,
        /// The outcome.
        outcome: Result<AccountAnswer, AccountError>,
    },
    /// These keys are no longer needed; nobody waits for their deletion.
    Trim(KeyRange),
}

/// What whoever checks logins must know.
#[derive(Debug, Clone)]
pub enum CredentialsChange {
    /// An account is new or has changed.
    Account {
        /// Its id.
        id: AccountId,
        /// The whole record.
        account: Account,
    },
    /// A token is new.
    Token {
        /// SHA-256 of the token.
        sha256: [u8; 32],
        /// Whom it logs in.
        account: AccountId,
        /// From when on it opens nothing.
        expires: Option<Millis>,
    },
    /// A token has ended.
    TokenRevoked {
        /// SHA-256 of the token.
        sha256: [u8; 32],
    },
}

/// An account as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its id.
    pub id: AccountId,
    /// Login name.
    pub name: AccountName,
    /// The name that people see.
    pub display: String,
    /// What it may do.
    pub role: Role,
    /// Whether it is closed to logins.
    pub disabled: bool,
}
