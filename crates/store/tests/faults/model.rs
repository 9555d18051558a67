//! What must be in the store: a map, and the commits that a power cut may take from it.

use std::collections::BTreeMap;

use records::Write;
use store::{Batch, EmbeddedStore, Range, Store};

/// Rows as they must be found.
pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Carries out a commit.
pub(crate) fn apply(rows: &mut Rows, batch: &Batch) {
    for range in &batch.deleted_ranges {
        rows.retain(|key, _| *key < range.from || *key >= range.to);
    }
    for write in &batch.writes {
        match write {
            Write::Put { key, value } => rows.insert(key.clone(), value.clone()),
            Write::Delete { key } => rows.remove(key),
        };
    }
}

/// The store's history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// As of now: what was acknowledged.
    pub(crate) rows: Rows,
    /// The number of the last acknowledged commit.
    pub(crate) committed: u64,
    /// Rows as of `base_commit`, which nothing can take away.
    base: Rows,
    base_commit: u64,
    /// The commits since, in order.
    since: Vec<Batch>,
    /// A commit that failed: it may be there after a reopen, if nothing else failed.
    in_doubt: Option<Batch>,
}

impl Model {
    /// Of a store that was just made and holds its format alone.
    pub(crate) fn of(store: &EmbeddedStore) -> Self {
        let rows: Rows = found(store);
        Self {
            base: rows.clone(),
            rows,
            committed: store.committed(),
            base_commit: store.committed(),
            ..Self::default()
        }
    }

    /// A commit was acknowledged.
    pub(crate) fn acknowledge(&mut self, batch: Batch) {
        apply(&mut self.rows, &batch);
        self.committed += 1;
        self.since.push(batch);
    }

    /// A commit failed in a way that leaves open whether it is on disk.
    pub(crate) fn doubt(&mut self, batch: Batch) {
        self.in_doubt = Some(batch);
    }

    /// Everything so far is durable.
    pub(crate) fn settle(&mut self) {
        self.base = self.rows.clone();
        self.base_commit = self.committed;
        self.since.clear();
    }

    /// The store was opened again: it must be as of a commit that it may have come back to, and wholly so. `lossless` says that
    /// nothing acknowledged may be missing.
    pub(crate) fn reopened(&mut self, store: &EmbeddedStore, lossless: bool) {
        let found = store.committed();
        let least = if lossless {
            self.committed
        } else {
            self.base_commit
        };
        let most = self.committed + u64::from(self.in_doubt.is_some());
        assert!(
            (least..=most).contains(&found),
            "opened at commit {found}, expected {least} to {most}"
        );
        self.since.extend(self.in_doubt.take());
        let kept = (found - self.base_commit) as usize;
        for batch in &self.since[..kept] {
            apply(&mut self.base, batch);
        }
        self.since.clear();
        self.base_commit = found;
        self.committed = found;
        self.rows = self.base.clone();
        self.check_all(store);
    }

    /// Every row, and no other, by a walk in both directions.
    pub(crate) fn check_all(&self, store: &EmbeddedStore) {
        assert_same(&found(store), &self.rows);
        let mut backward = store.range(&everything(true)).unwrap();
        backward.reverse();
        let backward: Rows = backward
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        assert_same(&backward, &self.rows);
        for (key, value) in self.rows.iter().step_by(7) {
            assert_eq!(store.get(key).unwrap().as_deref(), Some(value.as_slice()));
        }
    }

    /// What a range must give.
    pub(crate) fn range(&self, range: &Range) -> Vec<(Vec<u8>, Vec<u8>)> {
        if range.from >= range.to {
            return Vec::new();
        }
        let rows = self.rows.range(range.from.clone()..range.to.clone());
        let ordered: Vec<_> = if range.reverse {
            rows.rev().collect()
        } else {
            rows.collect()
        };
        let mut bytes = 0;
        let mut taken = Vec::new();
        for (key, value) in ordered {
            if taken.len() == range.limit || bytes > range.bytes_max {
                break;
            }
            bytes += value.len();
            taken.push((key.clone(), value.clone()));
        }
        taken
    }
}

/// The whole key space.
pub(crate) fn everything(reverse: bool) -> Range {
    Range {
        from: vec![0],
        to: vec![0xff],
        reverse,
        limit: usize::MAX,
        bytes_max: usize::MAX,
    }
}

/// What is in the store.
pub(crate) fn found(store: &EmbeddedStore) -> Rows {
    let rows = store.range(&everything(false)).unwrap();
    rows.into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

fn assert_same(found: &Rows, expected: &Rows) {
    let missing = expected.iter().find(|(key, _)| !found.contains_key(*key));
    let other = found
        .iter()
        .find(|(key, value)| expected.get(*key) != Some(value));
    let describe = |row: Option<(&Vec<u8>, &Vec<u8>)>| {
        row.map(|(key, value)| format!("{} ({} bytes)", records::describe(key), value.len()))
    };
    assert!(
        missing.is_none() && other.is_none(),
        "{} rows found, {} expected; missing: {:?}, other than expected: {:?}",
        found.len(),
        expected.len(),
        describe(missing),
        describe(other)
    );
}
