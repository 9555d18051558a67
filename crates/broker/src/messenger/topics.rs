//! Which topics and filters belong to the messenger.

/// First level of the messenger's tree.
const TREE: &str = "im";

/// Whether a topic or filter belongs to the messenger: its first level is literally `im`.
#[inline]
pub(crate) fn is_chat(topic: &str) -> bool {
    topic
        .strip_prefix(TREE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
