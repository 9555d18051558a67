//! Which tables are merged. Pure: it looks at their properties and chooses.
//!
//! Tables of a family lie in the order in which they were made. Several of about one size that lie side by side become one, so
//! that a row is written as often as there are sizes. A table much of which is overwritten or deleted is written anew alone.
//! Several merges of a family may go on at once, each of tables of its own.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::RANGE_DELETION_BYTES_MAX;
use super::family::Family;
use super::scale::Scale;
use super::state::FamilyState;
use crate::table::{Table, TableId};

/// A table is written anew when this part of its bytes is dead …
const DEAD_SHARE: f64 = 0.2;

/// … and so much of it, at least.
const DEAD_BYTES_MIN: u64 = 256 * 1024;

/// A table is written anew to be rid of deletions when this part of its rows are deletions that hide nothing any longer.
const DELETIONS_SHARE: f64 = 0.2;

/// Tables below this are of the smallest size.
const SMALLEST_BYTES: u64 = 1024 * 1024;

/// A merge makes no table longer than this …
const TABLE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// … or than this part of the family, so that their number stays bounded, and so does the room that a merge needs.
const TABLE_SHARE_MAX: u64 = 8;

/// So many tables of one size, in widths of a merge, are too many: commits are slowed down more and more.
const DEBT_WIDTHS_MAX: usize = 4;

/// So many tables of all sizes, in widths of a merge, are too many even where sizes take turns and no stretch is of one size.
const TABLES_WIDTHS_MAX: usize = 4;

/// Tables that are to become one, and which of the family's they are.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) tables: Range<usize>,
}

/// What a merge may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed<'a> {
    /// Tables that others merge at this moment.
    pub(super) busy: &'a HashSet<TableId>,
    /// Bytes of all tables that become one.
    pub(super) bytes_max: u64,
}

impl Allowed<'_> {
    fn table(self, table: &Table) -> bool {
        !table.is_given_up() && !self.busy.contains(&table.id())
    }
}

/// What is to be done with a family's tables, if anything.
pub(super) fn choose(state: &FamilyState, allowed: Allowed<'_>) -> Option<Choice> {
    let (family, scale, tables) = (state.family, state.scale, state.tables.as_slice());
    let sizes = sizes(tables, |table| allowed.table(table));
    let length_max = length_max(scale, tables.iter().map(|table| table.length()).sum());
    let groups = same_size(family, scale, &sizes, length_max);
    let crowded = groups
        .iter()
        .any(|group| group.len() >= 2 * family.merge_width());
    let merge = || {
        let stretch = |stretch| worth_merging(family, &sizes, stretch, length_max, allowed);
        crowd(family, &sizes, &groups, stretch)
            .or_else(|| mixed_crowd(family, scale, &sizes, length_max, stretch))
    };
    let rewrite = || {
        let worst = garbage(scale, tables, allowed)
            .or_else(|| useless_deletions(tables, allowed))
            .or_else(|| range_deletions(state, allowed))?;
        Some(worst..worst + 1)
    };
    let tables = if crowded {
        merge().or_else(rewrite)
    } else {
        rewrite().or_else(merge)
    };
    tables.map(|tables| Choice { tables })
}

/// How far merges are behind: 1 is too far.
pub(super) fn debt(state: &FamilyState) -> f64 {
    let (family, scale, tables) = (state.family, state.scale, state.tables.as_slice());
    let sizes = sizes(tables, |table| !table.is_given_up());
    let length_max = length_max(scale, sizes.iter().flatten().sum());
    let groups = same_size(family, scale, &sizes, length_max);
    let most = groups.iter().map(Range::len).max().unwrap_or(0);
    most as f64 / (DEBT_WIDTHS_MAX * family.merge_width()) as f64
}

/// Lengths of the tables; `None` for one that is not to be merged.
fn sizes(tables: &[Arc<Table>], may_be: impl Fn(&Table) -> bool) -> Vec<Option<u64>> {
    let size = |table: &Arc<Table>| may_be(table).then(|| table.length());
    tables.iter().map(size).collect()
}

/// Stretches of tables of one size. One that is more than half as long as any may be stands alone: it is merged no more.
fn same_size(
    family: Family,
    scale: Scale,
    sizes: &[Option<u64>],
    length_max: u64,
) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut last = None;
    for (at, size) in sizes.iter().enumerate() {
        let step = size
            .filter(|size| size * 2 <= length_max)
            .map(|size| size_step(family, scale, size));
        match groups.last_mut() {
            Some(group) if step.is_some() && last == step => group.end = at + 1,
            _ => groups.push(at..at + 1),
        }
        last = step;
    }
    groups
}

/// 0 for the smallest, and one more whenever a size is a merge's width times larger.
fn size_step(family: Family, scale: Scale, bytes: u64) -> u32 {
    (bytes / scale.bytes(SMALLEST_BYTES))
        .checked_ilog(family.merge_width() as u64)
        .map_or(0, |step| step + 1)
}

fn length_max(scale: Scale, total: u64) -> u64 {
    scale.bytes(TABLE_BYTES_MAX).max(total / TABLE_SHARE_MAX)
}

/// A stretch of as many tables of one size as are merged at once; the smallest first.
fn crowd(
    family: Family,
    sizes: &[Option<u64>],
    groups: &[Range<usize>],
    worth: impl Fn(Range<usize>) -> Option<Range<usize>>,
) -> Option<Range<usize>> {
    let length_of = |at: usize| sizes[at].unwrap_or(u64::MAX);
    let mut crowded: Vec<&Range<usize>> = groups
        .iter()
        .filter(|group| group.len() >= family.merge_width())
        .collect();
    crowded.sort_by_key(|group| length_of(group.start));
    crowded.into_iter().find_map(|group| worth(group.clone()))
}

/// The tables of a stretch that are to become one, as many as the merge may take. Fewer than are merged at once are left to a merge
/// that may take more: each row would be written more often.
fn worth_merging(
    family: Family,
    sizes: &[Option<u64>],
    stretch: Range<usize>,
    length_max: u64,
    allowed: Allowed<'_>,
) -> Option<Range<usize>> {
    let whole = not_too_long(sizes, stretch, length_max)?;
    let least = whole.len().min(family.merge_width());
    let part = not_too_long(sizes, whole, allowed.bytes_max)?;
    (part.len() >= least).then_some(part)
}

/// The oldest of these tables, as many as make a table that is not too long.
fn not_too_long(
    sizes: &[Option<u64>],
    group: Range<usize>,
    bytes_max: u64,
) -> Option<Range<usize>> {
    let length_of = |at: usize| sizes[at].unwrap_or(u64::MAX);
    let mut begin = group.end;
    let mut length = 0_u64;
    while begin > group.start && length.saturating_add(length_of(begin - 1)) <= bytes_max {
        begin -= 1;
        length += length_of(begin);
    }
    (group.end - begin >= 2).then_some(begin..group.end)
}

/// Where there are too many tables and no stretch of one size: the longest stretch of tables up to a size, the least that does.
fn mixed_crowd(
    family: Family,
    scale: Scale,
    sizes: &[Option<u64>],
    length_max: u64,
    worth: impl Fn(Range<usize>) -> Option<Range<usize>>,
) -> Option<Range<usize>> {
    if sizes.len() <= TABLES_WIDTHS_MAX * family.merge_width() {
        return None;
    }
    let steps: Vec<Option<u32>> = sizes
        .iter()
        .map(|size| {
            size.filter(|size| size * 2 <= length_max)
                .map(|size| size_step(family, scale, size))
        })
        .collect();
    let most = steps.iter().flatten().max()?;
    (0..=*most).find_map(|largest| {
        let fits = |step: &Option<u32>| step.is_some_and(|step| step <= largest);
        let mut begin = 0;
        let mut longest = 0..0;
        for (at, step) in steps.iter().enumerate() {
            if !fits(step) {
                begin = at + 1;
            } else if at + 1 - begin > longest.len() {
                longest = begin..at + 1;
            }
        }
        let enough = longest.len() >= family.merge_width();
        enough.then(|| worth(longest))?
    })
}

/// The table with the most dead bytes of those that have too many.
fn garbage(scale: Scale, tables: &[Arc<Table>], allowed: Allowed<'_>) -> Option<usize> {
    let too_many = |table: &Arc<Table>| {
        let dead = table.dead();
        allowed.table(table)
            && table.length() <= allowed.bytes_max
            && dead >= scale.bytes(DEAD_BYTES_MIN)
            && dead as f64 >= DEAD_SHARE * table.properties().bytes as f64
    };
    let candidates = tables.iter().enumerate();
    candidates
        .filter(|(_, table)| too_many(table))
        .max_by_key(|(_, table)| table.dead())
        .map(|(at, _)| at)
}

/// A table with many deletions below which there is nothing, or something else than when they were last looked through.
fn useless_deletions(tables: &[Arc<Table>], allowed: Allowed<'_>) -> Option<usize> {
    (0..tables.len()).rev().find(|at| {
        let properties = tables[*at].properties();
        if (properties.deletions as f64) < DELETIONS_SHARE * properties.rows as f64
            || properties.deletions == 0
            || !allowed.table(&tables[*at])
            || tables[*at].length() > allowed.bytes_max
        {
            return false;
        }
        let keys = &properties.keys;
        let mut below = tables[at + 1..]
            .iter()
            .filter(|older| {
                let older = &older.properties().keys;
                older.start() <= keys.end() && older.end() >= keys.start()
            })
            .peekable();
        below.peek().is_none() || below.any(|older| older.id() >= properties.settled_before)
    })
}

/// Where so many ranges are deleted that memory for them runs out: the table that was made before most of them.
fn range_deletions(state: &FamilyState, allowed: Allowed<'_>) -> Option<usize> {
    let many = state.scale.memory(RANGE_DELETION_BYTES_MAX) / 2;
    if state.range_deletions.bytes() < many {
        return None;
    }
    let newest = state.range_deletions.iter().map(|one| one.flush).max()?;
    let candidates = state.tables.iter().enumerate().filter(|(_, table)| {
        allowed.table(table)
            && table.length() <= allowed.bytes_max
            && table.properties().flush < newest
    });
    let oldest = candidates.min_by_key(|(_, table)| table.properties().flush);
    oldest.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Which tables of these sizes, in MiB and newest first, become one.
    fn check(sizes: &[u64], expected: impl Into<Option<Range<usize>>>) {
        let sizes: Vec<Option<u64>> = sizes.iter().map(|size| Some(size * MIB)).collect();
        let length_max = length_max(Scale::FULL, sizes.iter().flatten().sum());
        let groups = same_size(Family::Queue, Scale::FULL, &sizes, length_max);
        let found = crowd(Family::Queue, &sizes, &groups, |stretch| {
            not_too_long(&sizes, stretch, length_max)
        });
        assert_eq!(found, expected.into());
    }

    #[test]
    fn tables_of_one_size_become_one_when_there_are_enough() {
        check(&[20; 11], None);
        check(&[20; 12], 0..12);
        check(
            &[20, 25, 18, 13, 20, 20, 20, 20, 20, 20, 20, 140, 200],
            0..12,
        );
        // A larger one lies between them.
        check(&[20, 20, 20, 20, 20, 20, 150, 20, 20, 20, 20, 20, 20], None);
        // The smallest first: they are the most.
        let mut sizes = vec![5; 12];
        sizes.extend([20; 12]);
        check(&sizes, 0..12);
    }

    #[test]
    fn sizes_that_take_turns_do_not_add_up() {
        let turns = |count: usize| -> Vec<Option<u64>> {
            let size = |at| Some(if at % 2 == 0 { MIB / 2 } else { 2 * MIB });
            (0..count).map(size).collect()
        };
        let check = |count, expected| {
            let sizes = turns(count);
            let length_max = length_max(Scale::FULL, sizes.iter().flatten().sum());
            let found = mixed_crowd(Family::Queue, Scale::FULL, &sizes, length_max, |stretch| {
                not_too_long(&sizes, stretch, length_max)
            });
            assert_eq!(found, expected, "{count} tables");
        };
        check(48, None);
        check(49, Some(0..49));
    }

    #[test]
    fn no_table_becomes_too_long() {
        // Twelve of 200 MiB would be 2,400; a family of 2.4 GB may have tables of 1,024.
        check(&[200; 12], 7..12);
        // In one of 24 GB they may have an eighth.
        let mut sizes = vec![200; 12];
        sizes.extend([2000; 11]);
        check(&sizes, 0..12);
        check(&[900; 12], None);
    }

    #[test]
    fn a_merge_that_may_take_little_leaves_larger_ones_whole() {
        let check = |count: usize, bytes_max, expected: Option<Range<usize>>| {
            let busy = HashSet::new();
            let allowed = Allowed {
                busy: &busy,
                bytes_max,
            };
            let sizes = vec![Some(20 * MIB); count];
            let found = worth_merging(Family::Queue, &sizes, 0..count, 1024 * MIB, allowed);
            assert_eq!(found, expected);
        };
        check(12, 239 * MIB, None);
        check(12, 240 * MIB, Some(0..12));
        // Of more than it may take, the oldest.
        check(20, 239 * MIB, None);
        check(20, 250 * MIB, Some(8..20));
        check(20, u64::MAX, Some(0..20));
    }

    #[test]
    fn sizes_are_steps_of_a_width() {
        let steps = [0, 1, 11, 12, 143, 144, 1727, 1728]
            .map(|size| size_step(Family::Queue, Scale::FULL, size * MIB));
        assert_eq!(steps, [0, 1, 1, 2, 2, 3, 3, 4]);
    }
}
