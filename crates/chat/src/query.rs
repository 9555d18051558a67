//! A question to the store that may take a while: made by the messenger, run elsewhere, answered from what is stored.

use crate::door::{Answer, Source};

/// Something to be read. Opaque to whoever runs it.
#[derive(Debug)]
pub struct Query {}

impl Query {
    /// Reads what is wanted and builds the answer. A store that cannot be read is answered too.
    pub fn run(self, _source: &dyn Source) -> Option<Answer> {
        None
    }
}
