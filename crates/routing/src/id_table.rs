//! An open-addressing table from a fingerprint to a 32-bit id; the caller compares the keys, which live
//! elsewhere. It must not be iterated: its order depends on the hash key.
//!
//! One slot is one word (fingerprint and id), so that a lookup that misses the cache misses it once where a
//! control-byte table misses twice, and growing reads no key: a slot's home is `fingerprint * slots / 2^32`,
//! which keeps the order of the slots, so growth is one sequential pass.

/// Slots of the smallest table.
const SLOTS_MIN: usize = 8;
/// The table grows by half when more than this share of its slots is used.
const LOAD_MAX: (usize, usize) = (7, 10);
/// The table halves when less than this share of its slots is used.
const LOAD_MIN: (usize, usize) = (1, 5);
const EMPTY: u64 = 0;

/// Ids by fingerprint; several ids may have the same one.
#[derive(Debug, Default, Clone)]
pub struct IdTable {
    /// `fingerprint << 32 | id + 1`, or [`EMPTY`].
    slots: Vec<u64>,
    used: usize,
}

impl IdTable {
    /// The id under the fingerprint for which `is_sought` holds.
    pub fn find(&self, fingerprint: u32, mut is_sought: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(fingerprint);
        // Ends: LOAD_MAX leaves empty slots.
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if fingerprint_of(slot) == fingerprint && is_sought(id_of(slot)) {
                return Some(id_of(slot));
            }
            at = self.after(at);
        }
    }

    /// Adds an id that is not in the table.
    ///
    /// # Panics
    /// When the id is `u32::MAX`.
    pub fn insert(&mut self, fingerprint: u32, id: u32) {
        if (self.used + 1) * LOAD_MAX.1 > self.slots.len() * LOAD_MAX.0 {
            self.resize((self.slots.len() + self.slots.len() / 2).max(SLOTS_MIN));
        }
        self.place(slot_of(fingerprint, id));
        self.used += 1;
    }

    /// Takes an id out; false when it is not there.
    pub fn remove(&mut self, fingerprint: u32, id: u32) -> bool {
        let Some(at) = self.position(slot_of(fingerprint, id)) else {
            return false;
        };
        self.close_gap(at);
        self.used -= 1;
        if self.slots.len() > 2 * SLOTS_MIN
            && self.used * LOAD_MIN.1 < self.slots.len() * LOAD_MIN.0
        {
            self.resize(self.slots.len() / 2);
        }
        true
    }

    /// Renames an id under its fingerprint; false when it is not there.
    pub(crate) fn rename(&mut self, fingerprint: u32, id: u32, new: u32) -> bool {
        let Some(at) = self.position(slot_of(fingerprint, id)) else {
            return false;
        };
        self.slots[at] = slot_of(fingerprint, new);
        true
    }

    fn position(&self, sought: u64) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(fingerprint_of(sought));
        while self.slots[at] != EMPTY {
            if self.slots[at] == sought {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn place(&mut self, slot: u64) {
        let mut at = self.home(fingerprint_of(slot));
        while self.slots[at] != EMPTY {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    /// Empties a slot and moves back what had been pushed past it, so that no tombstone is needed.
    fn close_gap(&mut self, mut gap: usize) {
        let slots = self.slots.len();
        let mut at = self.after(gap);
        while self.slots[at] != EMPTY {
            let home = self.home(fingerprint_of(self.slots[at]));
            let from_home = (at + slots - home) % slots;
            let from_gap = (at + slots - gap) % slots;
            if from_home >= from_gap {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.slots[gap] = EMPTY;
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        for slot in old {
            if slot != EMPTY {
                self.place(slot);
            }
        }
    }

    fn home(&self, fingerprint: u32) -> usize {
        ((u64::from(fingerprint) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }
}

fn slot_of(fingerprint: u32, id: u32) -> u64 {
    assert!(id < u32::MAX, "id out of range");
    u64::from(fingerprint) << 32 | u64::from(id + 1)
}

fn fingerprint_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

fn id_of(slot: u64) -> u32 {
    slot as u32 - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::IdTable;

    /// Fingerprints that crowd around both ends of the table, where probing wraps around.
    fn fingerprint() -> impl Strategy<Value = u32> {
        prop_oneof![0..4u32, (u32::MAX - 3)..=u32::MAX, any::<u32>()]
    }

    proptest! {
        #[test]
        fn table_agrees_with_a_set(steps in prop::collection::vec((any::<bool>(), fingerprint(), 0..12u32), 1..400)) {
            let mut table = IdTable::default();
            let mut model = BTreeSet::new();
            for (add, fingerprint, id) in steps {
                if add && model.insert((fingerprint, id)) {
                    table.insert(fingerprint, id);
                } else if !add {
                    prop_assert_eq!(table.remove(fingerprint, id), model.remove(&(fingerprint, id)));
                }
                for &(fingerprint, id) in &model {
                    prop_assert_eq!(table.find(fingerprint, |found| found == id), Some(id));
                }
                prop_assert_eq!(table.used, model.len());
                prop_assert_eq!(table.find(fingerprint, |found| !model.contains(&(fingerprint, found))), None);
            }
        }
    }
}
