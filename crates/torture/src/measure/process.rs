//! What the kernel says of this process. A figure that cannot be read is an error: nothing is judged by a guess.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The largest resident memory so far.
pub(crate) fn resident_max_bytes() -> Result<u64> {
    status("VmHWM:")
}

/// Resident memory.
pub(crate) fn resident_bytes() -> Result<u64> {
    status("VmRSS:")
}

/// Threads.
pub(crate) fn threads() -> Result<u64> {
    // The field has no unit, `status` counts in KiB.
    Ok(status("Threads:")? / 1024)
}

/// Bytes that this process has made the disk write.
pub(crate) fn written_bytes() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io").context("/proc/self/io")?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .context("no write_bytes in /proc/self/io")?;
    Ok(line.parse()?)
}

/// Descriptors open on files below the folder.
pub(crate) fn open_files(folder: &Path) -> Result<u64> {
    let mut open = 0;
    for descriptor in fs::read_dir("/proc/self/fd").context("/proc/self/fd")? {
        // One that was closed meanwhile is not open.
        if fs::read_link(descriptor?.path()).is_ok_and(|file| file.starts_with(folder)) {
            open += 1;
        }
    }
    Ok(open)
}

/// Of all threads since the start.
pub(crate) fn cpu_seconds() -> f64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Of the calling thread.
pub(crate) fn thread_cpu_seconds() -> f64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(id: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes to `time` only, which outlives it.
    #[allow(unsafe_code, reason = "std knows no CPU time")]
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn status(field: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .with_context(|| format!("no {field} in /proc/self/status"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
