//! The command line, and the two processes of a run: one that only waits, and a child within the limits that works. So the
//! figures of the kernel are the workload's own, and a child that is killed for its memory is a verdict.

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine::Engine;
use crate::limits::{Group, Limits};
use crate::verdict::Verdicts;
use crate::workload::{Run, drain, history, kill, killed, write};

/// Puts a store under what the server writes, and holds what it does against its bounds.
///
/// Ends with status 1 if a bound is not met.
#[derive(Debug, Parser)]
#[command(name = "torture", version, about)]
struct CommandLine {
    #[command(flatten)]
    setting: Setting,
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Args, Clone, Debug)]
struct Setting {
    /// The store that is put under it; the first one this program has, unless given.
    #[arg(long, global = true)]
    engine: Option<String>,
    /// Where a folder is made for the store: on the disk that is meant. Unless given, the system's folder for temporary
    /// files.
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// What everything random follows from, but for the disk's and the machine's own.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// Leave the store's folder behind.
    #[arg(long, global = true)]
    keep: bool,
    #[command(flatten)]
    limits: Limits,
    /// This is the child: said by the one who waits.
    #[arg(long, global = true, hide = true)]
    inside: Option<Inside>,
}

/// Where a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Inside {
    /// A control group limits its memory.
    Group,
    /// Nothing does, but for itself.
    Alone,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Everything the server writes at once, as fast as the store takes it: memory, waiting times, open files.
    Write(write::Options),
    /// Queues filled and drained, conversations ended, mids forgotten: whether the disk is given back.
    Drain(drain::Options),
    /// Years of conversations: time to start, cold pages, amplification; then all of it is deleted.
    History(history::Options),
    /// Killed at any moment, half the time while it starts: nothing acknowledged is lost, nothing is half there.
    Kill(kill::Options),
    /// The one that is killed.
    #[command(hide = true)]
    Killed(killed::Options),
}

/// The whole program, for whatever engines somebody brings; the first is the one that is taken unless another is named.
pub fn main(engines: &[Engine]) -> ExitCode {
    let line = CommandLine::parse();
    let outcome = match (&line.workload, line.setting.inside) {
        (Workload::Killed(options), _) => begin(engines, &line.setting, options.folder())
            .and_then(|run| killed::run(&run, options).map(|()| true)),
        (_, None) => wait(&line.setting),
        (_, Some(inside)) => work(engines, &line, inside),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAIL  {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a child with the same command line, and waits for it.
fn wait(setting: &Setting) -> Result<bool> {
    let parent = setting.dir.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
    let folder = tempfile::Builder::new()
        .prefix("magpie-torture-")
        .disable_cleanup(setting.keep)
        .tempdir_in(&parent)
        .with_context(|| parent.display().to_string())?;
    let group = Group::make(&setting.limits);
    let inside = match &group {
        Some(_) => "group",
        None => "alone",
    };
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--inside", inside, "--dir"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(group) = &group {
        group.take(child.id())?;
    }
    // It has waited for this line: now it is where it belongs.
    writeln!(child.stdin.take().context("it was piped")?)?;
    let status = child.wait()?;
    if status.code().is_none() {
        println!("FAIL  the workload was ended from outside: {status}");
    }
    if setting.keep {
        println!("kept  {}", folder.path().display());
    } else {
        folder.close()?;
    }
    Ok(status.success())
}

fn work(engines: &[Engine], line: &CommandLine, inside: Inside) -> Result<bool> {
    std::io::stdin().lock().read_line(&mut String::new())?;
    line.setting.limits.apply(inside == Inside::Group)?;
    let folder = line.setting.dir.as_deref().context("a child is told")?;
    let run = begin(engines, &line.setting, &folder.join("data"))?;
    println!(
        "{} on {}, seed {}",
        match &line.workload {
            Workload::Write(_) => "write",
            Workload::Drain(_) => "drain",
            Workload::History(_) => "history",
            Workload::Kill(_) | Workload::Killed(_) => "kill",
        },
        run.engine.name,
        run.seed
    );
    let mut verdicts = Verdicts::default();
    match &line.workload {
        Workload::Write(options) => write::run(&run, options, &mut verdicts)?,
        Workload::Drain(options) => drain::run(&run, options, &mut verdicts)?,
        Workload::History(options) => history::run(&run, options, &mut verdicts)?,
        Workload::Kill(options) => kill::run(&run, options, &mut verdicts)?,
        Workload::Killed(_) => bail!("has been told apart above"),
    }
    Ok(verdicts.passed())
}

fn begin(engines: &[Engine], setting: &Setting, folder: &Path) -> Result<Run> {
    let engine = match &setting.engine {
        None => engines.first(),
        Some(name) => engines.iter().find(|engine| engine.name == *name),
    };
    let names: Vec<_> = engines.iter().map(|engine| engine.name).collect();
    let engine = engine.with_context(|| format!("engines: {}", names.join(", ")))?;
    Ok(Run {
        engine: *engine,
        folder: folder.to_owned(),
        seed: setting.seed,
    })
}
