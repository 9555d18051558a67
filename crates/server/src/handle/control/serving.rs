//! Backups, checks and statistics of a running server's store, for whoever is on the other end of the control socket. Each backup and
//! check has a thread of its own, which holds no more than one piece of a file in memory.
//!
//! A backup: the image's header as a line; back comes a line with the numbers of the wanted files; then their bytes, in frames of a
//! length (u32, little-endian) and so many bytes. A length of zero says that a line with an error follows instead. When the backup
//! is complete the other end says so with one more line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use store::{
    EmbeddedStore, ImageHeader, Progress, Range, Store, StoreStatistics, Verification, VerifyEvent,
};

use super::super::storage::{StorageAccess, Turn};
use super::groups::GroupPage;

/// How long the other end may take nothing: it may be slow on purpose, or wait for a tape.
const STALL_TIMEOUT: Duration = Duration::from_secs(600);

/// Bytes of the line that says which files are wanted.
const WANTED_BYTES_MAX: u64 = 1024 * 1024;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(super) enum StorageCommand {
    /// The files of a commit.
    Backup,
    /// Whether everything is as it was written.
    Verify,
    /// What lies where.
    Store,
    /// A page of the groups.
    Groups {
        /// Only those made after the one with this number.
        after: u64,
    },
    /// The latest changes of accounts and limits.
    Audit {
        /// So many at most.
        limit: u32,
    },
}

/// An answer, or one of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum StorageAnswer {
    /// To `Backup`: what there is.
    Image { header: ImageHeader },
    /// To `Verify`: how far it is.
    Progress { done: u64, total: Option<u64> },
    /// To `Verify`: something is wrong.
    Finding { what: String },
    /// To `Verify`: the last.
    Verified { verification: Verification },
    /// To `Store`.
    Report { report: Box<StoreReport> },
    /// To `Groups`.
    Groups { page: GroupPage },
    /// To `Audit`: the oldest first.
    Audit { entries: Vec<AuditEntry> },
    /// It was not done.
    Refused { error: String, detail: String },
}

/// The files that are wanted, by their numbers in the header, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) wanted: Vec<usize>,
}

/// What lies where in a store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreReport {
    /// Number of the last commit.
    pub commit: u64,
    /// Bytes of journal and tables.
    pub disk_bytes: u64,
    /// Of it, the journal.
    pub journal_bytes: u64,
    /// Memory of rows that are in no table yet.
    pub memtable_bytes: u64,
    /// Of it, what waits to be written.
    pub waiting_bytes: u64,
    /// Bytes of tables that are to be merged next.
    pub merge_bytes: u64,
    /// Memory of cached blocks.
    pub cached_bytes: u64,
    /// Bytes of keys and values that were committed since the start.
    pub stored_bytes: u64,
    /// Bytes written to the journal since the start.
    pub journal_written_bytes: u64,
    /// Bytes written to tables since the start.
    pub table_written_bytes: u64,
    /// Bytes written for each byte stored since the start; `None` while nothing was stored.
    pub amplification: Option<f64>,
    /// Files that it has open.
    pub open_files: u64,
    /// Commits that were held up since the start because writing lags behind.
    pub waits: u64,
    /// How long together, in microseconds.
    pub wait_micros: u64,
    /// Flushes and merges that failed and were tried again.
    pub work_failures: u64,
    /// Damaged stretches that were found since the start.
    pub damages: u64,
    /// How long nothing has advanced although something waits, in milliseconds.
    pub stalled_millis: u64,
    /// When the message was published that has waited longest in the queue, in milliseconds since 1970.
    pub oldest_queued: Option<u64>,
    /// What lies in each family of tables.
    pub families: Vec<FamilyReport>,
}

/// What lies in a family of tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyReport {
    /// Its name.
    pub name: String,
    /// Memory of its rows that are in no table yet.
    pub memtable_bytes: u64,
    /// Tables.
    pub tables: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes of their keys and values, uncompressed.
    pub row_bytes: u64,
    /// Rows, deletions among them.
    pub rows: u64,
    /// Rows that say that a key is deleted.
    pub deletions: u64,
    /// Ranges that are deleted and not yet merged away.
    pub range_deletions: u64,
    /// Bytes of rows that are thought to be overwritten or deleted.
    pub dead_bytes: u64,
    /// Bytes of tables that are to become one next.
    pub merge_bytes: u64,
}

impl StoreReport {
    /// Of a store that is open.
    pub(crate) fn of(store: &EmbeddedStore) -> Self {
        let statistics = store.statistics();
        let written = statistics.journal_written_bytes + statistics.table_written_bytes;
        let stored = statistics.stored_bytes;
        Self {
            commit: statistics.committed,
            disk_bytes: statistics.disk_bytes(),
            journal_bytes: statistics.journal_bytes,
            memtable_bytes: statistics.memtable_bytes,
            waiting_bytes: statistics.waiting_bytes,
            merge_bytes: statistics
                .families
                .iter()
                .map(|family| family.merge_bytes)
                .sum(),
            cached_bytes: statistics.cached_bytes,
            stored_bytes: stored,
            journal_written_bytes: statistics.journal_written_bytes,
            table_written_bytes: statistics.table_written_bytes,
            amplification: (stored > 0).then(|| written as f64 / stored as f64),
            open_files: statistics.open_files,
            waits: statistics.waits,
            wait_micros: statistics.wait_micros,
            work_failures: statistics.work_failures,
            damages: statistics.damages,
            stalled_millis: u64::try_from(statistics.stalled.as_millis()).unwrap_or(u64::MAX),
            oldest_queued: oldest_queued(store),
            families: families(&statistics),
        }
    }
}

fn families(statistics: &StoreStatistics) -> Vec<FamilyReport> {
    let of = |family: &store::FamilyStatistics| {
        let sum = |field: fn(&store::TableStatistics) -> u64| family.tables.iter().map(field).sum();
        FamilyReport {
            name: family.name.to_owned(),
            memtable_bytes: family.memtable_bytes,
            tables: family.tables.len() as u64,
            bytes: family.bytes(),
            row_bytes: sum(|table| table.row_bytes),
            rows: sum(|table| table.rows),
            deletions: sum(|table| table.deletions),
            range_deletions: family.range_deletions,
            dead_bytes: sum(|table| table.dead_bytes),
            merge_bytes: family.merge_bytes,
        }
    };
    statistics.families.iter().map(of).collect()
}

/// A stamp says when: microseconds above the shard's eight bits.
fn oldest_queued(store: &EmbeddedStore) -> Option<u64> {
    let first = store
        .keys(&Range::forward(records::Table::Queue.range(), 1))
        .ok()?;
    let stamp = records::key::parse_queue(first.first()?).ok()?;
    Some((stamp.value() >> 8) / 1000)
}

/// A change of an account or a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who made it.
    pub by: String,
    /// From where.
    pub from: String,
    /// What was done.
    pub what: String,
    /// To which account, or key of the configuration.
    pub about: String,
    /// More about it; possibly empty.
    pub detail: String,
}

impl AuditEntry {
    /// The latest in a store that is open, the oldest of them first.
    pub(crate) fn latest(store: &EmbeddedStore, limit: u32) -> Result<Vec<Self>, String> {
        let range = Range::backward(records::Table::Audit.range(), limit as usize);
        let rows = store.range(&range).map_err(|error| error.to_string())?;
        let entry = |(key, value): &(_, bytes::Bytes)| Self::of(key, value);
        rows.iter().rev().map(entry).collect()
    }

    fn of(key: &bytes::Bytes, value: &[u8]) -> Result<Self, String> {
        let (at, _) = records::key::parse_audit(key).map_err(|error| error.to_string())?;
        let row = records::AuditRow::decode(value).map_err(|error| error.to_string())?;
        Ok(Self {
            at: at.value(),
            by: row.by,
            from: row.from,
            what: row.what,
            about: row.about,
            detail: row.detail,
        })
    }
}

/// Starts a thread that does what was asked for and answers.
pub(super) fn begin(
    command: StorageCommand,
    stream: UnixStream,
    access: &StorageAccess,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STALL_TIMEOUT))?;
    stream.set_write_timeout(Some(STALL_TIMEOUT))?;
    let access = access.clone();
    let thread = std::thread::Builder::new().name("storage".to_owned());
    thread.spawn(move || {
        let served = match command {
            StorageCommand::Backup => back_up(&stream, &access),
            StorageCommand::Verify => verify(&stream, &access),
            StorageCommand::Store => match access.store() {
                Some(store) => say(
                    &stream,
                    &StorageAnswer::Report {
                        report: Box::new(StoreReport::of(&store)),
                    },
                ),
                None => say(&stream, &ending()),
            },
            StorageCommand::Groups { after } => match access.store() {
                Some(store) => say(&stream, &groups(&store, after)),
                None => say(&stream, &ending()),
            },
            StorageCommand::Audit { limit } => match access.store() {
                Some(store) => say(&stream, &audit(&store, limit)),
                None => say(&stream, &ending()),
            },
        };
        if let Err(error) = served {
            tracing::info!(?command, %error, "control socket: broken off");
        }
    })?;
    Ok(())
}

fn say(mut stream: &UnixStream, answer: &StorageAnswer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn groups(store: &EmbeddedStore, after: u64) -> StorageAnswer {
    match GroupPage::read(store, after) {
        Ok(page) => StorageAnswer::Groups { page },
        Err(detail) => refused("unreadable", detail),
    }
}

fn audit(store: &EmbeddedStore, limit: u32) -> StorageAnswer {
    match AuditEntry::latest(store, limit) {
        Ok(entries) => StorageAnswer::Audit { entries },
        Err(detail) => refused("unreadable", detail),
    }
}

fn refused(error: &str, detail: impl Into<String>) -> StorageAnswer {
    StorageAnswer::Refused {
        error: error.to_owned(),
        detail: detail.into(),
    }
}

fn ending() -> StorageAnswer {
    refused("draining", "the server begins or ends; try again")
}

fn back_up(stream: &UnixStream, access: &StorageAccess) -> io::Result<()> {
    let Some(turn) = access.backup_turn() else {
        let detail = "another backup of this server is being made; wait until it is done";
        return say(stream, &refused("busy", detail));
    };
    // The image stays when the store ends; the store does not stay for the image.
    let image = match access.store().map(|store| store.image()) {
        Some(Ok(image)) => image,
        Some(Err(error)) => return say(stream, &refused("unreadable", error.to_string())),
        None => return say(stream, &ending()),
    };
    let begun = Instant::now();
    let header = image.header().clone();
    let commit = header.commit;
    let files = header.files.len();
    say(stream, &StorageAnswer::Image { header })?;
    let mut lines = BufReader::new(stream.take(WANTED_BYTES_MAX));
    let Wanted { wanted } = read_line(&mut lines)?;
    let mut bytes = 0;
    for file in wanted.into_iter().filter(|file| *file < files) {
        let sent = image.read(file, |piece| {
            bytes += piece.len() as u64;
            send(stream, piece)
        });
        if let Err(Unsent::Unreadable(error)) = sent {
            let mut out = stream;
            out.write_all(&0_u32.to_le_bytes())?;
            return say(stream, &refused("unreadable", error.to_string()));
        }
        sent.map_err(|unsent| match unsent {
            Unsent::Unreadable(error) | Unsent::Broken(error) => error,
        })?;
    }
    let mut done = String::new();
    lines.read_line(&mut done)?;
    drop::<Turn>(turn);
    if done.trim() == DONE {
        let took = begun.elapsed();
        tracing::info!(commit, bytes, ?took, "backup made");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        metrics::describe_gauge!(
            "magpie_last_backup_timestamp_seconds",
            "When the last backup of the running server was complete, in seconds since 1970."
        );
        metrics::gauge!("magpie_last_backup_timestamp_seconds").set(now.as_secs_f64());
    } else {
        tracing::warn!(commit, bytes, "backup was broken off by who makes it");
    }
    Ok(())
}

/// What is said when a backup is complete on the other end.
pub(super) const DONE: &str = "done";

/// Why a piece did not get to the other end.
enum Unsent {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The connection is gone.
    Broken(io::Error),
}

impl From<io::Error> for Unsent {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

fn send(mut stream: &UnixStream, piece: &[u8]) -> Result<(), Unsent> {
    let length = piece.len() as u32;
    stream
        .write_all(&length.to_le_bytes())
        .and_then(|()| stream.write_all(piece))
        .map_err(Unsent::Broken)
}

pub(super) fn read_line<T: for<'a> Deserialize<'a>>(lines: &mut impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        let message = "the other end closed the connection without an answer";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    Ok(serde_json::from_slice(&line)?)
}

fn verify(stream: &UnixStream, access: &StorageAccess) -> io::Result<()> {
    let Some(_turn) = access.verify_turn() else {
        let detail = "this server's store is being verified already; wait until that is done";
        return say(stream, &refused("busy", detail));
    };
    let verifier = match access.store().map(|store| store.verifier()) {
        Some(Ok(verifier)) => verifier,
        Some(Err(error)) => return say(stream, &refused("unreadable", error.to_string())),
        None => return say(stream, &ending()),
    };
    // It goes on when nobody listens any more, for it cannot be stopped half-way, and what it finds stands in the log too.
    let mut broken = None;
    let verification = verifier.run(&mut |event| {
        let answer = match event {
            VerifyEvent::Progress(Progress { done, total }) => {
                StorageAnswer::Progress { done, total }
            }
            VerifyEvent::Finding(finding) => {
                tracing::warn!(what = finding.what, "the store is damaged");
                StorageAnswer::Finding { what: finding.what }
            }
        };
        if broken.is_none() {
            broken = say(stream, &answer).err();
        }
    });
    match broken {
        Some(error) => Err(error),
        None => say(stream, &StorageAnswer::Verified { verification }),
    }
}
