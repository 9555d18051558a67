//! What travels from HTTP and the command line to the service thread, and the receiving end.

use std::net::{IpAddr, SocketAddr, TcpStream};

use tokio::sync::{mpsc, oneshot, watch};

use super::{AccountInfo, Actor, Login, NewAccount, RequestError, Secret};
use crate::config::{Changes, Config};

/// Where the answer to a request goes.
pub type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

/// A question to the service thread. Each is answered exactly once; one dropped unanswered reads as `Draining`.
#[derive(Debug)]
pub enum Request {
    /// Makes the first account, an administrator.
    CreateFirstAccount {
        /// The one-time token of the first start.
        token: Secret,
        /// The account.
        account: NewAccount,
        /// From where.
        peer: IpAddr,
        /// The answer.
        reply: Reply<AccountInfo>,
    },
    /// Checks a password and makes a token.
    Login {
        /// Account name.
        name: String,
        /// Its password.
        password: Secret,
        /// Label of the token.
        device: String,
        /// From where, for the rate limit.
        peer: IpAddr,
        /// The answer.
        reply: Reply<Login>,
    },
    /// Revokes a token.
    Logout {
        /// The token.
        token: Secret,
        /// From where.
        peer: IpAddr,
        /// The answer.
        reply: Reply<()>,
    },
    /// Makes an account.
    AddAccount {
        /// The account.
        account: NewAccount,
        /// Who asks.
        by: Actor,
        /// The answer.
        reply: Reply<AccountInfo>,
    },
    /// Changes a password.
    SetPassword {
        /// Account name.
        name: String,
        /// The new password.
        password: Secret,
        /// Who asks.
        by: Actor,
        /// The answer.
        reply: Reply<()>,
    },
    /// Closes an account to logins, or opens it again.
    SetDisabled {
        /// Account name.
        name: String,
        /// Whether it shall be closed.
        disabled: bool,
        /// Who asks.
        by: Actor,
        /// The answer.
        reply: Reply<()>,
    },
    /// Removes an account.
    RemoveAccount {
        /// Account name.
        name: String,
        /// Who asks.
        by: Actor,
        /// The answer.
        reply: Reply<()>,
    },
    /// Deletes a group.
    DeleteGroup {
        /// Its address.
        slug: String,
        /// Who asks.
        by: Actor,
        /// The answer.
        reply: Reply<()>,
    },
    /// Takes over a connection that speaks MQTT over WebSocket from here on.
    AdoptWebSocket {
        /// The connection.
        adopted: AdoptedWebSocket,
        /// The answer.
        reply: Reply<()>,
    },
    /// Applies another configuration.
    Reload {
        /// The configuration, overrides applied.
        config: Box<Config>,
        /// What changed, and what waits for a restart.
        reply: Reply<Changes>,
    },
}

/// A connection whose WebSocket handshake has been answered with 101.
#[derive(Debug)]
pub struct AdoptedWebSocket {
    /// The connection, non-blocking and taken out of tokio's reactor.
    pub stream: UpgradedStream,
    /// What the client sent behind its request: the beginning of its first frame, usually empty.
    pub leftover: Vec<u8>,
    /// The client's address.
    pub peer: SocketAddr,
    /// What was agreed on.
    pub subprotocol: Subprotocol,
}

/// What a WebSocket connection goes over.
#[derive(Debug)]
pub enum UpgradedStream {
    /// A bare socket.
    Plain(TcpStream),
    /// TLS, its handshake over.
    Secure(Box<net::TlsStream>),
}

/// The WebSocket subprotocols that carry MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `mqtt`
    Mqtt,
    /// `mqttv3.1`, asked for by old clients.
    MqttV31,
}

impl Subprotocol {
    /// As it stands in the handshake.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttV31 => "mqttv3.1",
        }
    }
}

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Recovering its state.
    Starting,
    /// Serving.
    Ready,
    /// Serving, but something that waits for the disk has not advanced for a while; it says what. `Ready` again when it does.
    Stalled(String),
    /// Serving, but the disk has so little room left that nothing is taken that would have to be stored; it says how little. `Ready`
    /// again when there is room.
    DiskFull(String),
    /// Ending; takes nothing new.
    Draining,
    /// Broken for good (a failed commit, a dead thread); the process has to end.
    Failed(String),
}

/// The receiving end of a `Handle`, for the service thread.
#[derive(Debug)]
pub struct Requests {
    /// The requests; `try_recv` after a wake-up, or `blocking_recv`.
    pub queue: mpsc::Receiver<Request>,
    /// Says how the server is. It begins as `Starting`; requests are sent only while it is `Ready`.
    pub health: watch::Sender<Health>,
}
