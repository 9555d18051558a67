//! A file system in memory that can fail at any call and forgets what was not synced when it crashes.
//! For tests and fuzzing; nothing of it runs in the server.

use std::collections::BTreeMap;
use std::io;
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
    /// A write takes only a part and says so, which is no error.
    Short,
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
    /// After a crash handles of before are dead.
    generation: u64,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
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

    /// How many faults were met.
    pub fn faults_met(&self) -> u64 {
        self.lock().faults_met
    }

    /// How many calls of the kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls[call as usize]
    }

    /// The power fails. What was synced stands there; of what was not, any sectors may have arrived, and any names: `random`
    /// gives numbers that decide.
    pub fn crash(&self, mut random: impl FnMut() -> u64) {
        let mut state = self.lock();
        state.generation += 1;
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
            if random() % 2 == 0 {
                match names.get(&path) {
                    Some(file) => durable_names.insert(path, *file),
                    None => durable_names.remove(&path),
                };
            }
        }
        *names = durable_names.clone();
    }

    /// The process ends; what it has written is still there.
    pub fn kill(&self) {
        self.lock().generation += 1;
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
    }

    /// Bytes of all files that have a name.
    pub fn bytes(&self) -> u64 {
        let state = self.lock();
        let files = state.names.values();
        files
            .map(|file| state.files[*file].bytes.len() as u64)
            .sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// A crash: of the sectors that differ, each has arrived or not.
    fn settle(&mut self, random: &mut impl FnMut() -> u64) {
        if self.bytes != self.durable {
            let length = if random() % 2 == 0 {
                self.bytes.len()
            } else {
                self.durable.len()
            };
            let mut settled = self.durable.clone();
            settled.resize(length, 0);
            for start in (0..length).step_by(SECTOR_BYTES) {
                let end = (start + SECTOR_BYTES).min(length).min(self.bytes.len());
                if start < end && random() % 2 == 0 {
                    settled[start..end].copy_from_slice(&self.bytes[start..end]);
                }
            }
            self.bytes = settled;
        }
        self.durable = self.bytes.clone();
    }
}

impl State {
    /// Counts a call and says whether it meets the fault.
    fn call(&mut self, call: Call) -> Option<Fault> {
        let number = self.calls[call as usize];
        self.calls[call as usize] += 1;
        let (at_call, at, fault) = self.fault?;
        if at_call != call || at != number {
            return None;
        }
        self.fault = None;
        self.faults_met += 1;
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
        let state = self.lock();
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
        let state = self.lock();
        let paths = state.names.keys();
        let here = paths.filter(|path| path.parent() == Some(folder));
        Ok(here
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
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
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.alive()?;
        state.plain_call(Call::Read)?;
        let contents = &state.files[self.file].bytes;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(contents.len());
        let count = bytes.len().min(contents.len() - from);
        bytes[..count].copy_from_slice(&contents[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.alive()?;
        let fault = state.call(Call::Write);
        if fault == Some(Fault::Device) {
            return Err(Fault::Device.error());
        }
        let count = match fault {
            Some(_) => bytes.len().div_ceil(2),
            None => bytes.len(),
        };
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let contents = &mut state.files[self.file].bytes;
        if contents.len() < from + count {
            contents.resize(from + count, 0);
        }
        contents[from..from + count].copy_from_slice(&bytes[..count]);
        match fault {
            Some(Fault::Full) => Err(Fault::Full.error()),
            Some(Fault::Short | Fault::Device) | None => Ok(count),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        state.plain_call(Call::Sync)?;
        let contents = &mut state.files[self.file];
        contents.durable.clone_from(&contents.bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.plain_call(Call::Name)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        state.files[self.file].bytes.resize(length, 0);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.alive()?.files[self.file].bytes.len() as u64)
    }
}
