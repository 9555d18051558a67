//! Measures a store that is not small: memory, restart, and lookups that miss.
//! `cargo run --release -p store --example large_store -- [DIR]`.

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use records::key;
use records::{AccountId, ConversationId, Millis, Stamp, Table, Write};
use store::{Batch, DataDir, EmbeddedStore, Holder, OpenOptions, Range, Store};

const QUEUED: u64 = 1_000_000;
const MIDS: u64 = 1_000_000;
const VALUE_BYTES: usize = 200;
const PER_COMMIT: u64 = 1_000;
const PAGE: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("large-store-{}", std::process::id()));
    let done = measure(&folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(folder: &Path) -> Result<(), Box<dyn Error>> {
    let store = step("new store opened", || open(folder))?;
    step("1,000,000 messages queued", || {
        fill(&store, QUEUED, |n| {
            (key::queue(Stamp::new(n)), vec![b'x'; VALUE_BYTES])
        })
    })?;
    step("1,000,000 mids noted", || {
        fill(&store, MIDS, |n| (mid(n), vec![1; 32]))
    })?;
    println!(
        "{:<44} {:>30} MiB",
        "on disk",
        store.disk_bytes() / 1024 / 1024
    );
    step("closed", || {
        drop(store);
        Ok(())
    })?;
    let store = step("opened again", || open(folder))?;
    step("1,000,000 messages read in pages of 1,000", || {
        read_all(&store)
    })?;
    step("1,000,000 lookups of unknown mids", || {
        for n in 0..MIDS {
            assert!(
                black_box(store.get(&mid(MIDS + n))?).is_none(),
                "found an unknown mid"
            );
        }
        Ok(())
    })?;
    step("1,000,000 messages deleted", || {
        Ok(store.delete_range(&Table::Queue.range()).map(drop)?)
    })?;
    step("first of an emptied queue sought", || {
        assert_eq!(
            store.keys(&Range::forward(Table::Queue.range(), 1))?.len(),
            0,
            "left over"
        );
        Ok(())
    })?;
    step("closed", || {
        drop(store);
        Ok(())
    })?;
    step("opened again", || open(folder)).map(drop)
}

fn step<T>(
    name: &str,
    run: impl FnOnce() -> Result<T, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let begin = Instant::now();
    let result = run()?;
    println!(
        "{name:<44} {:>10.3} s, resident {:>8} KiB",
        begin.elapsed().as_secs_f64(),
        resident_kib()
    );
    Ok(result)
}

fn open(folder: &Path) -> Result<EmbeddedStore, Box<dyn Error>> {
    let dir = DataDir::open(folder, Holder::this_process(Millis::ZERO))?;
    Ok(EmbeddedStore::open(&dir, OpenOptions::default())?)
}

fn fill(
    store: &dyn Store,
    count: u64,
    item: impl Fn(u64) -> (Vec<u8>, Vec<u8>),
) -> Result<(), Box<dyn Error>> {
    for first in (0..count).step_by(PER_COMMIT as usize) {
        let writes = (first..first + PER_COMMIT)
            .map(&item)
            .map(|(key, value)| Write::Put { key, value })
            .collect();
        store.commit(Batch {
            writes,
            ..Batch::default()
        })?;
    }
    Ok(())
}

/// Mids are random to the store; the multiplier scatters them.
fn mid(n: u64) -> Vec<u8> {
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key::dedup(
        2919,
        ConversationId::new(scattered >> 40),
        AccountId::new(scattered >> 48),
        &format!("{scattered:016x}"),
    )
}

fn read_all(store: &dyn Store) -> Result<(), Box<dyn Error>> {
    let mut rest = Table::Queue.range();
    let mut count = 0;
    loop {
        let page = store.range(&Range::forward(rest.clone(), PAGE))?;
        let Some((last, _)) = page.last() else { break };
        rest.from = [last.as_ref(), &[0]].concat();
        count += page.len() as u64;
    }
    assert_eq!(count, QUEUED, "messages are missing");
    Ok(())
}

fn resident_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or_else(
        || "unknown".to_owned(),
        |rss| rss.trim().trim_end_matches(" kB").to_owned(),
    )
}
