//! One fixed run, with every call of the disk failing once in each way. Whatever fails, the store goes on, or stops and is complete
//! when it is opened again.

use std::time::Duration;

use store::disk::simulated::{Call, Fault, SimulatedDisk};
use store::{CommitError, Durability, EmbeddedStore, Store};

use crate::model::Model;
use crate::random::{Random, setting};
use crate::workload::{Workload, open, options};

/// Commits, with flushes and merges between them, and two reopenings.
const STEPS: u64 = 110;

const SEED: u64 = 9;

const DIVISOR: u32 = 256;

#[test]
fn every_write_may_fail_once() {
    every(
        Call::Write,
        Durability::Always,
        &[
            (Fault::Device, 1),
            (Fault::Full, 1),
            (Fault::Short, 3),
            (Fault::Kill, 1),
        ],
    );
}

#[test]
fn every_sync_may_fail_once() {
    every(
        Call::Sync,
        Durability::Always,
        &[(Fault::Device, 1), (Fault::Full, 3), (Fault::Kill, 1)],
    );
}

#[test]
fn every_creation_renaming_and_removal_may_fail_once() {
    every(
        Call::Name,
        Durability::Always,
        &[(Fault::Device, 1), (Fault::Full, 3), (Fault::Kill, 1)],
    );
}

#[test]
fn every_read_may_fail_once() {
    every(
        Call::Read,
        Durability::Always,
        &[(Fault::Device, 5), (Fault::Short, 5), (Fault::Kill, 5)],
    );
}

#[test]
fn every_write_and_sync_between_intervals_may_fail_once() {
    let later = Durability::Interval(Duration::from_secs(3600));
    every(Call::Write, later, &[(Fault::Device, 2), (Fault::Kill, 2)]);
    every(Call::Sync, later, &[(Fault::Device, 1), (Fault::Kill, 1)]);
}

/// Tries the faults, each at every so many calls of the kind.
fn every(call: Call, durability: Durability, faults: &[(Fault, u64)]) {
    let calls = {
        let disk = SimulatedDisk::new();
        Run::new(&disk, durability).steps();
        disk.calls(call)
    };
    assert!(calls > 25, "{calls} calls of {call:?}");
    for (fault, stride) in faults {
        let stride = setting("STORE_EVERY").unwrap_or(*stride) as usize;
        for number in (0..calls).step_by(stride) {
            let told = Told {
                call,
                number,
                fault: *fault,
            };
            let disk = SimulatedDisk::new();
            disk.fail(call, number, *fault);
            Run::new(&disk, durability).steps();
            std::mem::forget(told);
        }
    }
}

/// Tells which fault it was, unless forgotten.
struct Told {
    call: Call,
    number: u64,
    fault: Fault,
}

impl Drop for Told {
    fn drop(&mut self) {
        let Self {
            call,
            number,
            fault,
        } = self;
        eprintln!("{fault:?} at call {number} of {call:?}");
    }
}

struct Run<'a> {
    disk: &'a SimulatedDisk,
    durability: Durability,
    workload: Workload,
    /// Decides what is found after a power cut; apart, so that the run stays the same.
    crashes: Random,
    store: Option<EmbeddedStore>,
    model: Model,
}

impl<'a> Run<'a> {
    fn new(disk: &'a SimulatedDisk, durability: Durability) -> Self {
        let mut run = Self {
            disk,
            durability,
            workload: Workload::new(SEED, 20_000),
            crashes: Random::new(SEED),
            store: None,
            model: Model::default(),
        };
        let store = open(disk, run.options()).or_else(|_| {
            run.end_process();
            open(disk, run.options())
        });
        let store = store.unwrap();
        run.model = disk.spare(|| Model::of(&store));
        run.store = Some(store);
        run
    }

    fn options(&self) -> store::OpenOptions {
        options(self.durability, DIVISOR)
    }

    fn steps(mut self) {
        for step in 0..STEPS {
            match step % 50 {
                32 => self.reopen(),
                _ if step % 4 == 3 => self.maintain(),
                _ if step % 12 == 7 => self.flush(),
                _ => self.commit(),
            }
        }
        for _ in 0..2 {
            self.disk.heal();
            self.end_process();
            self.open_again();
        }
    }

    fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().unwrap()
    }

    fn commit(&mut self) {
        let (batch, holds) = self.workload.batch(&self.model.rows);
        let asked = batch.clone();
        match self.store().commit(batch) {
            Ok(()) if asked.is_empty() => assert!(holds),
            Ok(()) => {
                assert!(holds);
                self.model.acknowledge(asked);
            }
            Err(CommitError::PreconditionFailed { .. }) => assert!(!holds),
            Err(CommitError::Read(_)) => self.go_on(),
            Err(CommitError::Write(_)) => {
                self.model.doubt(asked);
                self.go_on();
            }
            Err(CommitError::Poisoned) => self.go_on(),
            Err(other @ CommitError::Size { .. }) => panic!("{other}"),
        }
    }

    fn maintain(&mut self) {
        if self.store().maintain().is_err() {
            self.go_on();
        }
    }

    fn flush(&mut self) {
        match self.store().flush() {
            Ok(()) => self.model.settle(),
            Err(_) => self.go_on(),
        }
    }

    /// After a fault: what is read is right, and the store takes commits, or does when it was opened again.
    fn go_on(&mut self) {
        assert_eq!(self.disk.faults_met(), 1, "an error without a fault");
        if self.disk.has_ended() {
            self.end_process();
            return self.open_again();
        }
        self.model.check_all(self.store());
        let poisoned = self.store().commit(store::Batch {
            writes: vec![records::Write::Delete { key: vec![0x10, 0] }],
            ..store::Batch::default()
        });
        match poisoned {
            Ok(()) => self.model.acknowledge(store::Batch::default()),
            Err(_) => {
                self.end_process();
                self.open_again();
            }
        }
    }

    fn reopen(&mut self) {
        self.store = None;
        self.end_process_kindly();
        self.open_again();
    }

    /// What was written stays.
    fn end_process_kindly(&mut self) {
        self.disk.kill();
        if self.disk.faults_met() == 0 {
            self.model.settle();
        }
    }

    fn end_process(&mut self) {
        self.store = None;
        let crashes = &mut self.crashes;
        self.disk.crash(|| crashes.number());
    }

    fn open_again(&mut self) {
        let lossless = self.durability == Durability::Always;
        let store = open(self.disk, self.options()).or_else(|error| {
            assert_eq!(
                self.disk.faults_met(),
                1,
                "refused without a fault: {error}"
            );
            self.end_process();
            open(self.disk, self.options())
        });
        let store = store.unwrap();
        self.disk.spare(|| self.model.reopened(&store, lossless));
        self.store = Some(store);
    }
}
