//! A child writes and is killed, again and again, half the time while it starts. The next one looks whether everything is
//! there that the one before said was on disk, and nothing is half there. This is the one that kills.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use fastrand::Rng;

use super::killed::Said;
use super::{LANES, Run};
use crate::measure::{Histogram, disk_bytes};
use crate::verdict::{Figure, Verdicts};

/// A start that takes so long has failed.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a child at most writes before it is killed.
const ALIVE_MAX_MS: u64 = 1_000;
const SAY_EVERY: u64 = 50;

/// What can be said of it.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How often.
    #[arg(long, default_value_t = 1_000)]
    rounds: u64,
}

/// What is known of the store.
struct Known {
    /// Per lane, the last append that a child said was on disk.
    acknowledged: Vec<u64>,
    /// How long it last took until the store was open.
    opening: Duration,
    openings: Histogram,
    killed_in_opening: u64,
}

pub(crate) fn run(run: &Run, options: &Options, verdicts: &mut Verdicts) -> Result<()> {
    let mut rng = Rng::with_seed(run.seed);
    let mut known = Known {
        acknowledged: vec![0; LANES as usize],
        opening: Duration::from_millis(100),
        openings: Histogram::new(),
        killed_in_opening: 0,
    };
    for round in 0..options.rounds {
        if let Err(error) = one(run, round, &mut rng, &mut known) {
            verdicts.holds(&format!("round {round}: {error:#}"), false);
            return keep(run);
        }
        if (round + 1).is_multiple_of(SAY_EVERY) {
            println!(
                "{:>6} rounds, {} appends acknowledged, {} killed while it opened, opening p99 {:.0} ms, {:.0} MB on disk",
                round + 1,
                known.acknowledged.iter().sum::<u64>(),
                known.killed_in_opening,
                known.openings.millis(0.99),
                disk_bytes(&run.folder)? as f64 / 1e6,
            );
        }
    }
    // The last one is only looked at.
    let mut child = Killed::start(run, &known)?;
    let looked = child.await_start(&mut known);
    child.kill(&mut known)?;
    if let Err(error) = looked {
        verdicts.holds(&format!("at the end: {error:#}"), false);
        return keep(run);
    }
    verdicts.note("rounds", Figure::Count(options.rounds));
    verdicts.note(
        "killed while it opened",
        Figure::Count(known.killed_in_opening),
    );
    verdicts.note(
        "opening, median",
        Figure::Millis(known.openings.millis(0.5)),
    );
    verdicts.note(
        "opening, longest",
        Figure::Millis(known.openings.longest_millis()),
    );
    verdicts.holds(
        &format!(
            "all of {} acknowledged appends were there after every kill, and none was half there",
            known.acknowledged.iter().sum::<u64>()
        ),
        true,
    );
    Ok(())
}

fn one(run: &Run, round: u64, rng: &mut Rng, known: &mut Known) -> Result<()> {
    let mut child = Killed::start(run, known)?;
    if round % 2 == 1 {
        let most = u64::try_from(known.opening.as_micros()).unwrap_or(u64::MAX) * 5 / 4;
        let moment = Duration::from_micros(rng.u64(..=most));
        child.listen(moment, known)?;
        if !child.open {
            known.killed_in_opening += 1;
        }
    } else {
        child.await_start(known)?;
        child.listen(Duration::from_millis(rng.u64(..ALIVE_MAX_MS)), known)?;
    }
    child.kill(known)
}

/// A folder that shows a fault is worth looking at.
fn keep(run: &Run) -> Result<()> {
    let kept = std::env::temp_dir().join(format!(
        "magpie-torture-failed-{}-{}",
        run.seed,
        std::process::id()
    ));
    match std::fs::rename(&run.folder, &kept) {
        Ok(()) => println!("kept  {}", kept.display()),
        Err(error) => println!("kept  not: {error}; --keep leaves the folder where it is"),
    }
    Ok(())
}

/// A child that writes until it is killed.
struct Killed {
    child: Child,
    said: Receiver<Said>,
    begun: Instant,
    /// Whether it has said so of the store.
    open: bool,
}

impl Killed {
    fn start(run: &Run, known: &Known) -> Result<Self> {
        let acknowledged: Vec<String> = known.acknowledged.iter().map(u64::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--engine", run.engine.name])
            .args(["--seed", &run.seed.to_string()])
            .args(["killed", "--acknowledged", &acknowledged.join(",")])
            .arg(&run.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let begun = Instant::now();
        let stdout = child.stdout.take().context("it was piped")?;
        Ok(Self {
            child,
            said: listen(stdout),
            begun,
            open: false,
        })
    }

    /// Waits until it has opened the store and found everything.
    fn await_start(&mut self, known: &mut Known) -> Result<()> {
        while self.begun.elapsed() < START_MAX {
            let Ok(said) = self.said.recv_timeout(START_MAX) else {
                break;
            };
            let started = matches!(said, Said::Started);
            self.take(said, known)?;
            if started {
                return Ok(());
            }
        }
        bail!("the store had not started after {:?}", self.begun.elapsed())
    }

    /// Takes in what it says for so long.
    fn listen(&mut self, time: Duration, known: &mut Known) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(said) => self.take(said, known)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the child ended by itself: {}", self.child.wait()?)
                }
            }
        }
    }

    fn kill(mut self, known: &mut Known) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        // What it had still said counts.
        while let Ok(said) = self.said.recv() {
            self.take(said, known)?;
        }
        Ok(())
    }

    fn take(&mut self, said: Said, known: &mut Known) -> Result<()> {
        match said {
            Said::Open => {
                self.open = true;
                known.opening = self.begun.elapsed();
                known.openings.add(known.opening);
            }
            Said::Started => {}
            Said::Appended { lane, upto } => {
                let last = known
                    .acknowledged
                    .get_mut(lane as usize)
                    .context("no such lane")?;
                *last = (*last).max(upto);
            }
            Said::Fault(fault) => bail!("{fault}"),
        }
        Ok(())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // A second time does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: ChildStdout) -> Receiver<Said> {
    let (sender, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if sender.send(Said::parse(&line)).is_err() {
                return;
            }
        }
    });
    said
}
