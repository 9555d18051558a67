//! Measures how long commits take while tables are flushed and merged behind them: many conversations grow, messages are
//! queued and deleted again, as fast as the disk takes them. The longest commit is how long an acknowledgement may wait.
//! `cargo run --release -p store --example commit_stalls -- [SECONDS [DIR]]`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use records::key;
use records::{ConversationId, Millis, Pos, Seq, Stamp, Write};
use store::{Batch, DataDir, EmbeddedStore, Holder, OpenOptions, Store};

const VALUE_BYTES: usize = 200;
const CONVERSATIONS: u64 = 10_000;
/// Entries of a commit, and as many queued messages.
const PER_COMMIT: u64 = 250;
/// A queued message is deleted when so many have come after it.
const QUEUED: u64 = 50_000;
const CLOCK_TICKS: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let secs = words.next().map_or(Ok(20), |word| word.parse())?;
    let folder = words.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("commit-stalls-{}", std::process::id()));
    let done = measure(&folder, Duration::from_secs(secs));
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(folder: &Path, time: Duration) -> Result<(), Box<dyn Error>> {
    let dir = DataDir::open(folder, Holder::this_process(Millis::ZERO))?;
    let store = EmbeddedStore::open(&dir, OpenOptions::default())?;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut took = Vec::new();
    let mut stamp = 0;
    while begun.elapsed() < time {
        let mut writes = Vec::new();
        for _ in 0..PER_COMMIT {
            stamp += 1;
            writes.extend(message(stamp));
        }
        let at = Instant::now();
        store.commit(Batch {
            writes,
            ..Batch::default()
        })?;
        took.push(at.elapsed());
    }
    let cpu = cpu_seconds() - cpu;
    took.sort_unstable();
    let part = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took[place.min(took.len() - 1)].as_secs_f64() * 1e3
    };
    println!(
        "{} commits of {} writes, {:.1} us of CPU per message; ms: median {:.1}, p99 {:.1}, p999 {:.1}, longest {:.1}",
        took.len(),
        PER_COMMIT * 3,
        cpu * 1e6 / stamp as f64,
        part(0.5),
        part(0.99),
        part(0.999),
        part(1.0)
    );
    Ok(())
}

/// An entry somewhere, a queued message at the end, and the one at the front is gone.
fn message(stamp: u64) -> [Write; 3] {
    // A multiplicative hash: the conversations take turns without an order.
    let conversation = stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let conversation = ConversationId::new(conversation % CONVERSATIONS + 1);
    [
        Write::Put {
            key: key::entry(conversation, Seq::new(stamp), Pos::new(stamp)),
            value: text(stamp),
        },
        Write::Put {
            key: key::queue(Stamp::new(stamp)),
            value: text(stamp),
        },
        Write::Delete {
            key: key::queue(Stamp::new(stamp.saturating_sub(QUEUED))),
        },
    ]
}

/// Not all alike, so that compression has something to do.
fn text(stamp: u64) -> Vec<u8> {
    let words = (0..).map(|step: u64| stamp.wrapping_mul(31).wrapping_add(step * 7) as u8 % 26);
    words
        .map(|letter| b'a' + letter)
        .take(VALUE_BYTES)
        .collect()
}

/// Of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / CLOCK_TICKS
}
