//! What carries MQTT: TCP, Unix sockets, TLS and WebSocket on mio and pipes in memory behind one face, and the addresses
//! that are listened on. It moves bytes; it must not know a packet or a rule.

mod transport;

mod arriving;
mod failure;
mod received;

mod pipe;
mod wire;

mod proxy;
mod tls;

mod hosts;
mod upgrade;
mod websocket;

mod credentials;
mod listen;
mod names;

pub use arriving::{Arriving, Layers};
pub use credentials::{CredentialFiles, Credentials, CredentialsError};
pub use failure::Failure;
pub use hosts::Hosts;
pub use listen::{ListenError, Listener, UNIX_PEER, listen, listen_unix};
pub use names::{NameFrom, certificate_name};
pub use pipe::{PipeEnd, Readiness, Watcher, pipe};
pub use received::{Drained, Received, Stage};
pub use tls::TlsStream;
pub use transport::Transport;
pub use upgrade::Gate;
pub use websocket::{MessageBounds, MessageLimits, WebSocketStream};
pub use wire::Wire;
