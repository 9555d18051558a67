//! What a memtable must do: it is a map, and a reader keeps what stood there when it began.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn all(reverse: bool) -> Bounds {
    Bounds {
        from: vec![0],
        to: vec![0xff],
        reverse,
    }
}

/// Everything in the bounds, asked for in stretches of `step` bytes.
fn read(table: &Memtable, mut bounds: Bounds, snapshot: Snapshot, step: usize) -> Vec<Row> {
    let mut out = VecDeque::new();
    while table.scan(&bounds, snapshot, step, &mut out) {
        let last = out.back().expect("there is more, so there was something");
        let key = last.key.clone();
        bounds.beyond(&key);
    }
    out.into()
}

#[test]
fn a_reader_sees_what_stood_there_when_it_began() {
    let table = Memtable::default();
    let put = |key: &'static [u8], value: &'static [u8]| (key, Some(value));
    table.apply(
        std::iter::empty(),
        [put(b"a", b"1"), put(b"b", b"2")].into_iter(),
        1,
    );
    let (before, _) = table.snapshot();
    let changes = [(&b"a"[..], None), put(b"b", b"3"), put(b"c", b"4")];
    table.apply(std::iter::empty(), changes.into_iter(), 2);
    assert_eq!(table.get(b"a", before), Some(Some(Bytes::from("1"))));
    assert_eq!(table.get(b"a", Snapshot::ALL), Some(None));
    assert_eq!(table.get(b"c", before), None);
    for reverse in [false, true] {
        let mut seen = read(&table, all(reverse), before, 1);
        if reverse {
            seen.reverse();
        }
        let rows: Vec<_> = seen
            .iter()
            .map(|row| (&row.key[..], row.value.as_deref()))
            .collect();
        assert_eq!(rows, [(&b"a"[..], Some(&b"1"[..])), (b"b", Some(b"2"))]);
    }
    assert_eq!(table.last_commit(), 2);
}

proptest! {
    #[test]
    fn it_is_a_map(
        writes in prop::collection::vec(
            (0u16..600, prop::option::of(0u8..200), prop::option::weighted(0.02, 0u16..200)),
            0..1500,
        ),
        from in 0u16..600,
        length in 0u16..600,
        step in 1usize..300,
    ) {
        let table = Memtable::default();
        let mut model = BTreeMap::new();
        let mut snapshots = Vec::new();
        let mut deleted = BTreeSet::new();
        for (number, (key, value, range)) in writes.iter().enumerate() {
            let until = (key + range.unwrap_or(0)).to_be_bytes().to_vec();
            deleted.extend(*key..key + range.unwrap_or(0));
            let key = key.to_be_bytes().to_vec();
            let value = value.map(|value| vec![value; usize::from(value)]);
            let row = (key.as_slice(), value.as_deref());
            let range = range.map(|_| (key.as_slice(), until.as_slice()));
            table.apply(range.into_iter(), std::iter::once(row), 1);
            model.range_mut(key.clone()..until.max(key.clone())).for_each(|(_, value)| *value = None);
            model.insert(key, value);
            if number % 400 == 0 {
                snapshots.push((table.snapshot().0, model.clone()));
            }
        }
        snapshots.push((Snapshot::ALL, model));
        let hidden = table.range_deletions();
        for key in 0u16..800 {
            prop_assert_eq!(hidden.covers(&key.to_be_bytes()), deleted.contains(&key));
        }
        let (from, to) = (from.to_be_bytes().to_vec(), (from + length).to_be_bytes().to_vec());
        for (snapshot, model) in snapshots {
            for reverse in [false, true] {
                let bounds = Bounds { from: from.clone(), to: to.clone(), reverse };
                let seen: Vec<_> = read(&table, bounds, snapshot, step)
                    .into_iter()
                    .map(|row| (row.key.to_vec(), row.value.map(Vec::from)))
                    .collect();
                let mut expected: Vec<_> =
                    model.range(from.clone()..to.clone()).map(|(k, v)| (k.clone(), v.clone())).collect();
                if reverse {
                    expected.reverse();
                }
                prop_assert_eq!(seen, expected);
            }
        }
    }
}
