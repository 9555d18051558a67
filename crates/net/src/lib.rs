//! What carries MQTT: TCP and WebSocket on mio and pipes in memory behind one face, and the addresses that are listened on.
//! It moves bytes; it must not know a packet or a rule.

mod transport;

mod received;

mod pipe;
mod tcp;
mod websocket;

mod listen;

pub use listen::{ListenError, listen, open};
pub use pipe::{PipeEnd, Readiness, Watcher, pipe};
pub use received::{Drained, Received};
pub use transport::Transport;
pub use websocket::WebSocketStream;
