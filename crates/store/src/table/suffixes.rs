//! What follows the prefixes of a table's keys: from where to where it reaches, for each first byte. Entries of a conversation are
//! made in the order of their numbers, so that a page of it is in few of the tables that have something of the conversation.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::filter::FilterKind;
use crate::contract::behind;
use crate::row::Bounds;

/// For each first byte, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suffixes(Vec<(u8, RangeInclusive<Bytes>)>);

/// Gathers them while a table is written.
#[derive(Debug, Default)]
pub(super) struct SuffixesBuilder {
    prefix_bytes: Option<usize>,
    suffixes: Vec<(u8, Vec<u8>, Vec<u8>)>,
}

impl SuffixesBuilder {
    pub(super) fn new(filter: FilterKind) -> Self {
        Self {
            prefix_bytes: filter.prefix_bytes(),
            suffixes: Vec::new(),
        }
    }

    /// The key of the next row: keys ascend.
    pub(super) fn add(&mut self, key: &[u8]) {
        let (Some(prefix_bytes), Some(first)) = (self.prefix_bytes, key.first()) else {
            return;
        };
        let suffix = key.get(prefix_bytes..).unwrap_or_default();
        match self.suffixes.last_mut() {
            Some((byte, least, greatest)) if byte == first => {
                if suffix < least.as_slice() {
                    suffix.clone_into(least);
                } else if suffix > greatest.as_slice() {
                    suffix.clone_into(greatest);
                }
            }
            _ => self
                .suffixes
                .push((*first, suffix.to_vec(), suffix.to_vec())),
        }
    }

    pub(super) fn finish(self) -> Suffixes {
        let suffixes = self.suffixes.into_iter();
        Suffixes(
            suffixes
                .map(|(first, least, greatest)| (first, least.into()..=greatest.into()))
                .collect(),
        )
    }
}

impl Suffixes {
    /// The part of the bounds that keys with such suffixes are in, if it is all of one prefix; `None` if none are.
    pub(super) fn narrow(&self, filter: FilterKind, bounds: &Bounds) -> Option<Bounds> {
        let mut narrowed = bounds.clone();
        let prefix = filter.prefix_bytes().and_then(|bytes| bounds.prefix(bytes));
        let Some(prefix) = prefix else {
            return Some(narrowed);
        };
        let first = prefix.first()?;
        let (_, suffixes) = self.0.iter().find(|(byte, _)| byte == first)?;
        narrowed.from = narrowed.from.max([prefix, suffixes.start()].concat());
        narrowed.to = narrowed.to.min(behind(&[prefix, suffixes.end()].concat()));
        (narrowed.from < narrowed.to).then_some(narrowed)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0.len() as u8);
        for (first, suffixes) in &self.0 {
            out.push(*first);
            for suffix in [suffixes.start(), suffixes.end()] {
                out.extend_from_slice(&(suffix.len() as u16).to_le_bytes());
                out.extend_from_slice(suffix);
            }
        }
    }

    /// All of the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.split_first()?;
        let mut suffixes: Vec<(u8, RangeInclusive<Bytes>)> = Vec::new();
        for _ in 0..*count {
            let (first, behind) = rest.split_first()?;
            rest = behind;
            let mut suffix = || {
                let (length, behind) = rest.split_first_chunk()?;
                let length = usize::from(u16::from_le_bytes(*length));
                let (suffix, behind) = behind.split_at_checked(length)?;
                rest = behind;
                Some(Bytes::copy_from_slice(suffix))
            };
            let (least, greatest) = (suffix()?, suffix()?);
            let ascends = suffixes.last().is_none_or(|(last, _)| last < first);
            if !ascends || least.cmp(&greatest) == Ordering::Greater {
                return None;
            }
            suffixes.push((*first, least..=greatest));
        }
        rest.is_empty().then_some(Self(suffixes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: FilterKind = FilterKind::Prefix { bytes: 2 };

    fn suffixes(keys: &[&[u8]]) -> Suffixes {
        let mut builder = SuffixesBuilder::new(FILTER);
        keys.iter().for_each(|key| builder.add(key));
        builder.finish()
    }

    #[test]
    fn no_key_is_left_out_of_what_a_table_may_have() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..2_000 {
            let mut key = || -> Vec<u8> { (0..rng.usize(1..5)).map(|_| rng.u8(1..4)).collect() };
            let mut keys: Vec<Vec<u8>> = (0..8).map(|_| key()).collect();
            let (from, to) = (key(), key());
            keys.sort();
            let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let suffixes = suffixes(&slices);
            let mut bytes = Vec::new();
            suffixes.encode(&mut bytes);
            assert_eq!(Suffixes::decode(&bytes), Some(suffixes.clone()));
            let bounds = Bounds {
                from,
                to,
                reverse: false,
            };
            let narrowed = suffixes
                .narrow(FILTER, &bounds)
                .unwrap_or_else(Bounds::none);
            let within = |bounds: &Bounds, key: &Vec<u8>| *key >= bounds.from && *key < bounds.to;
            for key in &keys {
                assert_eq!(within(&bounds, key), within(&narrowed, key), "{key:?}");
            }
        }
    }

    #[test]
    fn a_table_whose_tails_are_elsewhere_has_nothing() {
        let suffixes = suffixes(&[&[1, 1, 5], &[1, 2, 7], &[2, 1, 90]]);
        let narrow = |from: &[u8], to: &[u8]| {
            let bounds = Bounds {
                from: from.to_vec(),
                to: to.to_vec(),
                reverse: true,
            };
            let narrowed = suffixes.narrow(FILTER, &bounds);
            narrowed.map(|bounds| (bounds.from, bounds.to))
        };
        let within = (vec![1, 1, 5], vec![1, 1, 7, 0]);
        assert_eq!(narrow(&[1, 1], &[1, 2]), Some(within));
        assert_eq!(narrow(&[1, 1], &[1, 1, 5]), None);
        assert_eq!(narrow(&[1, 1, 8], &[1, 2]), None);
        assert_eq!(narrow(&[3, 1], &[3, 2]), None);
        // Of more than one prefix nothing is known.
        let all = (vec![1, 1], vec![1, 3]);
        assert_eq!(narrow(&[1, 1], &[1, 3]), Some(all));
    }
}
