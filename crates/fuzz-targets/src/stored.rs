//! Target `stored`: the files of a store (journal, tables, list of files, watermark) changed in places that the input names, with
//! checksums that fit again if the input says so. The store is refused, or reads, commits, flushes and merges without a panic.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use records::{AccountId, ConversationId, Pos, Seq, Stamp, Table, Write, key};
use store::disk::simulated::SimulatedDisk;
use store::{
    Background, Batch, CommitError, Durability, EmbeddedStore, OpenOptions, Range, Scale, Store,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

const FOLDER: &str = "data";

/// Changes that one input makes at most.
const EDITS_MAX: usize = 8;

/// The first byte says whether checksums are made to fit. Then come changes: which file, where (u16, counted from the end with the
/// highest bit), how many bytes, and these.
pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, edits)) = bytes.split_first() else {
        return;
    };
    let disk = sample().copy();
    let files: Vec<PathBuf> = disk.files().into_keys().collect();
    for (file, at, put) in Edits(edits).take(EDITS_MAX) {
        let path = &files[usize::from(file) % files.len()];
        disk.spoil(path, |bytes| overwrite(bytes, at, put));
        if choice % 2 == 1 {
            disk.spoil(path, |bytes| fit_checksums(path, bytes));
        }
    }
    let refused = [false, true].map(|accept_loss| {
        let outcome = open(&disk, accept_loss);
        let refused = outcome.is_err();
        if let Ok(store) = outcome {
            exercise(&store);
        }
        disk.kill();
        refused
    });
    // Accepting a loss is no reason to refuse.
    assert!(refused[0] || !refused[1] || choice % 2 == 1);
}

/// A change at the beginning, in the middle and at the end of each file, with checksums and without.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in 0..sample().files().len() as u8 {
        for at in [0_u16, 12, 40, 300, 0x8000 | 60, 0x8000 | 130] {
            for choice in [0, 1] {
                let mut seed = vec![choice, file];
                seed.extend(at.to_le_bytes());
                seed.extend([2, 0xFF, 0x7F]);
                seeds.push(seed);
            }
        }
    }
    seeds
}

struct Edits<'a>(&'a [u8]);

impl<'a> Iterator for Edits<'a> {
    type Item = (u8, u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        let (put, rest) = rest.split_at(usize::from(head[3] % 32).min(rest.len()));
        self.0 = rest;
        Some((head[0], u16::from_le_bytes([head[1], head[2]]), put))
    }
}

/// Without bytes to put the file is cut there.
fn overwrite(bytes: &mut Vec<u8>, at: u16, put: &[u8]) {
    let from_end = at & 0x8000 != 0;
    let at = usize::from(at & 0x7FFF).min(bytes.len());
    let at = if from_end { bytes.len() - at } else { at };
    if put.is_empty() {
        bytes.truncate(at);
    }
    let end = (at + put.len()).min(bytes.len());
    bytes.splice(at..end, put.iter().copied());
}

fn fit_checksums(path: &Path, bytes: &mut [u8]) {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let number = name
        .split_once('.')
        .and_then(|(digits, _)| u64::from_str_radix(digits, 16).ok());
    match number {
        Some(_) if name.ends_with(".jnl") => fit_journal(bytes),
        Some(id) => fit_table(id, bytes),
        None if name == "manifest" => fit_last(bytes),
        None => {
            for slot in [0, 4096] {
                if let Some(slot) = bytes.get_mut(slot..slot + 32) {
                    let sum = xxh3_64(&slot[..24]);
                    slot[24..].copy_from_slice(&sum.to_be_bytes());
                }
            }
        }
    }
}

/// The last eight bytes are the checksum of the others.
fn fit_last(bytes: &mut [u8]) {
    if let Some((checked, sum)) = bytes.split_last_chunk_mut::<8>() {
        *sum = xxh3_64(checked).to_le_bytes();
    }
}

fn fit_journal(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..80) else {
        return;
    };
    for copy in header.chunks_exact_mut(40) {
        fit_last(copy);
    }
    let salt = u64::from_le_bytes(header[24..32].try_into().expect("eight bytes"));
    let mut at = 80;
    while let Some(length) = length_at(bytes, at + 4)
        && let Some(frame) = bytes.get_mut(at..at + 28 + length)
    {
        let sum = xxh3_64_with_seed(&frame[..16], salt) as u32;
        frame[16..20].copy_from_slice(&sum.to_le_bytes());
        let mut hash = Xxh3::with_seed(salt);
        hash.update(&frame[..20]);
        hash.update(&frame[28..]);
        frame[20..28].copy_from_slice(&hash.digest().to_le_bytes());
        at += 28 + length;
    }
}

fn fit_table(id: u64, bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(56) else {
        return;
    };
    fit_last(&mut bytes[footer..]);
    let mut at = 0;
    while let Some(length) = length_at(bytes, at)
        && let Some(block) = bytes[..footer].get_mut(at..at + 16 + length)
    {
        let lengths = u64::from_le_bytes(block[..8].try_into().expect("eight bytes"));
        let seed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64;
        let sum = xxh3_64_with_seed(&block[16..], seed ^ lengths);
        block[8..16].copy_from_slice(&sum.to_le_bytes());
        at += 16 + length;
    }
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

fn open(disk: &SimulatedDisk, accept_loss: bool) -> Result<EmbeddedStore, store::StoreError> {
    let options = OpenOptions {
        durability: Durability::Always,
        background: Background::Caller,
        cache_bytes: 0,
        accept_loss,
        scale: Scale::one_in(NonZeroU32::new(256).expect("not zero")),
    };
    EmbeddedStore::open_on(Arc::new(disk.clone()), Path::new(FOLDER), options)
}

/// Reads everything, and makes it write its tables anew.
fn exercise(store: &EmbeddedStore) {
    for table in Table::ALL {
        drop(store.range(&Range::forward(table.range(), usize::MAX)));
        drop(store.keys(&Range::backward(table.range(), 50)));
    }
    for number in 0..20 {
        for key in keys(number) {
            drop(store.get(&key));
        }
    }
    for number in 15..25 {
        if let Err(error) = store.commit(commit(number)) {
            assert!(
                matches!(error, CommitError::Write(_) | CommitError::Poisoned),
                "{error}"
            );
        }
        drop(store.flush());
        drop(store.maintain());
    }
}

/// A store with journal files, tables of every family, and deletions.
fn sample() -> &'static SimulatedDisk {
    static SAMPLE: OnceLock<SimulatedDisk> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimulatedDisk::new();
        let store = open(&disk, false).expect("nothing fails on a new disk");
        for number in 0..20 {
            store.commit(commit(number)).expect("nothing fails");
            if number % 6 == 5 {
                store.flush().expect("nothing fails");
            }
        }
        drop(store);
        disk.kill();
        disk
    })
}

fn keys(number: u64) -> [Vec<u8>; 4] {
    [
        key::account(AccountId::new(number % 7)),
        key::entry(
            ConversationId::new(number % 3),
            Seq::new(number),
            Pos::new(number),
        ),
        key::dedup(1, ConversationId::new(3), AccountId::new(number), "mid"),
        key::queue(Stamp::new(number)),
    ]
}

fn commit(number: u64) -> Batch {
    let puts = keys(number).into_iter().map(|key| Write::Put {
        key,
        value: vec![number as u8; 1 + number as usize * 20],
    });
    let gone = keys(number.saturating_sub(4)).into_iter().skip(1);
    let deletes = gone
        .filter(|_| number % 2 == 1)
        .map(|key| Write::Delete { key });
    Batch {
        writes: puts.chain(deletes).collect(),
        ..Batch::default()
    }
}
