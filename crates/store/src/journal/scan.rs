//! What stands in the journals: which commits are whole, and what comes behind the last whole one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::batch::read_batch;

/// The longest stretch of fjall's numbers between two commits. Flushes and compactions take a number each; a jump
/// beyond this is a damaged number, which no checksum covers.
const SEQNO_GAP_MAX: u64 = 1 << 20;

/// No store gets so far: at a million commits a second it takes nine years. Fjall needs the highest bit for itself.
const SEQNO_MAX: u64 = 1 << 48;

/// One journal file.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Fjall's number for the file; the highest one is being written.
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    /// First and last of our commits in it.
    pub(crate) commits: Option<(u64, u64)>,
    /// Where its last whole commit ends.
    pub(crate) end: u64,
    /// What is behind the last whole commit.
    pub(crate) tail: Tail,
}

/// What is behind a journal's last whole commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing but the zeros that the file was made with.
    Clean,
    /// Something that is no whole commit, and no whole commit behind it: what a write that was cut off leaves.
    Torn {
        /// Where it begins.
        offset: u64,
    },
    /// Something that is no whole commit, with a whole commit behind it.
    Hole {
        /// Where it begins.
        offset: u64,
        /// Where a whole commit begins again.
        resumes: u64,
        /// The number of that commit.
        commit: u64,
    },
}

/// Reads all journals of a fjall directory, oldest first.
///
/// Files are read whole: one is about 64 MiB, since fjall begins the next at the first flush beyond that, and the
/// memory goes back at once.
pub(crate) fn journals(folder: &Path, commit_key: &[u8]) -> io::Result<Vec<Journal>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let id = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        // A name that is no number is left to fjall, which refuses it.
        if let (true, Some(id)) = (is_journal, id) {
            files.push((id, path));
        }
    }
    files.sort();
    let mut previous = None;
    let mut journals = Vec::with_capacity(files.len());
    for (id, path) in files {
        let bytes = fs::read(&path)?;
        let scan = scan(&bytes, commit_key, &mut previous);
        journals.push(Journal {
            id,
            path,
            commits: scan.commits,
            end: scan.end as u64,
            tail: scan.tail,
        });
    }
    Ok(journals)
}

/// Numbers of the last whole commit, across files.
#[derive(Clone, Copy, Debug)]
struct Previous {
    seqno: u64,
    commit: u64,
}

impl Previous {
    /// Whether a batch with these numbers can come next.
    fn precedes(previous: Option<Self>, seqno: u64, commit: u64) -> bool {
        seqno < SEQNO_MAX
            && previous.is_none_or(|previous| {
                commit == previous.commit + 1
                    && seqno > previous.seqno
                    && seqno - previous.seqno <= SEQNO_GAP_MAX
            })
    }
}

struct Scan {
    commits: Option<(u64, u64)>,
    end: usize,
    tail: Tail,
}

fn scan(bytes: &[u8], commit_key: &[u8], previous: &mut Option<Previous>) -> Scan {
    let mut commits = None;
    let mut at = 0;
    while let Some(batch) = read_batch(bytes, at, commit_key) {
        let Some(commit) = batch.commit else { break };
        if !Previous::precedes(*previous, batch.seqno, commit) {
            break;
        }
        commits = Some((commits.map_or(commit, |(first, _)| first), commit));
        *previous = Some(Previous {
            seqno: batch.seqno,
            commit,
        });
        at = batch.end;
    }
    if bytes[at..].iter().all(|byte| *byte == 0) {
        return Scan {
            commits,
            end: at,
            tail: Tail::Clean,
        };
    }
    let offset = at as u64;
    // From `at` itself on: a whole commit there counts on but has a number of fjall's that cannot follow.
    let later = (at..bytes.len()).find_map(|begin| {
        later_commit(bytes, begin, commit_key, *previous).map(|commit| (begin, commit))
    });
    let tail = match later {
        Some((resumes, commit)) => Tail::Hole {
            offset,
            resumes: resumes as u64,
            commit,
        },
        None => Tail::Torn { offset },
    };
    Scan {
        commits,
        end: at,
        tail,
    }
}

fn later_commit(
    bytes: &[u8],
    begin: usize,
    commit_key: &[u8],
    previous: Option<Previous>,
) -> Option<u64> {
    read_batch(bytes, begin, commit_key)?
        .commit
        .filter(|commit| previous.is_none_or(|previous| *commit > previous.commit))
}
