//! `torture`: the workloads on the store that the server runs on. Owns how that one is opened, and nothing else.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use records::Millis;
use store::{CACHE_BYTES_DEFAULT, DataDir, EmbeddedStore, Holder, OpenOptions, Store};
use torture::Engine;

fn main() -> ExitCode {
    torture::main(&[Engine {
        name: "embedded",
        cache_bytes: CACHE_BYTES_DEFAULT,
        open,
    }])
}

fn open(folder: &Path) -> Result<Arc<dyn Store>> {
    let dir = DataDir::open(folder, Holder::this_process(Millis::ZERO))?;
    Ok(Arc::new(EmbeddedStore::open(&dir, OpenOptions::default())?))
}
