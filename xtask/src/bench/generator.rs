//! mqload, the load generator: found, built outside of its own folder and ours, and run on core 1.
//! It verifies every message; what it says against a run is kept with the figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broker::Running;
use super::scenario::Scenario;
use crate::child;

const CORE: &str = "1";
const RUN_LIMIT: Duration = Duration::from_secs(10 * 60);
/// What it says when others were at work on the machine: a warning to mqload, a reason for doubt in a comparison.
const DISTURBED: &str = "other processes used";
/// Where its source is, seen from the project's folder, unless `MQLOAD` says otherwise.
const SOURCE: &str = "../shared/mqload";

pub(crate) struct Generator {
    program: PathBuf,
}

/// What one run gave.
pub(crate) struct Run {
    pub(crate) report: Value,
    /// Why its figures are not to be trusted, if they are not.
    pub(crate) doubts: Vec<String>,
}

impl Generator {
    /// `MQLOAD` names its source folder or the program itself.
    pub(crate) fn prepare(root: &Path, work: &Path) -> Result<Self> {
        let named = std::env::var_os("MQLOAD").filter(|named| !named.is_empty());
        let place = named.map_or_else(|| root.join(SOURCE), PathBuf::from);
        if place.is_file() {
            return Ok(Self { program: place });
        }
        if !place.join("Cargo.toml").is_file() {
            bail!(
                "mqload is not at {}; name its folder or the program with MQLOAD",
                place.display()
            );
        }
        // A copy: its folder may be read-only, and cargo writes a lock file beside the source.
        let source = work.join("mqload");
        fs::create_dir_all(source.join("src"))?;
        fs::copy(place.join("Cargo.toml"), source.join("Cargo.toml"))?;
        for entry in fs::read_dir(place.join("src"))? {
            let entry = entry?;
            fs::copy(entry.path(), source.join("src").join(entry.file_name()))?;
        }
        println!("bench: building mqload");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = work.join("mqload-target");
        let mut build = Command::new(cargo);
        build
            .args(["build", "--release", "--quiet"])
            .current_dir(&source)
            .env("CARGO_TARGET_DIR", &target);
        if !child::show(&mut build)? {
            bail!("mqload does not build");
        }
        Ok(Self {
            program: target.join("release/mqload"),
        })
    }

    pub(crate) fn run(&self, scenario: &Scenario, secs: u32, broker: &Running) -> Result<Run> {
        let mut command = Command::new(&self.program);
        command
            .args(scenario.arguments(secs))
            .args(["--json", "--cpu", CORE, "--port", &broker.port.to_string()])
            .args(["--pid", &broker.pid().to_string()])
            .arg("--data-dir")
            .arg(&broker.folder);
        let ended = child::capture(&mut command, RUN_LIMIT, |_| {})?;
        if ended.timed_out {
            bail!("mqload {} took too long", scenario.name);
        }
        let report = ended
            .output
            .lines()
            .filter(|line| line.starts_with('{'))
            .find_map(|line| serde_json::from_str::<Value>(line).ok())
            .with_context(|| format!("mqload {}: {}", scenario.name, ended.output))?;
        let reasons = report["reasons"].as_array().into_iter().flatten();
        let mut doubts: Vec<_> = reasons
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let warnings = report["warnings"].as_array().into_iter().flatten();
        let disturbed = warnings
            .filter_map(Value::as_str)
            .filter(|warning| warning.contains(DISTURBED));
        doubts.extend(disturbed.map(str::to_owned));
        if report["trustworthy"] == false && doubts.is_empty() {
            doubts.push("mqload gave no reason".to_owned());
        }
        Ok(Run { report, doubts })
    }
}
