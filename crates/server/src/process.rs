//! What the operating system says of this process: its memory, and for `/metrics` the figures that every program of a Prometheus shop
//! has. Linux alone tells them (`proc(5)`); elsewhere there are none.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The figures of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessFigures {
    /// Seconds of processor time, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// File descriptors in use.
    pub open_fds: u64,
    /// File descriptors there may be; `None` without a limit.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// When it began, in seconds since the Unix epoch.
    pub start_time_seconds: f64,
}

/// Reads them; `None` where the operating system does not tell. Reads files and must not run where others wait.
pub fn figures() -> Option<ProcessFigures> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let boot = boot_seconds(&fs::read_to_string("/proc/stat").ok()?)?;
    parse(
        &stat,
        boot,
        clock_ticks_per_second() as f64,
        page_size() as u64,
        open_fds()?,
    )
}

/// Resident memory at present and at its highest, in bytes; `None` where the operating system does not tell.
pub fn resident_bytes() -> Option<(u64, u64)> {
    const KIB: u64 = 1024;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * KIB)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// When the machine was started, in seconds since the Unix epoch.
fn boot_seconds(stat: &str) -> Option<f64> {
    let value = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    value.trim().parse().ok()
}

fn open_fds() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 that is the folder's size; before, they have to be counted, this one's own not among them.
    match fs::metadata(FOLDER).ok()?.size() {
        0 => Some((fs::read_dir(FOLDER).ok()?.count() as u64).saturating_sub(1)),
        size => Some(size),
    }
}

fn parse(
    stat: &str,
    boot_seconds: f64,
    ticks_per_second: f64,
    page_bytes: u64,
    open_fds: u64,
) -> Option<ProcessFigures> {
    // The program's name stands in parentheses and may hold any; what follows is numbered from the third field on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second;
    Some(ProcessFigures {
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        start_time_seconds: boot_seconds + seconds(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_bytes,
        open_fds,
        max_fds: getrlimit(Resource::Nofile).current,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_program_is_called() {
        let stat =
            "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 8 7 6 150 50 0 0 20 0 12 0 1000 4096000 25 1844 1";
        let figures = parse(stat, 1_700_000_000.0, 100.0, 4096, 33).unwrap();
        assert_eq!(figures.cpu_seconds, 2.0);
        assert_eq!(figures.threads, 12);
        assert_eq!(figures.start_time_seconds, 1_700_000_010.0);
        assert_eq!(figures.virtual_bytes, 4_096_000);
        assert_eq!(figures.resident_bytes, 25 * 4096);
        assert_eq!(figures.open_fds, 33);
        assert_eq!(parse("7 (a) S 1 7", 0.0, 100.0, 4096, 1), None);
        assert_eq!(boot_seconds("cpu 1 2\nbtime 17\nprocesses 4\n"), Some(17.0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_figures() {
        let figures = figures().unwrap();
        assert!(figures.resident_bytes > 0 && figures.virtual_bytes >= figures.resident_bytes);
        assert!(figures.threads > 0 && figures.open_fds > 0);
        assert!(figures.start_time_seconds > 1_600_000_000.0);
    }
}
