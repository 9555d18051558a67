//! Reads fjall's journals before fjall does, because fjall cuts a journal at the first thing it cannot read,
//! whether that is a commit that was never finished or one that was acknowledged.
//! Must not change a file; `embedded` decides what is cut.

mod batch;
mod scan;

pub(crate) use scan::{Journal, Tail, journals};
