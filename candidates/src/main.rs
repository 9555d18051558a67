//! Engines that the store might have been built on, under the same workloads. Only as much of each as the figures need: no
//! watermark, no inspection of damage.

mod family;
mod fjall_store;
mod redb_store;
mod rocks_store;

use std::process::ExitCode;
use std::sync::Arc;

use torture::Engine;

/// As the server's default.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

fn main() -> ExitCode {
    let engine = |name, open| Engine {
        name,
        cache_bytes: CACHE_BYTES,
        open,
    };
    torture::main(&[
        engine("rocksdb", |folder| {
            Ok(Arc::new(rocks_store::Rocks::open(folder, None)?))
        }),
        engine("rocksdb-rated", |folder| {
            Ok(Arc::new(rocks_store::Rocks::open(
                folder,
                Some(80_000_000),
            )?))
        }),
        engine("redb", |folder| {
            Ok(Arc::new(redb_store::Redb::open(folder)?))
        }),
        engine("fjall-1", |folder| {
            Ok(Arc::new(fjall_store::Fjall::open(folder, 1)?))
        }),
        engine("fjall-3", |folder| {
            Ok(Arc::new(fjall_store::Fjall::open(folder, 3)?))
        }),
    ])
}
