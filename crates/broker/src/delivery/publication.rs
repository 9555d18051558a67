//! A message on its way to its recipients, borrowed from the packet it came in as long as nobody has to wait for it.

use std::sync::Arc;

use records::{Millis, SessionRef, Stamp};

use crate::message::{Message, MessageView};

/// A message on its way to its recipients.
pub(crate) struct Publication<'a> {
    pub(crate) view: MessageView<'a>,
    /// Owned form, made when the first recipient has to wait.
    pub(crate) shared: Option<Arc<Message>>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) publisher: SessionRef,
    pub(crate) now: Millis,
}

impl Publication<'_> {
    pub(crate) fn message(&mut self) -> Arc<Message> {
        let (view, now) = (self.view, self.now);
        self.shared
            .get_or_insert_with(|| Arc::new(view.to_message(now)))
            .clone()
    }
}
