//! A store that can be put under the workloads. Must not know which there are.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use store::Store;

/// What the workloads have to know of a store.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Bytes that it may hold in memory for reading, on top of what is bounded.
    pub cache_bytes: u64,
    /// Opens it in a folder, or makes it there.
    pub open: fn(&Path) -> Result<Arc<dyn Store>>,
}
