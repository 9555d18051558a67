//! Sockets that carry MQTT on mio: TCP and WebSocket behind one face, and the addresses that are listened on.
//! It moves bytes; it must not know a packet or a rule.

mod transport;

mod received;

mod tcp;
mod websocket;

mod listen;

pub use listen::{ListenError, listen, open};
pub use received::{Drained, Received};
pub use transport::Transport;
pub use websocket::WebSocketStream;
