//! What the kernel says about the server's process.

use std::fs;

/// Bytes in memory.
pub(crate) fn resident(pid: u32) -> u64 {
    const PAGE: u64 = 4096;
    let statm = read(pid, "statm");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("statm has the resident pages second") * PAGE
}

/// Bytes that it caused to be written to the disk so far.
pub(crate) fn written(pid: u32) -> u64 {
    let io = read(pid, "io");
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok())
        .expect("io has write_bytes")
}

/// Seconds of CPU that all its threads have used.
pub(crate) fn cpu_secs(pid: u32) -> f64 {
    /// Clock ticks per second, as on every Linux we know.
    const TICKS: f64 = 100.0;
    let stat = read(pid, "stat");
    // Behind the program's name, which may hold anything: user and system time are words 12 and 13.
    let (_, rest) = stat.rsplit_once(") ").expect("a stat line has a name");
    let words = rest.split(' ').skip(11).take(2);
    words
        .filter_map(|word| word.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the server runs")
}
