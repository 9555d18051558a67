//! What a client leaves to be published when its connection ends. Whether and when is decided in `publish` and `sessions::ending`.

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

impl Will {
    /// The form in which it is stored.
    pub(crate) fn to_record(&self) -> records::Will {
        records::Will {
            delay_secs: self.delay_secs,
            expiry_secs: self.expiry_secs,
            message: self.message.to_record(None),
        }
    }

    /// Back from the stored form.
    pub(crate) fn from_record(record: records::Will) -> Self {
        Self {
            delay_secs: record.delay_secs,
            expiry_secs: record.expiry_secs,
            message: Message::from_record(record.message),
        }
    }
}
