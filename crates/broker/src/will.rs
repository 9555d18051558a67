//! What a client leaves to be published when its connection ends. Whether and when is decided in `ending`.

use crate::message::Message;

/// A stored will. [3.1.1 MQTT-3.1.2-8] [5 MQTT-3.1.2-7]
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) message: Message,
    /// Seconds to wait after the connection's end.
    pub(crate) delay_secs: u32,
    /// Seconds the message lives once it is published.
    pub(crate) expiry_secs: Option<u32>,
}
