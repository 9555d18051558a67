//! Random runs on a disk that fails now and then, with kills and power cuts at any call, compared with a model.

use std::time::Duration;

use store::disk::simulated::{Call, Fault, SimulatedDisk};
use store::{CommitError, Durability, EmbeddedStore, Store};

use crate::model::Model;
use crate::random::each_seed;
use crate::workload::{Workload, open, options};

const ROUNDS: u64 = 60;

const STEPS: u64 = 500;

#[test]
fn random_faults_lose_nothing_that_was_acknowledged() {
    each_seed("random_faults_lose_nothing", ROUNDS, |seed| {
        Run::new(seed, Durability::Always).steps();
    });
}

/// Nothing syncs between the flushes: a power cut takes all since the last one, but in the order of the commits.
#[test]
fn random_faults_take_a_suffix_of_commits_that_were_not_synced() {
    each_seed("random_faults_take_a_suffix", ROUNDS, |seed| {
        Run::new(seed, Durability::Interval(Duration::from_secs(3600))).steps();
    });
}

struct Run {
    disk: SimulatedDisk,
    workload: Workload,
    durability: Durability,
    divisor: u32,
    cache_bytes: u64,
    store: Option<EmbeddedStore>,
    model: Model,
    /// Faults that were met when the store was opened.
    faults_before: u64,
}

impl Run {
    fn new(seed: u64, durability: Durability) -> Self {
        let mut workload = Workload::new(seed, 100_000);
        let divisor = *workload.random.pick(&[64, 256, 1024]);
        let mut run = Self {
            disk: SimulatedDisk::new(),
            durability,
            divisor,
            // Both so that what is read does not depend on what the cache throws out.
            cache_bytes: *workload.random.pick(&[0, 64 * 1024 * 1024]),
            workload,
            store: None,
            model: Model::default(),
            faults_before: 0,
        };
        run.first_open();
        run
    }

    fn steps(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.disk.heal();
        self.close();
        self.reopen(true);
    }

    fn step(&mut self) {
        if self.workload.random.one_in(40) {
            self.arm(60);
        }
        match self.workload.random.below(400) {
            0..=249 => self.commit(),
            250..=309 => self.read(),
            310..=389 => self.maintain(),
            390..=392 => self.flush(),
            393 | 394 => self.close_and_reopen(),
            395 | 396 => self.end_process_and_reopen(false),
            397 | 398 => self.end_process_and_reopen(true),
            _ => self.check_all(),
        }
    }

    fn arm(&mut self, calls: u64) {
        let random = &mut self.workload.random;
        let call = *random.pick(&[Call::Write, Call::Sync, Call::Name, Call::Read]);
        let fault = *random.pick(&[Fault::Device, Fault::Full, Fault::Short, Fault::Kill]);
        self.disk.fail(call, random.below(calls), fault);
    }

    fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().unwrap()
    }

    fn met(&self) -> bool {
        self.disk.faults_met() > self.faults_before
    }

    fn commit(&mut self) {
        let (batch, holds) = self.workload.batch(&self.model.rows);
        let asked = batch.clone();
        match self.store().commit(batch) {
            Ok(()) => {
                assert!(holds, "a precondition was overlooked");
                if !asked.is_empty() {
                    self.model.acknowledge(asked);
                }
            }
            Err(CommitError::PreconditionFailed { .. }) => assert!(!holds),
            Err(CommitError::Read(_)) => assert!(self.met()),
            Err(CommitError::Write(_)) => {
                assert!(self.met());
                self.model.doubt(asked);
                self.after_poison();
            }
            // A sync behind a flush failed: nothing of this commit was begun.
            Err(CommitError::Poisoned) => {
                assert!(self.met());
                self.after_poison();
            }
            Err(other @ CommitError::Size { .. }) => panic!("{other}"),
        }
        assert_eq!(self.store().committed(), self.model.committed);
    }

    /// The store takes no more commits and goes on reading, and flushing what it has.
    fn after_poison(&mut self) {
        let changes = self.workload.changes(&self.model.rows);
        let again = self.store().commit(changes);
        assert!(matches!(again, Err(CommitError::Poisoned)), "{again:?}");
        for _ in 0..self.workload.random.below(4) {
            match self.workload.random.below(3) {
                0 => drop(self.store().flush()),
                1 => drop(self.store().maintain()),
                _ => self.read(),
            }
        }
        let power_cut = self.workload.random.one_in(2);
        self.end_process_and_reopen(power_cut);
    }

    fn read(&mut self) {
        let key = self.workload.some_key(&self.model.rows);
        match self.store().get(&key) {
            Ok(found) => assert_eq!(
                found.as_deref(),
                self.model.rows.get(&key).map(Vec::as_slice)
            ),
            Err(_) => assert!(self.met()),
        }
        let range = self.workload.range(&self.model.rows);
        match self.store().range(&range) {
            Ok(found) => {
                let found: Vec<(Vec<u8>, Vec<u8>)> = found
                    .into_iter()
                    .map(|(key, value)| (key.into(), value.into()))
                    .collect();
                assert!(found == self.model.range(&range), "{range:?}");
            }
            Err(_) => assert!(self.met()),
        }
        let unbounded = range.up_to_bytes(usize::MAX);
        match self.store().keys(&unbounded) {
            Ok(found) => {
                let expected = self.model.range(&unbounded);
                assert!(
                    found.iter().eq(expected.iter().map(|(key, _)| key)),
                    "{unbounded:?}"
                );
            }
            Err(_) => assert!(self.met()),
        }
    }

    fn maintain(&mut self) {
        if self.store().maintain().is_err() {
            assert!(self.met());
        }
    }

    fn flush(&mut self) {
        match self.store().flush() {
            Ok(()) => self.model.settle(),
            Err(_) => assert!(self.met()),
        }
    }

    fn check_all(&mut self) {
        self.disk.heal();
        if !self.met() {
            self.model.check_all(self.store());
        }
    }

    fn close_and_reopen(&mut self) {
        self.close();
        self.reopen(true);
    }

    fn close(&mut self) {
        self.disk.heal();
        let clean = !self.met();
        self.store = None;
        if clean {
            self.model.settle();
        }
        self.disk.kill();
    }

    fn end_process_and_reopen(&mut self, power_cut: bool) {
        // Nothing that is done while it is dropped reaches the disk.
        let lossless = !power_cut || self.durability == Durability::Always;
        self.disk.fail(Call::Read, 0, Fault::Kill);
        self.halt();
        self.store = None;
        self.end_process(power_cut);
        self.reopen(lossless);
    }

    /// Makes the fault be met.
    fn halt(&mut self) {
        use store::disk::Disk;
        let file = self.disk.open(&crate::workload::folder().join("committed"));
        if let Ok(file) = file {
            assert!(file.read_at(&mut [0], 0).is_err());
        }
    }

    fn end_process(&mut self, power_cut: bool) {
        self.disk.heal();
        if power_cut {
            let random = &mut self.workload.random;
            self.disk.crash(|| random.number());
        } else {
            self.disk.kill();
        }
    }

    /// Opens the store, which may fail several times in the middle of it.
    fn reopen(&mut self, mut lossless: bool) {
        for attempt in 0..4 {
            let faulty = attempt < 3 && self.workload.random.one_in(3);
            if faulty {
                self.arm(30);
            }
            self.faults_before = self.disk.faults_met();
            match open(&self.disk, self.options()) {
                Ok(store) => {
                    // A fault may have been met without doing harm.
                    self.disk.heal();
                    if self.met() && store.committed() < self.model.committed && lossless {
                        panic!(
                            "opened at commit {} of {}",
                            store.committed(),
                            self.model.committed
                        );
                    }
                    self.store = Some(store);
                    break;
                }
                Err(error) => {
                    assert!(self.met(), "refused without a fault: {error}");
                    let power_cut = self.workload.random.one_in(2);
                    lossless &= !power_cut || self.durability == Durability::Always;
                    self.end_process(power_cut);
                }
            }
        }
        self.faults_before = self.disk.faults_met();
        let store = self.store.take().unwrap();
        self.model.reopened(&store, lossless);
        self.store = Some(store);
    }

    /// A store that is made while the disk fails is made later.
    fn first_open(&mut self) {
        for attempt in 0..4 {
            if attempt < 3 {
                self.arm(20);
            }
            self.faults_before = self.disk.faults_met();
            match open(&self.disk, self.options()) {
                Ok(store) => {
                    self.disk.heal();
                    self.faults_before = self.disk.faults_met();
                    assert_eq!(store.committed(), 1);
                    self.model = Model::of(&store);
                    self.store = Some(store);
                    return;
                }
                Err(error) => assert!(self.met(), "refused without a fault: {error}"),
            }
            let power_cut = self.workload.random.one_in(2);
            self.end_process(power_cut);
        }
        panic!("never opened");
    }

    fn options(&self) -> store::OpenOptions {
        store::OpenOptions {
            cache_bytes: self.cache_bytes,
            ..options(self.durability, self.divisor)
        }
    }
}
