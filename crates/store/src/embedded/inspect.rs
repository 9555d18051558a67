//! Looks at a store's files before fjall opens them, and cuts what fjall would cut, having made sure that nothing
//! acknowledged goes with it. Whatever is cut is kept beside the store until the store has opened completely.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::StoreError;
use super::family::FAMILIES;
use super::open::{commit_key, io_error, sync_folder};
use crate::journal::{self, Journal, Tail};
use crate::watermark::Found;

/// What was found and done.
#[derive(Debug)]
pub(super) struct Inspection {
    /// The last whole commit in the journals; `None` if they hold none.
    pub(super) last_commit: Option<u64>,
    /// Copies of what was cut off.
    cut: Vec<PathBuf>,
}

impl Inspection {
    /// The store is open: forgets what was cut off, unless it was a loss.
    pub(super) fn settle(self, accept_loss: bool) -> Result<(), StoreError> {
        if accept_loss {
            return Ok(());
        }
        for file in self.cut {
            fs::remove_file(&file).map_err(|source| io_error(&file, source))?;
        }
        Ok(())
    }
}

/// Where the journals stop being usable, and whether anything acknowledged stood there.
struct Verdict {
    /// Index of the journal.
    journal: usize,
    /// Everything in it from here on, and every journal behind it.
    offset: u64,
    /// `None` if nothing acknowledged did.
    loss: Option<StoreError>,
}

pub(super) fn inspect(
    data_dir: &Path,
    folder: &Path,
    found: Found,
    accept_loss: bool,
) -> Result<Inspection, StoreError> {
    let mut inspection = Inspection {
        last_commit: None,
        cut: Vec::new(),
    };
    if !folder
        .try_exists()
        .map_err(|source| io_error(folder, source))?
    {
        return Ok(inspection);
    }
    let journals =
        journal::journals(folder, &commit_key()).map_err(|source| io_error(folder, source))?;
    inspection.last_commit = journals
        .iter()
        .rev()
        .find_map(|journal| journal.commits)
        .map(|(_, last)| last);
    check_files(folder, found, inspection.last_commit, accept_loss)?;
    let Some(verdict) = judge(folder, &journals, found) else {
        return Ok(inspection);
    };
    if let Some(loss) = verdict.loss {
        if !accept_loss {
            return Err(loss);
        }
        warn!(%loss, "accepted");
    }
    inspection.cut = cut(data_dir, &journals[verdict.journal..], verdict.offset)?;
    inspection.last_commit = journals[..=verdict.journal]
        .iter()
        .rev()
        .find_map(|journal| journal.commits)
        .map(|(_, last)| last);
    sync_folder(folder)?;
    Ok(inspection)
}

/// Fjall makes anew what it does not find, and deletes what it then no longer knows.
fn check_files(
    folder: &Path,
    found: Found,
    last_commit: Option<u64>,
    accept_loss: bool,
) -> Result<(), StoreError> {
    let known = match found {
        Found::Mark(mark) => mark.commit,
        Found::Missing | Found::Damaged => 0,
    };
    let exists = |path: &Path| path.try_exists().map_err(|source| io_error(path, source));
    let version = folder.join("version");
    if known.max(last_commit.unwrap_or(0)) == 0 {
        // The very first start was cut off before fjall was done; it would not go on by itself.
        if !exists(&version)? && !exists(&folder.join("keyspaces").join("0").join("current"))? {
            fs::remove_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        return Ok(());
    }
    // Keyspace 0 is fjall's directory of the others.
    for file in [version, folder.join("keyspaces").join("0").join("current")] {
        if !exists(&file)? {
            return Err(StoreError::Unusable { file });
        }
    }
    let mut keyspaces = 0;
    let all = folder.join("keyspaces");
    for entry in fs::read_dir(&all).map_err(|source| io_error(&all, source))? {
        let entry = entry.map_err(|source| io_error(&all, source))?;
        if exists(&entry.path().join("current"))? {
            keyspaces += 1;
        }
    }
    if keyspaces < FAMILIES + 1 {
        let loss = StoreError::MissingFile { file: all };
        if !accept_loss {
            return Err(loss);
        }
        warn!(%loss, "accepted");
    }
    Ok(())
}

/// Finds the first place where the journals do not go on, if there is one.
fn judge(folder: &Path, journals: &[Journal], found: Found) -> Option<Verdict> {
    let (known, each_synced) = match found {
        Found::Mark(mark) => (mark.commit, mark.each_synced),
        // Nothing is known: what follows a whole commit counts as acknowledged.
        Found::Missing | Found::Damaged => (0, true),
    };
    let newest = journals.len().checked_sub(1)?;
    let mut last = None;
    for (index, journal) in journals.iter().enumerate() {
        if let Some(next) = journals.get(index + 1)
            && next.id != journal.id + 1
        {
            let file = folder.join(format!("{}.jnl", journal.id + 1));
            let offset = journal.end;
            return Some(Verdict {
                journal: index,
                offset,
                loss: Some(StoreError::MissingFile { file }),
            });
        }
        last = journal.commits.map(|(_, last)| last).or(last);
        let damaged = |offset: u64, detail: String| {
            let loss = StoreError::DamagedJournal {
                file: journal.path.clone(),
                offset,
                detail,
            };
            Some(Verdict {
                journal: index,
                offset,
                loss: Some(loss),
            })
        };
        // Without a commit in any journal only the tables can tell, which are asked once fjall has opened them.
        let lacks_known = last.is_some_and(|last| last < known);
        let acknowledged = || {
            format!(
                "commit {known} was acknowledged and the last whole one is {}",
                last.unwrap_or(0)
            )
        };
        match journal.tail {
            Tail::Clean if index == newest && lacks_known => {
                return damaged(journal.end, acknowledged());
            }
            Tail::Clean => {}
            // A journal is synced as a whole before the next one is begun.
            Tail::Torn { offset } | Tail::Hole { offset, .. } if index < newest => {
                return damaged(offset, "a later journal follows".to_owned());
            }
            Tail::Torn { offset } | Tail::Hole { offset, .. } if lacks_known => {
                return damaged(offset, acknowledged());
            }
            // The later one was begun when the one before it was on disk, or is itself known to be.
            Tail::Hole {
                offset,
                resumes,
                commit,
            } if each_synced || commit <= known => {
                return damaged(offset, format!("commit {commit} follows at byte {resumes}"));
            }
            // Commits that nobody had synced: a power cut may have taken any of their pages.
            Tail::Torn { offset } | Tail::Hole { offset, .. } => {
                return Some(Verdict {
                    journal: index,
                    offset,
                    loss: None,
                });
            }
        }
    }
    None
}

/// Cuts the first journal at `offset` and takes all others away, into the data directory.
fn cut(data_dir: &Path, journals: &[Journal], offset: u64) -> Result<Vec<PathBuf>, StoreError> {
    let mut kept = Vec::new();
    for (index, journal) in journals.iter().enumerate() {
        let offset = if index == 0 { offset } else { 0 };
        let copy = data_dir.join(format!("cut-{}-{offset}.jnl", journal.id));
        let bytes = copy_tail(&journal.path, offset, &copy)
            .map_err(|source| io_error(&journal.path, source))?;
        warn!(
            file = %journal.path.display(), offset, bytes, kept = %copy.display(),
            "end of journal cut off"
        );
        kept.push(copy);
    }
    sync_folder(data_dir)?;
    for (index, journal) in journals.iter().enumerate() {
        let done = if index == 0 {
            truncate(&journal.path, offset)
        } else {
            fs::remove_file(&journal.path)
        };
        done.map_err(|source| io_error(&journal.path, source))?;
    }
    Ok(kept)
}

fn copy_tail(from: &Path, offset: u64, to: &Path) -> std::io::Result<usize> {
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(offset))?;
    let mut tail = Vec::new();
    source.read_to_end(&mut tail)?;
    // The zeros that the file was made with say nothing.
    let bytes = tail
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let mut copy = File::create(to)?;
    copy.write_all(&tail[..bytes])?;
    copy.sync_all()?;
    Ok(bytes)
}

fn truncate(path: &Path, offset: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(offset)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermark::Mark;

    fn journal(id: u64, commits: Option<(u64, u64)>, tail: Tail) -> Journal {
        let path = Path::new("store").join(format!("{id}.jnl"));
        Journal {
            id,
            path,
            commits,
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
        let verdict = judge(Path::new("store"), journals, found).map_or_else(
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
            "cut journal 0 at 300, losing store/4.jnl missing",
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
