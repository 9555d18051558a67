//! Measures commits with fdatasync: `cargo run --release -p store --example commit_speed -- [DIR]`.
//! DIR should lie on the disk that is meant; the default is the system's temporary directory.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use records::key;
use records::{Millis, Stamp, Write};
use store::{
    Append, Batch, Committer, DataDir, Durability, EmbeddedStore, Holder, OpenOptions, Outcome,
    Sink, Store, Ticket,
};

const VALUE_BYTES: usize = 200;
const EACH: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("commit-speed-{}", std::process::id()));
    println!("{VALUE_BYTES}-byte values in {}", folder.display());
    let done = measure(&folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(folder: &Path) -> Result<(), Box<dyn Error>> {
    println!(
        "{:<28} {:>12} {:>14} {:>14}",
        "work", "commits/s", "appends/s", "us per commit"
    );
    for (name, durability) in [
        ("always", Durability::Always),
        (
            "interval 100 ms",
            Durability::Interval(Duration::from_millis(100)),
        ),
    ] {
        let dir = DataDir::open(&folder.join(name), Holder::this_process(Millis::ZERO))?;
        let store = EmbeddedStore::open(
            &dir,
            OpenOptions {
                durability,
                ..OpenOptions::default()
            },
        )?;
        let mut stamp = 0;
        for size in [1, 10, 100, 1000] {
            commits(&store, size, &mut stamp, name)?;
        }
        let store: Arc<dyn Store> = Arc::new(store);
        for in_flight in [1, 100, 1000, 10_000] {
            appends(&store, in_flight, &mut stamp, name)?;
        }
    }
    Ok(())
}

fn queued(stamp: &mut u64) -> Write {
    *stamp += 1;
    Write::Put {
        key: key::queue(Stamp::new(*stamp)),
        value: vec![b'x'; VALUE_BYTES],
    }
}

/// `size` writes per commit, straight to the store.
fn commits(
    store: &dyn Store,
    size: usize,
    stamp: &mut u64,
    name: &str,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut commits = 0_u32;
    while begin.elapsed() < EACH {
        let writes = (0..size).map(|_| queued(stamp)).collect();
        store.commit(Batch {
            writes,
            ..Batch::default()
        })?;
        commits += 1;
    }
    report(
        &format!("{name}, batches of {size}"),
        commits,
        f64::from(commits) * size as f64,
        begin.elapsed(),
    );
    Ok(())
}

struct Done(Sender<usize>);

impl Sink for Done {
    fn appended(&self, tickets: &[Ticket], outcome: &Outcome) {
        match outcome {
            // The receiver is gone once the measurement is over.
            Outcome::Committed => drop(self.0.send(tickets.len())),
            Outcome::Refused(_) | Outcome::Failed(_) => panic!("{outcome:?}"),
        }
    }
}

/// Through the committer, with so many appends under way: what a server with that many publishers sees.
fn appends(
    store: &Arc<dyn Store>,
    in_flight: usize,
    stamp: &mut u64,
    name: &str,
) -> Result<(), Box<dyn Error>> {
    let committer = Committer::start(store.clone())?;
    let (done, arrived) = channel();
    let submitter = committer.handle().submitter(Arc::new(Done(done)));
    let begin = Instant::now();
    let mut room = in_flight;
    let mut finished = 0_usize;
    while begin.elapsed() < EACH {
        for _ in 0..room {
            let append = Append {
                ticket: Ticket(*stamp),
                preconditions: Vec::new(),
                writes: vec![queued(stamp)],
            };
            submitter
                .submit(append)
                .map_err(|_| "committer has stopped")?;
        }
        room = arrived.recv()?;
        room += arrived.try_iter().sum::<usize>();
        finished += room;
    }
    let commits = u32::try_from(committer.handle().counters().commits)?;
    report(
        &format!("{name}, {in_flight} in flight"),
        commits,
        finished as f64,
        begin.elapsed(),
    );
    committer.stop();
    Ok(())
}

fn report(name: &str, commits: u32, appends: f64, took: Duration) {
    let seconds = took.as_secs_f64();
    println!(
        "{name:<28} {:>12.0} {:>14.0} {:>14.0}",
        f64::from(commits) / seconds,
        appends / seconds,
        seconds * 1e6 / f64::from(commits)
    );
}
