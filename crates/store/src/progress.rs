//! How far a long piece of work is, for whoever waits for it.

use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes that there are to do; `None` if nobody knows.
    pub total: Option<u64>,
}
