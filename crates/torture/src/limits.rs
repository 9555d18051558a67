//! Limits on a process that runs a workload: its memory and its files. The memory is limited by a control group where one
//! can be made, which counts what a container counts, and otherwise by its address space.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

/// Where control groups for memory are: version 2, then version 1, each with the name of its limit.
const GROUPS: [(&str, &str); 2] = [
    ("/sys/fs/cgroup", "memory.max"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
];

/// What a workload may use.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Memory that the process may use, page cache of its files included where a control group can be made; otherwise
    /// its address space is limited.
    #[arg(long, value_name = "MIB", global = true)]
    pub(crate) memory_mib: Option<u64>,
    /// Descriptors that the process may open, as `ulimit -n`.
    #[arg(long, value_name = "COUNT", global = true)]
    pub(crate) nofile: Option<u64>,
}

/// A control group that is removed when its processes have ended.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// A new one with the limit, if there is a limit and groups can be made.
    pub(crate) fn make(limits: &Limits) -> Option<Self> {
        let bytes = limits.memory_mib? * 1024 * 1024;
        GROUPS.into_iter().find_map(|(root, file)| {
            let folder = Path::new(root).join(format!("magpie-torture-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = Self { folder };
            // Dropped, and so removed, where memory is not what this hierarchy limits, or this is no hierarchy.
            let file_is_there = group.folder.join(file).exists();
            file_is_there.then_some(())?;
            fs::write(group.folder.join(file), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// Puts a process into it.
    pub(crate) fn take(&self, process: u32) -> Result<()> {
        let file = self.folder.join("cgroup.procs");
        fs::write(&file, process.to_string()).with_context(|| file.display().to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Left behind it is empty and harmless.
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Limits {
    /// Takes them upon this process. Memory only if no group has it.
    pub(crate) fn apply(&self, grouped: bool) -> Result<()> {
        if let Some(count) = self.nofile {
            limit(libc::RLIMIT_NOFILE, count)?;
        }
        match self.memory_mib {
            Some(mib) if !grouped => limit(libc::RLIMIT_AS, mib * 1024 * 1024),
            Some(_) | None => Ok(()),
        }
    }
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) -> Result<()> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the call reads `limit` only, which outlives it.
    #[allow(unsafe_code, reason = "std knows no limits of processes")]
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    ensure!(
        result == 0,
        "limit of {most} cannot be set: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
