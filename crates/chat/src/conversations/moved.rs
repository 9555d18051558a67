//! Markers that have moved and wait to be written or told.

use records::Seq;

/// How a member's markers have moved since they were last told.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Moved {
    /// Where the read marker that others see stood; it is written already.
    pub(super) read_from: Option<Seq>,
    /// Where the received marker stood; it is written already.
    pub(super) received_from: Option<Seq>,
    /// Where the received marker goes.
    pub(super) received: Option<Seq>,
}
