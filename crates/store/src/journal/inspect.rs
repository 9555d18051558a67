//! Looks at the journal before anything goes on from it, and cuts off what was not written wholly, having made sure that
//! nothing acknowledged goes with it. Whatever is cut is kept beside the store until the store has opened completely.

use std::path::{Path, PathBuf};

use tracing::warn;

use super::JournalId;
use super::scan::{self, Journal, Tail};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::watermark::Found;

/// What was found and done.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// The last whole commit in the journal; `None` if it holds none.
    pub(crate) last_commit: Option<u64>,
    /// The files that are left, oldest first, and for each its last commit, or the one before it, and its length.
    pub(crate) files: Vec<(JournalId, Option<u64>, u64)>,
    /// Copies of what was cut off.
    cut: Vec<PathBuf>,
}

impl Inspection {
    /// The store is open: forgets what was cut off, unless it was a loss.
    pub(crate) fn settle(self, disk: &dyn Disk, accept_loss: bool) -> Result<(), StoreError> {
        if accept_loss {
            return Ok(());
        }
        for file in self.cut {
            disk.remove(&file)
                .map_err(|source| StoreError::io(&file, source))?;
        }
        Ok(())
    }
}

/// Where the journal stops being usable, and whether anything acknowledged stood there.
pub(super) struct Verdict {
    /// Index of the file.
    pub(super) journal: usize,
    /// Everything in it from here on, and every file behind it.
    offset: u64,
    /// `None` if nothing acknowledged did.
    pub(super) loss: Option<StoreError>,
}

/// Judges the journal of `folder`, of which `needed` is the first file that holds what is in no table. Cuts off what no client
/// was told of; what one was told of only if `accept_loss` says so.
pub(crate) fn inspect(
    disk: &dyn Disk,
    data_dir: &Path,
    folder: &Path,
    needed: JournalId,
    found: Found,
    accept_loss: bool,
) -> Result<Inspection, StoreError> {
    let io_error = |source| StoreError::io(folder, source);
    let mut journals = scan::journals(disk, folder).map_err(io_error)?;
    // Left by a crash behind the manifest that says they are no longer needed.
    for journal in journals.extract_if(.., |journal| journal.id < needed) {
        disk.remove(&journal.path)
            .map_err(|source| StoreError::io(&journal.path, source))?;
    }
    let mut cut_off = Vec::new();
    if let Some(verdict) = judge(folder, &journals, needed, found) {
        if let Some(loss) = verdict.loss {
            if !accept_loss {
                return Err(loss);
            }
            warn!(%loss, "accepted");
        }
        cut_off = cut(disk, data_dir, &journals[verdict.journal..], verdict.offset)?;
        journals.truncate(verdict.journal + 1);
        if let Some(last) = journals.get_mut(verdict.journal) {
            last.end = verdict.offset;
            if verdict.offset == 0 {
                last.first_commit = None;
                last.last_commit = None;
            }
        }
        disk.sync_folder(folder).map_err(io_error)?;
    }
    if let Some(newest) = journals.last() {
        let known = match found {
            Found::Mark(mark) => mark.commit,
            Found::Missing | Found::Damaged => 0,
        };
        scan::make_durable(disk, newest, known)
            .map_err(|source| StoreError::io(&newest.path, source))?;
    }
    Ok(Inspection {
        last_commit: journals
            .iter()
            .rev()
            .find_map(|journal| journal.last_commit),
        files: journals
            .iter()
            .map(|journal| {
                let before = journal.first_commit.map(|first| first.saturating_sub(1));
                (journal.id, journal.last_commit.or(before), journal.end)
            })
            .collect(),
        cut: cut_off,
    })
}

/// Finds the first place where the journal does not go on, if there is one.
pub(super) fn judge(
    folder: &Path,
    journals: &[Journal],
    needed: JournalId,
    found: Found,
) -> Option<Verdict> {
    let newest = journals.len().checked_sub(1)?;
    let missing = |index, offset, id: JournalId| {
        let file = id.path(folder);
        Some(Verdict {
            journal: index,
            offset,
            loss: Some(StoreError::MissingFile { file }),
        })
    };
    if journals[0].id != needed {
        return missing(0, 0, needed);
    }
    let mut last = None;
    for (index, journal) in journals.iter().enumerate() {
        if let Some(next) = journals.get(index + 1)
            && next.id.0 != journal.id.0 + 1
        {
            return missing(index, journal.end, JournalId(journal.id.0 + 1));
        }
        let is_newest = index == newest;
        let flaw = flaw_of_beginning(journal, is_newest, last);
        last = journal.last_commit.or(last);
        if let Some(flaw) = flaw.or_else(|| flaw_of_end(journal, is_newest, last, found)) {
            let damaged = |detail| StoreError::DamagedJournal {
                file: journal.path.clone(),
                offset: flaw.offset,
                detail,
            };
            return Some(Verdict {
                journal: index,
                offset: flaw.offset,
                loss: flaw.damage.map(damaged),
            });
        }
    }
    None
}

/// Where a file stops being usable.
struct Flaw {
    offset: u64,
    /// What shows that it is damage; `None` if it is a write that was cut off and that nobody was told of.
    damage: Option<String>,
}

impl Flaw {
    fn damage(offset: u64, detail: String) -> Option<Self> {
        Some(Self {
            offset,
            damage: Some(detail),
        })
    }
}

/// Whether a file begins as it must, behind the last commit before it.
fn flaw_of_beginning(journal: &Journal, is_newest: bool, last: Option<u64>) -> Option<Flaw> {
    let Some(first) = journal.first_commit else {
        // The header is synced before anything follows it, so only the newest may have been cut off in it.
        let cut_off = is_newest && !journal.follows_header;
        return if cut_off {
            None
        } else {
            Flaw::damage(0, "its header is not whole".to_owned())
        };
    };
    let last = last.filter(|last| first != last + 1)?;
    let detail = format!("it begins with commit {first}, and {last} is the last before it");
    Flaw::damage(0, detail)
}

/// Whether a file ends as it must. `last` is the last whole commit in it or before it.
fn flaw_of_end(
    journal: &Journal,
    is_newest: bool,
    last: Option<u64>,
    found: Found,
) -> Option<Flaw> {
    let (known, each_synced) = match found {
        Found::Mark(mark) => (mark.commit, mark.each_synced),
        // Nothing is known: what follows a whole commit counts as acknowledged.
        Found::Missing | Found::Damaged => (0, true),
    };
    // Without a commit in any journal only the tables can tell, which are asked later.
    let lacks_known = last.is_some_and(|last| last < known);
    let acknowledged = || {
        format!(
            "commit {known} was acknowledged and the last whole one is {}",
            last.unwrap_or(0)
        )
    };
    match journal.tail {
        Tail::Clean if is_newest && lacks_known => Flaw::damage(journal.end, acknowledged()),
        Tail::Clean => None,
        // A journal is synced as a whole before the next one is begun.
        Tail::Torn { offset } | Tail::Hole { offset, .. } if !is_newest => {
            Flaw::damage(offset, "a later journal follows".to_owned())
        }
        Tail::Torn { offset } | Tail::Hole { offset, .. } if lacks_known => {
            Flaw::damage(offset, acknowledged())
        }
        // The later one was begun when the one before it was on disk, or is itself known to be.
        Tail::Hole {
            offset,
            resumes,
            commit,
        } if each_synced || commit <= known => {
            Flaw::damage(offset, format!("commit {commit} follows at byte {resumes}"))
        }
        // Commits that nobody had synced: a power cut may have taken any of their pages.
        Tail::Torn { offset } | Tail::Hole { offset, .. } => Some(Flaw {
            offset,
            damage: None,
        }),
    }
}

/// Cuts the first file at `offset` and takes all others away, into the data directory.
fn cut(
    disk: &dyn Disk,
    data_dir: &Path,
    journals: &[Journal],
    offset: u64,
) -> Result<Vec<PathBuf>, StoreError> {
    let mut kept = Vec::new();
    for (index, journal) in journals.iter().enumerate() {
        let offset = if index == 0 { offset } else { 0 };
        let copy = data_dir.join(format!("cut-{:x}-{offset}.jnl", journal.id.0));
        let bytes = copy_tail(disk, &journal.path, offset, &copy)
            .map_err(|source| StoreError::io(&journal.path, source))?;
        warn!(
            file = %journal.path.display(), offset, bytes, kept = %copy.display(),
            "end of journal cut off"
        );
        kept.push(copy);
    }
    disk.sync_folder(data_dir)
        .map_err(|source| StoreError::io(data_dir, source))?;
    for (index, journal) in journals.iter().enumerate().rev() {
        let done = if index == 0 {
            truncate(disk, &journal.path, offset)
        } else {
            disk.remove(&journal.path)
        };
        done.map_err(|source| StoreError::io(&journal.path, source))?;
    }
    Ok(kept)
}

fn copy_tail(disk: &dyn Disk, from: &Path, offset: u64, to: &Path) -> std::io::Result<usize> {
    let whole = disk.open(from)?.read_to_end()?;
    let tail = whole.get(offset as usize..).unwrap_or_default();
    // Zeros at the end say nothing.
    let bytes = tail
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let copy = disk.create(to)?;
    copy.write_all_at(&tail[..bytes], 0)?;
    copy.sync()?;
    Ok(bytes)
}

fn truncate(disk: &dyn Disk, path: &Path, offset: u64) -> std::io::Result<()> {
    let file = disk.open(path)?;
    file.set_len(offset)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermark::Mark;

    /// A file, and the first and the last commit in it.
    fn journal(id: u64, commits: Option<(u64, u64)>, tail: Tail) -> Journal {
        let path = Path::new("store").join(format!("{id}.jnl"));
        Journal {
            id: JournalId(id),
            path,
            first_commit: commits.map(|(first, _)| first),
            last_commit: commits.map(|(_, last)| last),
            follows_header: commits.is_some(),
            end: 100 * id,
            tail,
        }
    }

    fn mark(commit: u64) -> Found {
        Found::Mark(Mark {
            commit,
            each_synced: true,
        })
    }

    /// What is decided, in a line: where it is cut, and what is lost by it.
    fn check(journals: &[Journal], found: Found, expected: &str) {
        let verdict = judge(
            Path::new("store"),
            journals,
            journals.first().map_or(JournalId(1), |first| first.id),
            found,
        )
        .map_or_else(
            || "start".to_owned(),
            |verdict| {
                let loss = match verdict.loss {
                    None => "nothing".to_owned(),
                    Some(StoreError::DamagedJournal { file, detail, .. }) => {
                        format!("{}: {detail}", file.display())
                    }
                    Some(StoreError::MissingFile { file }) => format!("{} missing", file.display()),
                    Some(other) => panic!("unexpected: {other}"),
                };
                format!(
                    "cut journal {} at {}, losing {loss}",
                    verdict.journal, verdict.offset
                )
            },
        );
        assert_eq!(verdict, expected);
    }

    #[test]
    fn several_journals_are_judged_as_one_sequence() {
        let first = || journal(3, Some((10, 19)), Tail::Clean);
        let second = || journal(4, Some((20, 29)), Tail::Clean);
        let empty = || journal(5, None, Tail::Clean);
        check(&[], mark(7), "start");
        check(&[first(), second()], mark(29), "start");
        check(&[first(), second(), empty()], mark(29), "start");
        // Only the tables can tell: every commit may have been moved there.
        check(&[empty()], mark(29), "start");
        check(
            &[first(), second()],
            mark(30),
            "cut journal 1 at 400, losing store/4.jnl: commit 30 was acknowledged and the last whole one is 29",
        );
        check(
            &[first(), empty()],
            mark(19),
            "cut journal 0 at 300, losing store/0000000000000004.jnl missing",
        );
        check(
            &[journal(2, None, Tail::Clean), first()],
            mark(19),
            "cut journal 0 at 0, losing store/2.jnl: its header is not whole",
        );
        check(
            &[first(), journal(4, Some((21, 29)), Tail::Clean)],
            mark(29),
            "cut journal 1 at 0, losing store/4.jnl: it begins with commit 21, and 19 is the last before it",
        );
    }

    #[test]
    fn a_torn_end_is_harmless_in_the_newest_journal_only() {
        let torn = |id, commits| journal(id, commits, Tail::Torn { offset: 50 });
        let later = || journal(4, Some((20, 29)), Tail::Clean);
        check(
            &[torn(3, Some((10, 19)))],
            mark(19),
            "cut journal 0 at 50, losing nothing",
        );
        check(
            &[torn(3, None)],
            mark(19),
            "cut journal 0 at 50, losing nothing",
        );
        check(
            &[torn(3, Some((10, 19))), later()],
            mark(19),
            "cut journal 0 at 50, losing store/3.jnl: a later journal follows",
        );
        check(
            &[journal(3, Some((10, 19)), Tail::Clean), torn(4, None)],
            mark(20),
            "cut journal 1 at 50, losing store/4.jnl: commit 20 was acknowledged and the last whole one is 19",
        );
    }

    #[test]
    fn a_hole_is_harmless_only_where_nothing_was_synced() {
        let hole = || {
            journal(
                3,
                Some((10, 19)),
                Tail::Hole {
                    offset: 50,
                    resumes: 70,
                    commit: 21,
                },
            )
        };
        let refused = "cut journal 0 at 50, losing store/3.jnl: commit 21 follows at byte 70";
        check(&[hole()], mark(19), refused);
        check(&[hole()], Found::Missing, refused);
        let interval = |commit| {
            Found::Mark(Mark {
                commit,
                each_synced: false,
            })
        };
        check(
            &[hole()],
            interval(19),
            "cut journal 0 at 50, losing nothing",
        );
        check(
            &[hole()],
            interval(20),
            "cut journal 0 at 50, losing store/3.jnl: commit 20 was acknowledged and the last whole one is 19",
        );
    }
}
