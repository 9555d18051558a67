//! A file system in memory that can fail at any call and forgets what was not synced when it crashes.
//! For tests and fuzzing; nothing of it runs in the server.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// A write reaches the platter in pieces of so many bytes: a crash may leave any of them out.
const SECTOR_BYTES: usize = 512;

/// What goes wrong at the call that a fault is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails (EIO).
    Device,
    /// The file system is full (ENOSPC); a write gets half of its bytes down first.
    Full,
    /// A write or a read takes only a part and says so, which is no error.
    Short,
    /// The process ends here: a write gets half of its bytes down, and no later call does anything until `kill` or `crash`.
    Kill,
}

/// Which calls count towards a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `write_at`.
    Write,
    /// `sync` and `sync_folder`.
    Sync,
    /// `create`, `rename`, `remove` and `set_len`.
    Name,
    /// `read_at`.
    Read,
}

/// A simulated file system. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What a process sees.
    names: BTreeMap<PathBuf, usize>,
    /// What stands there after a crash.
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Contents>,
    calls: [u64; 4],
    fault: Option<(Call, u64, Fault)>,
    faults_met: u64,
    /// Calls of `will_read`, which cannot fail.
    announced: u64,
    /// After a crash handles of before are dead.
    generation: u64,
    /// `Fault::Kill` was met.
    halted: bool,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync makes durable. A sync that fails forgets them, as Linux does: what it did not write is not
    /// written by a later one either, although a process goes on reading it.
    dirty: BTreeSet<usize>,
}

impl SimulatedDisk {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `number`th call of the kind from here on (0 is the next) meets the fault, once.
    pub fn fail(&self, call: Call, number: u64, fault: Fault) {
        let mut state = self.lock();
        let at = state.calls[call as usize] + number;
        state.fault = Some((call, at, fault));
    }

    /// Takes back a fault that has not been met.
    pub fn heal(&self) {
        self.lock().fault = None;
    }

    /// What is called within meets no fault and does not count.
    pub fn spare<T>(&self, calls: impl FnOnce() -> T) -> T {
        let (before, fault) = {
            let mut state = self.lock();
            (state.calls, state.fault.take())
        };
        let outcome = calls();
        let mut state = self.lock();
        (state.calls, state.fault) = (before, fault);
        outcome
    }

    /// Whether `Fault::Kill` was met, and nobody has started anew since.
    pub fn has_ended(&self) -> bool {
        self.lock().halted
    }

    /// How many faults were met.
    pub fn faults_met(&self) -> u64 {
        self.lock().faults_met
    }

    /// How many calls of the kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls[call as usize]
    }

    /// How often it was said what will be read.
    pub fn announced(&self) -> u64 {
        self.lock().announced
    }

    /// The power fails. What was synced stands there; of what was not, any sectors may have arrived, and any names: `random`
    /// gives numbers that decide.
    pub fn crash(&self, mut random: impl FnMut() -> u64) {
        let mut state = self.lock();
        state.end_process();
        for file in &mut state.files {
            file.settle(&mut random);
        }
        let State {
            names,
            durable_names,
            ..
        } = &mut *state;
        // Names arrive in any combination, each wholly: journalled file systems keep a rename whole.
        let changed: Vec<PathBuf> = names
            .keys()
            .chain(durable_names.keys())
            .filter(|path| names.get(*path) != durable_names.get(*path))
            .cloned()
            .collect();
        for path in changed {
            if random().is_multiple_of(2) {
                match names.get(&path) {
                    Some(file) => durable_names.insert(path, *file),
                    None => durable_names.remove(&path),
                };
            }
        }
        *names = durable_names.clone();
        state.forget_nameless();
    }

    /// The process ends; what it has written is still there.
    pub fn kill(&self) {
        self.lock().end_process();
    }

    /// Another disk on which the same stands.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.lock();
        let copy = State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            files: state.files.clone(),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(copy)),
        }
    }

    /// Every file, with what a process reads in it.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        let files = state.names.iter();
        files
            .map(|(path, file)| (path.clone(), state.files[*file].bytes.clone()))
            .collect()
    }

    /// Puts a file there behind everybody's back, durably.
    pub fn place(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.lock();
        let file = state.files.len();
        state.files.push(Contents {
            durable: bytes.clone(),
            bytes,
            dirty: BTreeSet::new(),
        });
        state.names.insert(path.to_owned(), file);
        state.durable_names.insert(path.to_owned(), file);
    }

    /// Changes a file's bytes behind everybody's back, durably.
    pub fn spoil(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let Some(&file) = state.names.get(path) else {
            return;
        };
        let contents = &mut state.files[file];
        change(&mut contents.bytes);
        contents.durable = contents.bytes.clone();
        contents.dirty.clear();
    }

    /// Bytes of all files that have a name.
    pub fn bytes(&self) -> u64 {
        let state = self.lock();
        let files = state.names.values();
        files
            .map(|file| state.files[*file].bytes.len() as u64)
            .sum()
    }

    /// Unless the process has ended.
    fn living(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.halted {
            return Err(Fault::Kill.error());
        }
        Ok(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// A crash: of the sectors that differ, each has arrived or not.
    fn settle(&mut self, random: &mut impl FnMut() -> u64) {
        if self.bytes != self.durable {
            let length = if random().is_multiple_of(2) {
                self.bytes.len()
            } else {
                self.durable.len()
            };
            let mut settled = self.durable.clone();
            settled.resize(length, 0);
            for start in (0..length).step_by(SECTOR_BYTES) {
                let end = (start + SECTOR_BYTES).min(length).min(self.bytes.len());
                if start < end && random().is_multiple_of(2) {
                    settled[start..end].copy_from_slice(&self.bytes[start..end]);
                }
            }
            self.bytes = settled;
        }
        self.durable = self.bytes.clone();
        self.dirty.clear();
    }

    fn write(&mut self, bytes: &[u8], from: usize) {
        let end = from + bytes.len();
        let changed = self.bytes.len().min(from)..end;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[from..end].copy_from_slice(bytes);
        self.soil(changed);
    }

    fn set_len(&mut self, length: usize) {
        let before = self.bytes.len();
        self.bytes.resize(length, 0);
        self.soil(before.min(length)..length);
    }

    /// These bytes are to be made durable.
    fn soil(&mut self, bytes: Range<usize>) {
        self.dirty
            .extend(bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES));
    }

    fn sync(&mut self) {
        let length = self.bytes.len();
        self.durable.resize(length, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = (sector * SECTOR_BYTES).min(length);
            let end = (start + SECTOR_BYTES).min(length);
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }
}

impl State {
    fn end_process(&mut self) {
        self.generation += 1;
        self.halted = false;
    }

    /// Gives back what no name leads to, when no process is there that could have it open.
    fn forget_nameless(&mut self) {
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        for (number, file) in self.files.iter_mut().enumerate() {
            if !named.contains(&number) {
                *file = Contents::default();
            }
        }
    }

    /// Counts a call and says whether it meets the fault.
    fn call(&mut self, call: Call) -> Option<Fault> {
        if self.halted {
            return Some(Fault::Kill);
        }
        let number = self.calls[call as usize];
        self.calls[call as usize] += 1;
        let (at_call, at, fault) = self.fault?;
        if at_call != call || at != number {
            return None;
        }
        self.fault = None;
        self.faults_met += 1;
        self.halted = fault == Fault::Kill;
        Some(fault)
    }

    /// Counts a call that either happens or fails.
    fn plain_call(&mut self, call: Call) -> io::Result<()> {
        match self.call(call) {
            None | Some(Fault::Short) => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        self.names.get(path).copied().ok_or_else(missing)
    }
}

impl Fault {
    fn error(self) -> io::Error {
        const EIO: i32 = 5;
        const ENOSPC: i32 = 28;
        match self {
            Self::Device | Self::Short => io::Error::from_raw_os_error(EIO),
            Self::Full => io::Error::from_raw_os_error(ENOSPC),
            Self::Kill => io::Error::other("the process has ended"),
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        state.plain_call(Call::Name)?;
        let file = state.files.len();
        state.files.push(Contents::default());
        state.names.insert(path.to_owned(), file);
        Ok(Arc::new(SimulatedFile {
            disk: self.clone(),
            file,
            generation: state.generation,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.living()?;
        Ok(Arc::new(SimulatedFile {
            disk: self.clone(),
            file: state.find(path)?,
            generation: state.generation,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_call(Call::Name)?;
        let file = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_call(Call::Name)?;
        state.find(path)?;
        state.names.remove(path);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.living()?;
        let paths = state.names.keys();
        let here = paths.filter(|path| path.parent() == Some(folder));
        Ok(here
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    /// The same numbers in every run, so that a run can be repeated.
    fn random(&self) -> io::Result<u64> {
        let made = self.lock().files.len() as u64;
        Ok((made + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_call(Call::Sync)?;
        let State {
            names,
            durable_names,
            ..
        } = &mut *state;
        durable_names.retain(|path, _| path.parent() != Some(folder));
        let here = names
            .iter()
            .filter(|(path, _)| path.parent() == Some(folder));
        durable_names.extend(here.map(|(path, file)| (path.clone(), *file)));
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
    generation: u64,
}

impl SimulatedFile {
    /// The disk, unless the process that opened the file is gone.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.generation != self.generation {
            return Err(io::Error::other("the process that opened this is gone"));
        }
        Ok(state)
    }
}

impl DiskFile for SimulatedFile {
    fn will_read(&self, _: u64, _: u64) {
        self.disk.lock().announced += 1;
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.alive()?;
        let wanted = match state.call(Call::Read) {
            None => bytes.len(),
            Some(Fault::Short) => bytes.len().div_ceil(2),
            Some(fault) => return Err(fault.error()),
        };
        let contents = &state.files[self.file].bytes;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(contents.len());
        let count = wanted.min(contents.len() - from);
        bytes[..count].copy_from_slice(&contents[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.alive()?;
        let was_halted = state.halted;
        let fault = state.call(Call::Write);
        if was_halted {
            return Err(Fault::Kill.error());
        }
        if fault == Some(Fault::Device) {
            return Err(Fault::Device.error());
        }
        let count = match fault {
            Some(_) => bytes.len().div_ceil(2),
            None => bytes.len(),
        };
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        state.files[self.file].write(&bytes[..count], from);
        match fault {
            Some(fault @ (Fault::Full | Fault::Kill)) => Err(fault.error()),
            Some(Fault::Short | Fault::Device) | None => Ok(count),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        let outcome = state.plain_call(Call::Sync);
        let ended = state.halted;
        let contents = &mut state.files[self.file];
        match &outcome {
            Ok(()) => contents.sync(),
            Err(_) if ended => {}
            Err(_) => contents.dirty.clear(),
        }
        outcome
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.plain_call(Call::Name)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        state.files[self.file].set_len(length);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.alive()?;
        if state.halted {
            return Err(Fault::Kill.error());
        }
        Ok(state.files[self.file].bytes.len() as u64)
    }
}
