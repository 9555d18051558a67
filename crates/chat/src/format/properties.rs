//! What MQTT 5 says of a message, and the message keeps. Must not know what is done with it.

/// MQTT 5 properties that a message keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageProperties {
    /// Content type.
    pub content_type: Option<Box<str>>,
    /// User properties, in their order.
    pub user: Vec<(Box<str>, Box<str>)>,
    /// Seconds after which it has expired.
    pub expiry_secs: Option<u32>,
}

impl MessageProperties {
    /// Bytes of what is kept of them.
    pub(crate) fn bytes(&self) -> usize {
        let pairs = self
            .user
            .iter()
            .map(|(name, value)| name.len() + value.len());
        self.content_type.as_ref().map_or(0, |given| given.len()) + pairs.sum::<usize>()
    }
}
