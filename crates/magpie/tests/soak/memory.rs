//! The server's memory, looked at in the same phase of each cycle: when everybody has gone. A slope says whether it grows.

use std::fmt;
use std::time::{Duration, Instant};

use harness::{PATIENCE, Watched};

/// No look may find more, however short the soak: what the load needs, and the store's four memtables, which hold 24 MiB of
/// records (`crates/store/src/embedded/family.rs`) and three times that in memory when they are small ones.
const RESIDENT_MAX: f64 = 128e6;
/// Fewer looks say nothing about a slope: it takes minutes until all memtables have been full and were emptied.
const POINTS_MIN: usize = 40;
/// What is left out: until then they only fill.
const WARMING_UP: f64 = 0.5;
/// Growth over all other looks that is no growth yet: the memtables, each with its own tides. A leak goes on beyond it.
const GROWTH_BYTES_MAX: f64 = 24.0 * 1024.0 * 1024.0;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// So many looks in a row must not see it change by more than a few pages.
const STILL: usize = 6;
const STILL_BYTES: u64 = 64 * 1024;

/// Bytes in memory, once they have come to rest.
pub(crate) fn settled(pid: u32) -> u64 {
    let pause: Watched<()> = Watched::new(());
    let begun = Instant::now();
    let (mut last, mut still) = (resident(pid), 0);
    while still < STILL && begun.elapsed() < PATIENCE / 3 {
        pause.wait_until(Instant::now() + LOOK_EVERY, |()| None::<()>);
        let current = resident(pid);
        still = if current.abs_diff(last) <= STILL_BYTES {
            still + 1
        } else {
            0
        };
        last = current;
    }
    last
}

fn resident(pid: u32) -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("the server runs");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("statm has the resident pages second") * PAGE
}

/// Looks at the same phase of many cycles.
pub(crate) struct Series {
    name: &'static str,
    bytes: Vec<f64>,
}

impl Series {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            bytes: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn add(&mut self, resident: u64) {
        self.bytes.push(resident as f64);
    }

    /// Fails if it is too much, or grows.
    pub(crate) fn judge(&self) {
        let most = self.bytes.iter().copied().fold(0.0, f64::max);
        let growth = self.growth().unwrap_or(0.0);
        assert!(
            most <= RESIDENT_MAX && growth <= GROWTH_BYTES_MAX,
            "memory {}: {growth} bytes of growth in {:?}",
            self.name,
            self.bytes
        );
    }

    fn warm(&self) -> &[f64] {
        &self.bytes[(self.bytes.len() as f64 * WARMING_UP) as usize..]
    }

    /// Bytes from the first to the last point, along the straight line that fits them best; nothing if there are too few.
    fn growth(&self) -> Option<f64> {
        let warm = self.warm();
        if self.bytes.len() < POINTS_MIN {
            return None;
        }
        let count = warm.len() as f64;
        let middle = (count - 1.0) / 2.0;
        let mean = warm.iter().sum::<f64>() / count;
        let (mut above, mut below) = (0.0, 0.0);
        for (index, bytes) in warm.iter().enumerate() {
            let from_middle = index as f64 - middle;
            above += from_middle * (bytes - mean);
            below += from_middle * from_middle;
        }
        Some(above / below * (count - 1.0))
    }
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mega = |bytes: Option<&f64>| bytes.copied().unwrap_or(0.0) / 1e6;
        write!(
            formatter,
            "{:.1} MB at first, {:.1} MB at last, {:.1} MB at most, {} looks, ",
            mega(self.bytes.first()),
            mega(self.bytes.last()),
            mega(self.bytes.iter().max_by(|a, b| a.total_cmp(b))),
            self.bytes.len()
        )?;
        match self.growth() {
            Some(growth) => write!(formatter, "{:+.1} MB along the slope", growth / 1e6),
            None => write!(formatter, "too few for a slope"),
        }
    }
}

#[test]
fn a_slope_is_seen_through_noise() {
    let mut flat = Series::new("flat");
    let mut rising = Series::new("rising");
    for index in 0..50_u64 {
        let noise = index * 7_919 % 1_000_000;
        flat.add(50_000_000 + noise);
        rising.add(50_000_000 + noise + index * 1_100_000);
    }
    flat.judge();
    assert!(rising.growth().expect("enough points") > 26e6);
    assert!(std::panic::catch_unwind(|| rising.judge()).is_err());
}
