//! Which keys may stand in a stretch of a table: a Bloom filter. It errs only by saying yes.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// What of a key goes into the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterKind {
    /// None is kept: the tables' ranges tell enough.
    None,
    /// The whole key, with so many bits for each.
    Key {
        /// Bits for a key: 10 make one error in a hundred, 15 one in a thousand.
        bits: usize,
    },
    /// The first so many bytes: what is asked for is all keys that begin alike.
    Prefix {
        /// Length of the beginning.
        bytes: usize,
    },
}

/// Bits for a prefix.
const PREFIX_BITS: usize = 12;

impl FilterKind {
    /// How much of a key's beginning the filter knows, if it is a beginning.
    pub(super) fn prefix_bytes(self) -> Option<usize> {
        match self {
            Self::None | Self::Key { .. } => None,
            Self::Prefix { bytes } => Some(bytes),
        }
    }

    /// The part of a key that the filter knows.
    pub(super) fn part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        match self {
            Self::None => &[],
            Self::Key { .. } => key,
            Self::Prefix { bytes } => &key[..key.len().min(*bytes)],
        }
    }

    fn bits(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Key { bits } => *bits,
            Self::Prefix { .. } => PREFIX_BITS,
        }
    }
}

/// Gathers what a filter is made of.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    kind: FilterKind,
    hashes: Vec<u64>,
}

impl FilterBuilder {
    pub(super) fn new(kind: FilterKind) -> Self {
        Self {
            kind,
            hashes: Vec::new(),
        }
    }

    /// Keys come in order, so equal parts come together.
    pub(super) fn add(&mut self, key: &[u8]) {
        if self.kind == FilterKind::None {
            return;
        }
        let hash = xxh3_64(self.kind.part(key));
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// The filter's bytes: how many bits each part sets, and the bits. The builder is empty again.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let bits_per_part = self.kind.bits();
        let probes = (bits_per_part * 69 / 100).clamp(1, 30);
        let bytes = (self.hashes.len() * bits_per_part).div_ceil(8).max(8);
        let mut filter = vec![0; bytes + 1];
        filter[0] = probes as u8;
        for hash in self.hashes.drain(..) {
            for bit in places(hash, probes, bytes * 8) {
                filter[1 + bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }
}

/// A filter out of a table.
#[derive(Clone, Debug)]
pub(super) struct Filter(pub(super) Bytes);

impl Filter {
    /// Whether a key with this part may be there.
    pub(super) fn may_hold(&self, part: &[u8]) -> bool {
        let Some((probes, bits)) = self.0.split_first().filter(|(_, bits)| !bits.is_empty()) else {
            return true;
        };
        places(xxh3_64(part), usize::from(*probes), bits.len() * 8)
            .all(|bit| bits[bit / 8] & (1 << (bit % 8)) != 0)
    }
}

/// Kirsch and Mitzenmacher: two halves of one hash do for as many hashes as are wanted.
fn places(hash: u64, probes: usize, bits: usize) -> impl Iterator<Item = usize> {
    let step = hash.rotate_left(32) | 1;
    (0..probes as u64).map(move |probe| {
        let mixed = hash.wrapping_add(probe.wrapping_mul(step));
        // The upper half of the product: a number below `bits` without a division.
        ((u128::from(mixed) * bits as u128) >> 64) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(kind: FilterKind, keys: impl Iterator<Item = u64>) -> Filter {
        let mut builder = FilterBuilder::new(kind);
        for key in keys {
            builder.add(&key.to_be_bytes());
        }
        Filter(builder.finish().into())
    }

    #[test]
    fn it_knows_what_is_there_and_little_else() {
        for (bits, errors_max) in [(10, 200), (15, 30)] {
            let filter = filter(FilterKind::Key { bits }, 0..10_000);
            assert!((0..10_000_u64).all(|key| filter.may_hold(&key.to_be_bytes())));
            let errors = (10_000..20_000_u64).filter(|key| filter.may_hold(&key.to_be_bytes()));
            let errors = errors.count();
            assert!(errors < errors_max, "{bits} bits: {errors} of 10,000");
        }
    }

    #[test]
    fn a_prefix_stands_for_all_keys_that_begin_with_it() {
        let kind = FilterKind::Prefix { bytes: 6 };
        let filter = filter(kind, 0..100_000);
        assert!(
            filter.0.len() < 20,
            "two prefixes: {} bytes",
            filter.0.len()
        );
        assert!(filter.may_hold(kind.part(&77_u64.to_be_bytes())));
        assert!(!filter.may_hold(kind.part(&(1_u64 << 40).to_be_bytes())));
    }
}
