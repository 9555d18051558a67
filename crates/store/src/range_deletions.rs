//! Stretches of the key space in which everything older is deleted, and what they leave of a source of rows.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::row::Bounds;

/// What one costs besides its keys: its place and the keys' own bookkeeping.
const OVERHEAD_BYTES: usize = 128;

/// A stretch in which rows of tables are deleted that were made before a flush. A memtable's own are all of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeDeletion {
    /// The first key that belongs to it.
    pub(crate) from: Bytes,
    /// The first key that no longer does.
    pub(crate) to: Bytes,
    /// The number of the flush that brought it.
    pub(crate) flush: u64,
}

impl RangeDeletion {
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.from.len() + self.to.len()
    }

    fn covers(&self, key: &[u8]) -> bool {
        self.from.as_ref() <= key && key < self.to.as_ref()
    }
}

/// Range deletions in the order of their keys. None reaches into another: where they did, the newer one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeDeletions {
    stretches: Vec<RangeDeletion>,
    bytes: usize,
}

impl RangeDeletions {
    /// Those that stand in a file; `None` if they cannot have been written there.
    pub(crate) fn of(stretches: Vec<RangeDeletion>) -> Option<Self> {
        let each = stretches.iter().all(|one| one.from < one.to);
        let apart = stretches.windows(2).all(|pair| pair[0].to <= pair[1].from);
        let bytes = stretches.iter().map(RangeDeletion::bytes).sum();
        (each && apart).then_some(Self { stretches, bytes })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RangeDeletion> {
        self.stretches.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.stretches.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one that is as new as any. An empty stretch changes nothing.
    pub(crate) fn insert(&mut self, from: &[u8], to: &[u8], flush: u64) {
        if from >= to {
            return;
        }
        let mut new = RangeDeletion {
            from: Bytes::copy_from_slice(from),
            to: Bytes::copy_from_slice(to),
            flush,
        };
        // Also those that only touch it.
        let mut replaced = self.stretches.partition_point(|one| one.to < new.from)
            ..self.stretches.partition_point(|one| one.from <= new.to);
        let mut rest = [None, None];
        if let Some(first) = self.stretches[replaced.clone()].first() {
            if first.flush == flush {
                new.from = new.from.min(first.from.clone());
            } else if first.to == new.from {
                replaced.start += 1;
            } else if first.from < new.from {
                let to = new.from.clone();
                rest[0] = Some(RangeDeletion {
                    to,
                    ..first.clone()
                });
            }
        }
        if let Some(last) = self.stretches[replaced.clone()].last() {
            if last.flush == flush {
                new.to = new.to.max(last.to.clone());
            } else if last.from == new.to {
                replaced.end -= 1;
            } else if last.to > new.to {
                let from = new.to.clone();
                rest[1] = Some(RangeDeletion {
                    from,
                    ..last.clone()
                });
            }
        }
        let [before, behind] = rest;
        let new = before.into_iter().chain([new]).chain(behind);
        let new: Vec<RangeDeletion> = new.collect();
        let added: usize = new.iter().map(RangeDeletion::bytes).sum();
        let gone = self.stretches.splice(replaced, new);
        let gone: usize = gone.map(|one| one.bytes()).sum();
        self.bytes = self.bytes + added - gone;
    }

    /// Adds those of a memtable, which are newer than any, with the number of its flush.
    pub(crate) fn overlay(&mut self, newer: &Arc<Self>, flush: u64) {
        if newer.is_empty() {
            return;
        }
        let hiding = Hiding::all(newer.clone());
        let newer = newer.stretches.iter().map(|one| RangeDeletion {
            flush,
            ..one.clone()
        });
        let mut all: Vec<RangeDeletion> = newer.collect();
        for old in self.stretches.drain(..) {
            let bounds = Bounds::ascending(&old.from, &old.to);
            let mut left = Visible::new(bounds, vec![hiding.clone()]);
            while let Some(part) = left.next() {
                all.push(RangeDeletion {
                    from: part.from.into(),
                    to: part.to.into(),
                    flush: old.flush,
                });
            }
        }
        all.sort_by(|one, other| one.from.cmp(&other.from));
        self.stretches = all;
        self.join(|flush| flush);
    }

    /// The one that covers a key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&RangeDeletion> {
        let at = self.stretches.partition_point(|one| one.to.as_ref() <= key);
        self.stretches.get(at).filter(|one| one.covers(key))
    }

    /// Whether the rows that stood at a key before any of these are deleted.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// Drops what hides nothing of these tables, which are all that there are.
    pub(crate) fn prune<T>(&mut self, tables: &[T], hides: impl Fn(&RangeDeletion, &T) -> bool) {
        self.stretches
            .retain(|one| tables.iter().any(|table| hides(one, table)));
        self.recount();
    }

    /// Makes one of two that touch if `class` tells their flushes not apart.
    pub(crate) fn join<T: PartialEq>(&mut self, class: impl Fn(u64) -> T) {
        self.stretches.dedup_by(|one, last| {
            let joined = last.to == one.from
                && (last.flush == one.flush || class(last.flush) == class(one.flush));
            if joined {
                last.to = one.to.clone();
                last.flush = last.flush.max(one.flush);
            }
            joined
        });
        self.recount();
    }

    fn recount(&mut self) {
        self.bytes = self.stretches.iter().map(RangeDeletion::bytes).sum();
    }

    /// Those that reach into the bounds.
    fn within(&self, bounds: &Bounds) -> Range<usize> {
        let from = bounds.from.as_slice();
        if from >= bounds.to.as_slice() {
            return 0..0;
        }
        let first = self
            .stretches
            .partition_point(|one| one.to.as_ref() <= from);
        let rest = &self.stretches[first..];
        let count = rest.partition_point(|one| one.from.as_ref() < bounds.to.as_slice());
        first..first + count
    }
}

/// Range deletions that hide rows of a source: those of flushes behind `after`.
#[derive(Clone, Debug)]
pub(crate) struct Hiding {
    deletions: Arc<RangeDeletions>,
    after: u64,
}

impl Hiding {
    pub(crate) fn new(deletions: Arc<RangeDeletions>, after: u64) -> Self {
        Self { deletions, after }
    }

    /// All of them hide something.
    pub(crate) fn all(deletions: Arc<RangeDeletions>) -> Self {
        Self::new(deletions, 0)
    }

    /// Whether it hides anything of the bounds.
    pub(crate) fn reaches(&self, bounds: &Bounds) -> bool {
        self.of(bounds).next().is_some()
    }

    fn of(&self, bounds: &Bounds) -> impl DoubleEndedIterator<Item = &RangeDeletion> {
        let stretches = &self.deletions.stretches[self.deletions.within(bounds)];
        stretches.iter().filter(|one| one.flush > self.after)
    }

    /// Of the bounds, the first stretch in their direction that it hides.
    fn first(&self, bounds: &Bounds) -> Option<(&Bytes, &Bytes)> {
        let mut hidden = self.of(bounds);
        let first = if bounds.reverse {
            hidden.next_back()
        } else {
            hidden.next()
        };
        first.map(|one| (&one.from, &one.to))
    }
}

/// What is left of a source's rows, stretch by stretch in the direction of the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Visible {
    /// What has not been given out.
    rest: Bounds,
    hiding: Vec<(Hiding, Next)>,
}

/// What a source of range deletions hides next.
#[derive(Clone, Debug)]
enum Next {
    /// Nobody has looked.
    Unknown,
    /// The first key, and the first one behind.
    Stretch(Bytes, Bytes),
    Nothing,
}

impl Next {
    /// What it hides of the bounds first, in their direction.
    fn look(&mut self, hiding: &Hiding, rest: &Bounds) -> Option<(Bytes, Bytes)> {
        let is_behind = match self {
            Self::Unknown => true,
            Self::Stretch(from, _) if rest.reverse => *from >= rest.to,
            Self::Stretch(_, to) => *to <= rest.from,
            Self::Nothing => return None,
        };
        if is_behind {
            *self = match hiding.first(rest) {
                Some((from, to)) => Self::Stretch(from.clone(), to.clone()),
                None => Self::Nothing,
            };
        }
        match self {
            Self::Stretch(from, to) => Some((from.clone(), to.clone())),
            Self::Unknown | Self::Nothing => None,
        }
    }
}

impl Visible {
    pub(crate) fn new(bounds: Bounds, hiding: Vec<Hiding>) -> Self {
        Self {
            rest: bounds,
            hiding: hiding.into_iter().map(|one| (one, Next::Unknown)).collect(),
        }
    }

    /// The next stretch that nothing hides.
    pub(crate) fn next(&mut self) -> Option<Bounds> {
        while self.rest.from < self.rest.to {
            let rest = &mut self.rest;
            let layers = self.hiding.iter_mut();
            let hidden = layers.filter_map(|(hiding, next)| next.look(hiding, rest));
            // All of a stretch that is hidden is passed before the next is looked for.
            if rest.reverse {
                let Some((from, to)) = hidden.max_by(|one, other| one.1.cmp(&other.1)) else {
                    return Some(self.take_all());
                };
                let (from, to) = (from.to_vec(), to.to_vec());
                if to >= rest.to {
                    rest.to = from;
                    continue;
                }
                let end = std::mem::replace(&mut rest.to, from);
                return Some(Bounds {
                    from: to,
                    to: end,
                    reverse: true,
                });
            }
            let Some((from, to)) = hidden.min_by(|one, other| one.0.cmp(&other.0)) else {
                return Some(self.take_all());
            };
            let (from, to) = (from.to_vec(), to.to_vec());
            if from <= rest.from {
                rest.from = to;
                continue;
            }
            let begin = std::mem::replace(&mut rest.from, to);
            return Some(Bounds {
                from: begin,
                to: from,
                reverse: false,
            });
        }
        None
    }

    fn take_all(&mut self) -> Bounds {
        let all = self.rest.clone();
        self.rest.to.clone_from(&self.rest.from);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn key(byte: u8) -> Vec<u8> {
        vec![byte]
    }

    /// Every key of one byte with the flush that deleted it.
    fn by_key(deletions: &RangeDeletions) -> BTreeMap<u8, u64> {
        (0..=u8::MAX)
            .filter_map(|byte| Some((byte, deletions.find(&[byte])?.flush)))
            .collect()
    }

    fn check_form(deletions: &RangeDeletions) {
        let again = RangeDeletions::of(deletions.stretches.clone());
        assert_eq!(again.as_ref(), Some(deletions), "apart, and counted right");
        let joined = deletions
            .stretches
            .windows(2)
            .all(|pair| pair[0].to < pair[1].from || pair[0].flush != pair[1].flush);
        assert!(joined, "{deletions:?}");
    }

    fn random(rng: &mut fastrand::Rng, count: usize) -> (RangeDeletions, BTreeMap<u8, u64>) {
        let (mut deletions, mut expected) = (RangeDeletions::default(), BTreeMap::new());
        let mut flush = 1;
        for _ in 0..count {
            flush += u64::from(rng.u8(..3) == 0);
            let from = rng.u8(..200);
            let to = from + rng.u8(..20);
            if rng.bool() {
                deletions.insert(&[from], &[to], flush);
            } else {
                let mut newer = RangeDeletions::default();
                newer.insert(&[from], &[to], 1);
                deletions.overlay(&Arc::new(newer), flush);
            }
            expected.extend((from..to).map(|byte| (byte, flush)));
            check_form(&deletions);
        }
        (deletions, expected)
    }

    #[test]
    fn the_newest_counts_at_every_key() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..300 {
            let (deletions, expected) = random(&mut rng, round % 60);
            assert_eq!(by_key(&deletions), expected);
        }
    }

    #[test]
    fn what_hides_nothing_goes_and_what_hides_the_same_is_joined() {
        let mut rng = fastrand::Rng::with_seed(2);
        for round in 0..300 {
            let (mut deletions, _) = random(&mut rng, round % 60);
            let tables: Vec<u64> = (0..4).map(|_| rng.u64(..12)).collect();
            let hidden = |deletions: &RangeDeletions, byte: u8| -> Vec<bool> {
                let flush = deletions.find(&[byte]).map_or(0, |one| one.flush);
                tables.iter().map(|table| flush > *table).collect()
            };
            let before: Vec<_> = (0..=u8::MAX).map(|byte| hidden(&deletions, byte)).collect();
            deletions.prune(&tables, |one, table| one.flush > *table);
            deletions.join(|flush| tables.iter().filter(|table| flush > **table).count());
            let after: Vec<_> = (0..=u8::MAX).map(|byte| hidden(&deletions, byte)).collect();
            assert_eq!(before, after);
            let of_use = |one: &RangeDeletion| tables.iter().any(|table| one.flush > *table);
            assert!(deletions.iter().all(of_use));
            check_form(&deletions);
        }
    }

    #[test]
    fn what_is_left_is_what_nothing_hides() {
        let mut rng = fastrand::Rng::with_seed(3);
        for round in 0..600 {
            let layers: Vec<Hiding> = (0..rng.usize(..3))
                .map(|_| {
                    let (deletions, _) = random(&mut rng, round % 40);
                    Hiding::new(Arc::new(deletions), rng.u64(..8))
                })
                .collect();
            let (from, to) = (rng.u8(..), rng.u8(..));
            let bounds = Bounds {
                from: key(from),
                to: key(to),
                reverse: rng.bool(),
            };
            let hides = |byte: u8| {
                layers.iter().any(|layer| {
                    let found = layer.deletions.find(&[byte]);
                    found.is_some_and(|one| one.flush > layer.after)
                })
            };
            let mut expected: Vec<u8> = (from..to.max(from)).filter(|byte| !hides(*byte)).collect();
            let any = (from..to.max(from)).any(hides);
            assert_eq!(layers.iter().any(|layer| layer.reaches(&bounds)), any);
            let mut visible = Visible::new(bounds.clone(), layers.clone());
            let mut found = Vec::new();
            while let Some(stretch) = visible.next() {
                assert!(stretch.from < stretch.to && stretch.reverse == bounds.reverse);
                let bytes = stretch.from[0]..stretch.to[0];
                if bounds.reverse {
                    found.extend(bytes.rev());
                } else {
                    found.extend(bytes);
                }
            }
            if bounds.reverse {
                expected.reverse();
            }
            assert_eq!(found, expected);
        }
    }
}
