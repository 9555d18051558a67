//! The server over a long time: mixed load beside the writers and readers of the crash test, connections that are cut,
//! SIGKILLs and clean restarts at moments that a seed chooses. Nothing acknowledged is lost, and memory stays flat.
//! `MAGPIE_SOAK_SECS` sets how long, `MAGPIE_SOAK_SEED` replays a choice of moments; `cargo xtask soak` sets both.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod extras;
mod flood;
mod garbage;
mod kept;
mod memory;
mod rooms;
mod storm;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::proof::{self, Ledger, Random, Reader, Round, Stage, Writer};
use harness::{Burst, Dial, Launch, Server, Version};

use extras::Extras;
use memory::Series;

const SECS: u64 = 40;
/// How long a cycle lasts, in milliseconds, before its end is chosen. Far below `PATIENCE`, which bounds any wait.
const CYCLE_MS: std::ops::Range<u64> = 1_500..5_000;
/// After this share of the time the server is left running, so that its memory can be watched.
const WITH_ENDS: f64 = 0.6;

/// How a cycle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGKILL in the middle of everything.
    Killed,
    /// SIGTERM.
    Ended,
    /// Every client is cut off at once; the server stays.
    Parted,
}

#[derive(Debug, Default)]
struct Counts {
    killed: usize,
    ended: usize,
    parted: usize,
}

#[test]
fn hours_of_everything_at_once_lose_nothing_and_leave_nothing() {
    let secs = proof::number("MAGPIE_SOAK_SECS").unwrap_or(SECS);
    let seed = proof::number("MAGPIE_SOAK_SEED").unwrap_or_else(proof::seed);
    say(&format!(
        "seed {seed}; again: MAGPIE_SOAK_SEED={seed} MAGPIE_SOAK_SECS={secs} cargo test -p magpie --test soak"
    ));
    let mut random = Random::new(seed);
    let mut server = Launch::new()
        .keeps_addresses()
        .argument("--allow-anonymous")
        .start();
    proof::people(&server);
    let stage = Arc::new(Stage::new());
    let ledger = Arc::new(Ledger::default());
    let readers = proof::readers(&server, &mut random);
    let readers: Vec<_> = readers
        .into_iter()
        .map(|(reader, ends): (Reader, usize)| reader.spawn(&stage, ends))
        .collect();
    let writers = proof::writers(&server).into_iter();
    let writers: Vec<_> = writers
        .map(|writer: Writer| writer.spawn(&stage, &ledger))
        .collect();
    let extras = Extras::spawn(server.mqtt(), &stage, &mut random);

    let mut soak = Soak {
        stage: Arc::clone(&stage),
        random,
        begun: Instant::now(),
        time: Duration::from_secs(secs),
        restarted: Series::new("after a restart"),
        running: Series::new("in one process"),
        counts: Counts::default(),
    };
    let cycles = soak.run(&mut server, &ledger, &extras, || {
        writers.iter().any(std::thread::JoinHandle::is_finished)
            || readers.iter().any(std::thread::JoinHandle::is_finished)
    });
    stage.open(Round::Last(cycles + 1));
    extras.join();
    for writer in writers {
        writer
            .join()
            .expect("a writer saw what it must not see; its message stands above");
    }
    proof::write_ends(&server);
    let readers = readers.into_iter();
    let seen: Vec<_> = readers
        .map(|reader| {
            reader
                .join()
                .expect("a reader saw what it must not see; its message stands above")
        })
        .collect();
    let ledger = ledger.close();
    let lengths = proof::conversations(&server, &ledger);
    proof::judge_readers(&ledger, &lengths, &seen);
    let delivered = seen.iter().map(|seen| seen.messages.len()).sum();
    // What a burst takes comes back also from a server that has done all this.
    memory::settled(server.program().pid());
    let burst = Burst::measure(&server, Dial::new(server.mqtt(), Version::V5, "burst"));
    soak.say_table(cycles, ledger.acknowledged.len(), delivered, &extras);
    say(&format!("| a burst of 1,000 subscribers | {burst} |"));
    soak.restarted.judge();
    soak.running.judge();
}

struct Soak {
    stage: Arc<Stage>,
    random: Random,
    begun: Instant,
    time: Duration,
    restarted: Series,
    running: Series,
    counts: Counts,
}

impl Soak {
    /// Cycle after cycle until the time is over; how many there were.
    fn run(
        &mut self,
        server: &mut Server,
        ledger: &Ledger,
        extras: &Extras,
        has_stopped: impl Fn() -> bool,
    ) -> u64 {
        let mut cycle = 0;
        while self.begun.elapsed() < self.time {
            cycle += 1;
            self.stage.open(Round::Busy(cycle));
            let busy = CYCLE_MS.start + self.random.below(CYCLE_MS.end - CYCLE_MS.start);
            extras.watch(Duration::from_millis(busy));
            assert!(
                !has_stopped(),
                "a writer or reader has stopped; its message stands above"
            );
            let end = self.choose();
            self.end(end, server);
            let resident = memory::settled(server.program().pid());
            let share = self.begun.elapsed().as_secs_f64() / self.time.as_secs_f64();
            if end != End::Parted {
                self.restarted.add(resident);
            } else if share > WITH_ENDS {
                self.running.add(resident);
            }
            say(&format!(
                "{:3.0} %, cycle {cycle}: {end:?} after {:.1} s, {} messages acknowledged, {:.1} MB resident",
                share * 100.0,
                busy as f64 / 1000.0,
                ledger.acknowledged_count(),
                resident as f64 / 1e6,
            ));
        }
        cycle
    }

    fn choose(&mut self) -> End {
        if self.begun.elapsed() > self.time.mul_f64(WITH_ENDS) {
            return End::Parted;
        }
        match self.random.below(5) {
            0 | 1 => End::Killed,
            2 => End::Ended,
            _ => End::Parted,
        }
    }

    fn end(&mut self, end: End, server: &mut Server) {
        match end {
            End::Killed => {
                server.kill();
                self.stage.close();
                // A recovery may be cut off, too.
                if self.random.below(4) == 0 {
                    server.kill_while_starting(Some("store open"));
                }
                self.counts.killed += 1;
                server.restart();
            }
            End::Ended => {
                let (status, _) = server.terminate();
                assert!(status.success(), "it ends in order: {status}");
                self.stage.close();
                self.counts.ended += 1;
                server.restart();
            }
            End::Parted => {
                self.stage.close();
                self.counts.parted += 1;
            }
        }
    }

    fn say_table(&self, cycles: u64, acknowledged: usize, delivered: usize, extras: &Extras) {
        let Counts {
            killed,
            ended,
            parted,
        } = self.counts;
        let mut rows = vec![
            (
                "cycles",
                format!(
                    "{cycles}: {killed} SIGKILLs, {ended} clean restarts, {parted} times everybody cut off"
                ),
            ),
            ("stored messages acknowledged", acknowledged.to_string()),
            ("stored messages delivered", delivered.to_string()),
        ];
        rows.extend(extras.rows());
        rows.push((self.restarted.name(), self.restarted.to_string()));
        rows.push((self.running.name(), self.running.to_string()));
        say(&format!(
            "{} s, nothing lost",
            self.begun.elapsed().as_secs()
        ));
        for (name, value) in rows {
            say(&format!("| {name} | {value} |"));
        }
    }
}

/// Straight to standard error: what takes long has to show that it goes on, and a seed that the test runner keeps to itself
/// helps nobody.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "soak: {text}");
}
