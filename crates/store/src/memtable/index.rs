//! References to entries in order, in leaves of bounded size: an insertion moves at most one leaf.

use std::cmp::Ordering;

use super::arena::EntryRef;

/// Entries of a leaf; a full one is cut in two.
const LEAF_ENTRIES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// None is empty.
    leaves: Vec<Vec<EntryRef>>,
}

/// A place between entries: in front of the entry that stands there, or behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    leaf: usize,
    at: usize,
}

impl Index {
    /// Inserts in front of the first entry that does not compare less.
    pub(super) fn insert(&mut self, entry: EntryRef, compare: impl Fn(EntryRef) -> Ordering) {
        let place = self.partition_point(|other| compare(other) == Ordering::Less);
        let Some(leaf) = self.leaves.get_mut(place.leaf) else {
            // Behind everything: a full leaf stays full, as keys that grow need it.
            match self.leaves.last_mut() {
                Some(last) if last.len() < LEAF_ENTRIES_MAX => last.push(entry),
                _ => {
                    let mut leaf = Vec::with_capacity(LEAF_ENTRIES_MAX);
                    leaf.push(entry);
                    self.leaves.push(leaf);
                }
            }
            return;
        };
        if leaf.len() < LEAF_ENTRIES_MAX {
            leaf.insert(place.at, entry);
            return;
        }
        let mut behind = Vec::with_capacity(LEAF_ENTRIES_MAX);
        behind.extend(leaf.drain(LEAF_ENTRIES_MAX / 2..));
        if place.at <= leaf.len() {
            leaf.insert(place.at, entry);
        } else {
            behind.insert(place.at - leaf.len(), entry);
        }
        self.leaves.insert(place.leaf + 1, behind);
    }

    /// The place behind the last entry for which `before` holds; it holds for a beginning of them.
    pub(super) fn partition_point(&self, before: impl Fn(EntryRef) -> bool) -> Place {
        let ends_before = |leaf: &Vec<EntryRef>| leaf.last().is_some_and(|last| before(*last));
        let leaf = self.leaves.partition_point(ends_before);
        let at = self
            .leaves
            .get(leaf)
            .map_or(0, |entries| entries.partition_point(|entry| before(*entry)));
        Place { leaf, at }
    }

    pub(super) fn at(&self, place: Place) -> Option<EntryRef> {
        self.leaves.get(place.leaf)?.get(place.at).copied()
    }

    /// The place behind the entry that stands at `place`.
    pub(super) fn after(&self, place: Place) -> Place {
        let Place { leaf, at } = place;
        if at + 1 < self.leaves[leaf].len() {
            Place { leaf, at: at + 1 }
        } else {
            Place {
                leaf: leaf + 1,
                at: 0,
            }
        }
    }

    /// The place of the entry in front; `None` if there is none.
    pub(super) fn before(&self, place: Place) -> Option<Place> {
        let Place { leaf, at } = place;
        if at > 0 {
            return Some(Place { leaf, at: at - 1 });
        }
        let leaf = leaf.checked_sub(1)?;
        Some(Place {
            leaf,
            at: self.leaves[leaf].len() - 1,
        })
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.leaves.len() * LEAF_ENTRIES_MAX * size_of::<EntryRef>()
    }
}
