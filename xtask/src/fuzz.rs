//! `cargo xtask fuzz`: builds the fuzz targets for libFuzzer, runs each for a while and says what it reached. Owns the
//! command lines; what a target does is in `crates/fuzz-targets`. The instrumentation is LLVM's own, which a stable
//! compiler has as well; there is no address sanitizer, for the product has no unsafe code to speak of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::{child, tree};

/// The target that needs the whole server; the others build sooner without it.
const WHOLE: &str = "configuration";
/// How long each target runs when nothing else is said.
const SECONDS: u32 = 60;
/// An input may take this long, on a busy machine and instrumented.
const INPUT_SECONDS: u32 = 20;
const INPUT_BYTES_MAX: u32 = 4096;
/// A corpus keeps no longer inputs than this, so that it stays small enough to be committed.
const CORPUS_INPUT_BYTES_MAX: u32 = 512;
const MEMORY_MEGABYTES_MAX: u32 = 2048;
/// What a run may take beyond the time it was given: the corpus is read first.
const GRACE: Duration = Duration::from_secs(120);
/// A merge reads every input that was ever found.
const MERGE_LIMIT: Duration = Duration::from_secs(30 * 60);

const FLAGS: [&str; 7] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Where everything is.
struct Range {
    root: PathBuf,
    /// Programs, and the inputs that were found but are not committed.
    work: PathBuf,
    programs: PathBuf,
}

/// What a run came to.
struct Outcome {
    passed: bool,
    executions: u64,
    edges: u64,
    inputs: u64,
    took: Duration,
}

/// Runs the targets; whether none has failed.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let only = arguments.values("--target")?;
    let seconds = arguments.number("--secs")?.unwrap_or(SECONDS);
    let input = arguments.values("--input")?.pop();
    let minimise = arguments.flag("--minimise");
    arguments.end()?;
    let root = tree::root()?;
    let known = targets(&root)?;
    if let Some(wrong) = only.iter().find(|name| !known.contains(name)) {
        bail!("no such target: {wrong}; there are {}", known.join(", "));
    }
    let chosen = if only.is_empty() { known } else { only };
    let whole = chosen.iter().any(|target| target == WHOLE);
    let range = build(root, whole)?;
    if let Some(input) = input {
        let [target] = &chosen[..] else {
            bail!("--input needs one --target");
        };
        let mut command = range.program(target);
        return child::show(command.arg(input).current_dir(&range.root));
    }
    if minimise {
        for target in &chosen {
            range.minimise(target)?;
        }
        return Ok(true);
    }
    range.run_all(&chosen, seconds)
}

/// The names of the programs in `fuzz/fuzz_targets`.
fn targets(root: &Path) -> Result<Vec<String>> {
    let files = tree::files(root, "fuzz/fuzz_targets", &[".rs"])?;
    let names = files.iter().filter_map(|file| {
        let name = file.path.rsplit('/').next()?;
        name.strip_suffix(".rs").map(str::to_owned)
    });
    Ok(names.collect())
}

fn build(root: PathBuf, whole: bool) -> Result<Range> {
    let compiler = Command::new("rustc").arg("-vV").output()?;
    let told = String::from_utf8_lossy(&compiler.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it compiles for")?;
    let work = tree::target_dir(&root).join("fuzz");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // A target of its own keeps the flags from build scripts, which must not be instrumented.
    command
        .args(["build", "--locked", "--release", "--target", host])
        .current_dir(root.join("fuzz"))
        .env("CARGO_TARGET_DIR", &work)
        .env("RUSTFLAGS", FLAGS.join(" "));
    if !whole {
        command.arg("--no-default-features");
    }
    if !child::show(&mut command)? {
        bail!(
            "the fuzz targets cannot be built; libFuzzer needs a C++ compiler (Debian: build-essential)"
        );
    }
    let programs = work.join(host).join("release");
    Ok(Range {
        root,
        work,
        programs,
    })
}

impl Range {
    fn program(&self, target: &str) -> Command {
        Command::new(self.programs.join(target))
    }

    fn committed(&self, target: &str) -> PathBuf {
        self.root.join("fuzz/corpus").join(target)
    }

    /// Inputs that reached something new on this machine.
    fn found(&self, target: &str) -> Result<PathBuf> {
        let folder = self.work.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A line for each as it ends, and one for all.
    fn run_all(&self, targets: &[String], seconds: u32) -> Result<bool> {
        let mut failed = Vec::new();
        let mut all = 0;
        println!(
            "{:<16} {:>12} {:>9} {:>8} {:>7}  outcome",
            "target", "executions", "per s", "edges", "inputs"
        );
        for target in targets {
            let outcome = self.run_one(target, seconds)?;
            let per_second = outcome.executions / outcome.took.as_secs().max(1);
            let said = if outcome.passed { "passed" } else { "FAILED" };
            let Outcome {
                executions,
                edges,
                inputs,
                ..
            } = outcome;
            println!(
                "{target:<16} {executions:>12} {per_second:>9} {edges:>8} {inputs:>7}  {said}"
            );
            all += executions;
            if !outcome.passed {
                failed.push(target.as_str());
            }
        }
        let said = match &failed[..] {
            [] => "all passed".to_owned(),
            failed => format!("FAILED: {}", failed.join(", ")),
        };
        let count = targets.len();
        println!("{count} targets, {seconds} s each, {all} executions: {said}");
        Ok(failed.is_empty())
    }

    fn run_one(&self, target: &str, seconds: u32) -> Result<Outcome> {
        let artifacts = self.root.join("fuzz/artifacts").join(target);
        fs::create_dir_all(&artifacts)?;
        let mut command = self.program(target);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MEGABYTES_MAX}"))
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(self.found(target)?)
            .arg(self.committed(target));
        let limit = Duration::from_secs(seconds.into()) + GRACE;
        let ended = child::capture(&mut command, limit, |_| {})?;
        if !ended.success {
            println!("{}", ended.output);
            for input in written(&ended.output) {
                let input = tree::relative(&self.root, Path::new(input));
                println!("try it again: cargo xtask fuzz --target {target} --input {input}");
            }
        }
        Ok(Outcome {
            passed: ended.success,
            executions: number_behind(&ended.output, "number_of_executed_units:"),
            edges: number_behind(&ended.output, "cov:"),
            inputs: number_behind(&ended.output, "corp:"),
            took: ended.took,
        })
    }

    /// Puts in place of the committed corpus the smallest set of short inputs that reaches as much as all that was found.
    fn minimise(&self, target: &str) -> Result<()> {
        let merged = self.work.join("merged").join(target);
        let _ = fs::remove_dir_all(&merged);
        fs::create_dir_all(&merged)?;
        let mut command = self.program(target);
        command
            .arg("-set_cover_merge=1")
            .arg(format!("-max_len={CORPUS_INPUT_BYTES_MAX}"))
            .arg(&merged)
            .arg(self.committed(target))
            .arg(self.found(target)?);
        let ended = child::capture(&mut command, MERGE_LIMIT, |_| {})?;
        if !ended.success {
            bail!("the corpus of {target} cannot be merged:\n{}", ended.output);
        }
        let committed = self.committed(target);
        fs::remove_dir_all(&committed)?;
        fs::create_dir_all(&committed)?;
        let (mut inputs, mut bytes) = (0, 0);
        for entry in fs::read_dir(&merged)? {
            let entry = entry?;
            bytes += fs::copy(entry.path(), committed.join(entry.file_name()))?;
            inputs += 1;
        }
        println!("{target:<16} {inputs:>7} inputs {bytes:>9} bytes");
        Ok(())
    }
}

/// The inputs that libFuzzer says it has written.
fn written(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter_map(|line| {
        line.split_once("Test unit written to ")
            .map(|(_, path)| path)
    })
}

/// The number that stands behind the last occurrence of a word.
fn number_behind(output: &str, word: &str) -> u64 {
    let behind = output.rsplit_once(word).map_or("", |(_, behind)| behind);
    let digits = behind
        .trim_start()
        .split(|letter: char| !letter.is_ascii_digit());
    digits
        .into_iter()
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb
#97364\tDONE   cov: 1204 ft: 5120 corp: 310/21Kb lim: 325 exec/s: 19472 rss: 95Mb
stat::number_of_executed_units: 97364
artifact_prefix='/x/'; Test unit written to /x/crash-ab";

    #[test]
    fn what_libfuzzer_says_is_read() {
        assert_eq!(number_behind(OUTPUT, "number_of_executed_units:"), 97_364);
        assert_eq!(number_behind(OUTPUT, "cov:"), 1204);
        assert_eq!(number_behind(OUTPUT, "corp:"), 310);
        assert_eq!(number_behind(OUTPUT, "nothing:"), 0);
        assert_eq!(written(OUTPUT).collect::<Vec<_>>(), ["/x/crash-ab"]);
    }
}
