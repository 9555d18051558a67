//! Files that were changed behind the store's back: it is refused with advice and nothing changed, or what is read is right or an
//! error. With `accept_loss` it opens, and goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use records::Table;
use store::disk::simulated::SimulatedDisk;
use store::{Durability, EmbeddedStore, OpenOptions, Store, StoreError};

use crate::model::{Model, everything};
use crate::random::{Random, each_seed};
use crate::workload::{Workload, open, options};

const ROUNDS: u64 = 600;

#[test]
fn damage_is_refused_or_costs_the_rows_that_are_named() {
    each_seed("damage_is_refused", ROUNDS, |seed| {
        let (disk, model) = sample();
        let (disk, mut random) = (disk.copy(), Random::new(seed));
        let what = spoil(&disk, &mut random);
        eprintln!("seed {seed}: {what}");
        check(&disk, model, &mut random);
    });
}

/// A store with tables, deletions and several journal files, and what is in it.
fn sample() -> &'static (SimulatedDisk, Model) {
    static SAMPLE: OnceLock<(SimulatedDisk, Model)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimulatedDisk::new();
        let store = open(&disk, settings()).unwrap();
        let mut model = Model::of(&store);
        let mut workload = Workload::new(77, 20_000);
        for step in 0..500 {
            let (batch, holds) = workload.batch(&model.rows);
            let asked = batch.clone();
            if store.commit(batch).is_ok() && holds && !asked.is_empty() {
                model.acknowledge(asked);
            }
            if step % 8 == 0 {
                store.maintain().unwrap();
            }
        }
        drop(store);
        disk.kill();
        (disk, model)
    })
}

fn settings() -> OpenOptions {
    options(Durability::Always, 256)
}

fn spoil(disk: &SimulatedDisk, random: &mut Random) -> String {
    let files: Vec<PathBuf> = disk.files().into_keys().collect();
    // Tables are the most; the others are to have their turn.
    let kinds = [".tab", ".jnl", "manifest", "committed"];
    let kind = *random.pick(&kinds);
    let of_kind: Vec<_> = files
        .iter()
        .filter(|file| file.to_str().unwrap().ends_with(kind))
        .collect();
    let file = *random.pick(&of_kind);
    let mut what = String::new();
    disk.spoil(file, |bytes| what = spoil_bytes(bytes, random));
    format!("{}: {what}", file.display())
}

fn spoil_bytes(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let length = bytes.len() as u64;
    let at = random.below(length) as usize;
    match random.below(5) {
        0 | 1 => {
            bytes[at] ^= 1 << random.below(8);
            format!("bit at {at} of {length}")
        }
        2 => {
            bytes.truncate(at);
            format!("{at} left of {length}")
        }
        3 => {
            let end = (at + 1 + random.below(600) as usize).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end} of {length}")
        }
        _ => {
            bytes.extend((0..random.below(900)).map(|_| random.number() as u8));
            format!("{} instead of {length}", bytes.len())
        }
    }
}

fn check(disk: &SimulatedDisk, model: &Model, random: &mut Random) {
    let before = disk.files();
    match open(disk, settings()) {
        Ok(store) => {
            read_all(&store, model);
            go_on(&store, model, random);
        }
        Err(refused) => {
            let text = refused.to_string();
            assert!(text.contains("restore a backup"), "{text}");
            // What shows only when the journal is replayed is met when parts of it have come to tables, without loss.
            if !replayed(&refused) {
                assert_unchanged(&before, &disk.files());
            }
            disk.kill();
            accept(disk, &refused);
        }
    }
}

fn replayed(refused: &StoreError) -> bool {
    refused.to_string().contains("rows ")
}

/// What is needed is as it was. The watermark may have been written again, with the same number.
fn assert_unchanged(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) {
    let needed = before
        .iter()
        .filter(|(path, _)| !path.ends_with("committed"));
    for (path, bytes) in needed {
        assert!(
            after.get(path) == Some(bytes),
            "{} was changed",
            path.display()
        );
    }
}

fn accept(disk: &SimulatedDisk, refused: &StoreError) {
    let accepting = OpenOptions {
        accept_loss: true,
        ..settings()
    };
    match open(disk, accepting) {
        Ok(store) => {
            let rows = store.range(&everything(false)).unwrap().len();
            let changes = Workload::new(rows as u64, 100).changes(&BTreeMap::new());
            store.commit(changes).unwrap();
            while store.maintain().is_ok_and(|worked| worked) {}
        }
        Err(StoreError::DamagedManifest { .. }) => {
            assert!(matches!(refused, StoreError::DamagedManifest { .. }));
            return;
        }
        Err(error) => panic!("refused although the loss is accepted: {error}"),
    }
    disk.kill();
    open(disk, settings()).expect("the start after it is an ordinary one");
}

/// Every row is right, or not there for a reason that was told; none is there that was deleted.
fn read_all(store: &EmbeddedStore, model: &Model) {
    for (key, value) in &model.rows {
        if let Ok(found) = store.get(key) {
            assert_eq!(
                found.as_deref(),
                Some(value.as_slice()),
                "{}",
                records::describe(key)
            );
        }
    }
    for table in Table::ALL {
        let keys = table.range();
        for reverse in [false, true] {
            let range = store::Range {
                from: keys.from.clone(),
                to: keys.to.clone(),
                reverse,
                ..everything(false)
            };
            let Ok(found) = store.range(&range) else {
                continue;
            };
            for (key, value) in &found {
                let expected = model.rows.get(key.as_ref());
                assert_eq!(
                    expected.map(Vec::as_slice),
                    Some(value.as_ref()),
                    "{}",
                    records::describe(key)
                );
            }
            let complete = found.len() == model.range(&range).len();
            assert!(
                complete || store.statistics().damages > 0,
                "rows are missing without a word"
            );
        }
    }
}

/// It goes on taking commits, flushing and merging what it can.
fn go_on(store: &EmbeddedStore, model: &Model, random: &mut Random) {
    let mut workload = Workload::new(random.number(), 5_000);
    for _ in 0..30 {
        let changes = workload.changes(&model.rows);
        store.commit(changes).unwrap();
        drop(store.maintain());
    }
}
