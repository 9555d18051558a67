//! The server's own figures under `$SYS/`: kept as they were told last. It counts nothing itself, and nothing of it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt_codec::topic;

use crate::message::Message;

/// First level of the tree.
const TREE: &str = "$SYS";

/// Whether a filter asks for the server's figures. Wildcards at the beginning never do
/// [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1].
pub(crate) fn is_system(filter: &str) -> bool {
    filter
        .strip_prefix(TREE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a topic name or filter begins in a tree that is the server's and in which it serves nothing. What nobody may
/// publish to, nobody need wait for.
pub(crate) fn is_reserved(filter: &str) -> bool {
    filter.starts_with('$') && !is_system(filter)
}

/// The figures, by topic.
#[derive(Debug, Default)]
pub(crate) struct SystemFigures(BTreeMap<Box<str>, Arc<Message>>);

impl SystemFigures {
    /// A figure as it stands by now; false if it is gone.
    pub(crate) fn update(&mut self, figure: &Arc<Message>) -> bool {
        let stands = !figure.payload.is_empty();
        if stands {
            self.0.insert(figure.topic.clone(), figure.clone());
        } else {
            self.0.remove(&figure.topic);
        }
        stands
    }

    /// The figures that a filter asks for.
    pub(crate) fn matching(&self, filter: &str) -> Vec<Arc<Message>> {
        let all = self.0.values();
        all.filter(|figure| topic::matches(filter, &figure.topic))
            .cloned()
            .collect()
    }
}
