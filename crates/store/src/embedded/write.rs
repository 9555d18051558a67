//! A commit: into the journal, onto the disk, and into the memtables, where readers find it.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use records::{KeyRange, Write};

use super::JOURNAL_BYTES_MAX;
use super::family;
use super::pace;
use super::shared::Shared;
use crate::watermark::Mark;

/// Carries out a commit. One at a time: the caller sees to that. After an error the store is poisoned.
pub(super) fn write(
    shared: &Shared,
    deleted_ranges: &[KeyRange],
    writes: &[Write],
) -> io::Result<()> {
    let poisoning = PoisonOnDrop(shared);
    let number = shared.committed() + 1;
    let stored = writes.iter().map(|write| write.bytes() as u64).sum();
    pace::wait(shared, stored);
    let (bytes, file, journal_bytes) = {
        let mut journal = shared.journal();
        let bytes = journal.append(number, deleted_ranges, writes)?;
        (bytes, journal.file(), journal.bytes())
    };
    if shared.each_synced {
        let syncing = Instant::now();
        file.sync()?;
        shared.counters.synced(syncing.elapsed());
        shared.watermark.advance(Mark {
            commit: number,
            each_synced: true,
        })?;
    }
    apply(
        shared,
        number,
        deleted_ranges,
        writes,
        journal_bytes > shared.scale.bytes(JOURNAL_BYTES_MAX),
    );
    shared.counters.committed(stored, bytes);
    std::mem::forget(poisoning);
    Ok(())
}

/// Shows the commit to readers, wholly and at once.
fn apply(
    shared: &Shared,
    number: u64,
    deleted_ranges: &[KeyRange],
    writes: &[Write],
    journal_is_long: bool,
) {
    let now = Instant::now();
    let mut sealed = false;
    let ranges = deleted_ranges.iter().map(KeyRange::ends);
    let segments = family::all_segments(ranges);
    let mut state = shared.write_state();
    for family in &mut state.families {
        let has_many = |(from, to)| family.active.has_many(from, to);
        if family::ends_of(&segments, family.family).any(has_many) {
            family.seal(now);
            sealed = true;
        }
        let changes = writes.iter().map(|write| match write {
            Write::Put { key, value } => (key.as_slice(), Some(value.as_slice())),
            Write::Delete { key } => (key.as_slice(), None),
        });
        if !family.apply(&segments, changes, number) {
            continue;
        }
        family.written_at = now;
        if family.is_full() {
            family.seal(now);
            sealed = true;
        }
    }
    // A family that is hardly written keeps the journal of all others.
    if journal_is_long
        && !sealed
        && let Some(family) = state.holding_most_back()
    {
        family.seal(now);
        sealed = true;
    }
    state.applied = number;
    shared.committed.store(number, Ordering::Release);
    drop(state);
    if sealed {
        shared.wakeup.ring();
    }
}

/// Poisons the store unless forgotten: after an error or a panic nobody knows what is on disk.
struct PoisonOnDrop<'a>(&'a Shared);

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.poison();
    }
}
