//! `cargo xtask bench`: measures Magpie and whatever of its peers is installed in the same run, and holds the figures
//! against the goals. Owns the order of the runs; what is measured stands in `xtask/bench.toml`.

mod generator;
mod goal;
mod progress;
mod scenario;
mod servers;
mod table;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::{child, tree};
use generator::{Generators, Run};
use goal::MEASURE;
use progress::Progress;
use scenario::{Scenario, Tool};
use servers::{Server, Setup};
use table::{Attempt, Known, Outcome, Table};

/// How often each scenario runs; the median is reported.
const RUNS: u32 = 3;
const SECS: u32 = 10;
const SECS_QUICK: u32 = 2;

struct Bench {
    root: PathBuf,
    work: PathBuf,
    runs: u32,
    secs: u32,
    servers: Vec<Server>,
    generators: Generators,
    scenarios: Vec<Scenario>,
}

/// Measures and prints a table in Markdown; whether every goal was met by runs that can be trusted.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let quick = arguments.flag("--quick");
    let runs = arguments.number("--runs")?;
    let runs = runs.unwrap_or(if quick { 1 } else { RUNS }).max(1);
    let secs = arguments.number("--secs")?;
    let secs = secs.unwrap_or(if quick { SECS_QUICK } else { SECS }).max(1);
    let peers = names(&arguments.values("--peers")?);
    let document = arguments.values("--write")?.pop();
    let mut chosen = names(&arguments.values("--only")?).unwrap_or_default();
    while let Some(name) = arguments.next_word() {
        chosen.push(name);
    }
    let root = tree::root()?;
    let scenarios = scenario::read(&root, &chosen)?;
    let work = tree::target_dir(&root).join("xtask/bench");
    std::fs::create_dir_all(&work)?;
    let bench = Bench {
        servers: servers::all(&root, peers.as_deref())?,
        generators: Generators::prepare(&root, &work, &scenarios)?,
        root,
        work,
        runs,
        secs,
        scenarios,
    };
    let outcomes = bench.measure()?;
    let all_clean = outcomes.iter().all(Outcome::is_clean);
    let measure = bench.servers.iter().find(|server| server.name() == MEASURE);
    let table = Table::new(outcomes, measure.map_or(MEASURE, |server| &server.version));
    let order: Vec<_> = scenario::read(&bench.root, &[])?
        .into_iter()
        .map(|scenario| scenario.name)
        .collect();
    match document {
        None => println!("\n{}", table.text()),
        Some(document) => {
            // With what was measured before: a document shows the whole.
            let whole = table.join(&bench.work.join("outcomes.json"), &order)?;
            println!("\n{}", whole.text());
            whole.write(&bench.root.join(document))?;
        }
    }
    Ok(all_clean)
}

/// `--only a,b --only c` as a, b, c; nothing if it was not given.
fn names(values: &[String]) -> Option<Vec<String>> {
    let names: Vec<_> = values
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::to_owned)
        .collect();
    (!names.is_empty()).then_some(names)
}

impl Bench {
    fn measure(&self) -> Result<Vec<Outcome>> {
        let conditions = self.conditions();
        println!("{conditions}\n");
        let total: u32 = self
            .scenarios
            .iter()
            .map(|scenario| self.runs_of(scenario) * self.entrants(scenario).count() as u32)
            .sum();
        let mut progress = Progress::new(total);
        let mut known = Known::default();
        let mut outcomes = Vec::new();
        for scenario in &self.scenarios {
            let attempts = self.attempts(scenario, &mut progress);
            let command = format!(
                "{} {}",
                scenario.tool.program(),
                scenario.arguments(self.secs).join(" ")
            );
            let outcome = Outcome::new(scenario, &attempts, &mut known, command, &conditions);
            // At once, for whoever waits for this row only.
            for line in outcome.lines().iter().chain(outcome.notes()) {
                println!("{line}");
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn runs_of(&self, scenario: &Scenario) -> u32 {
        scenario.runs.map_or(self.runs, |most| most.min(self.runs))
    }

    fn entrants(&self, scenario: &Scenario) -> impl Iterator<Item = &Server> {
        let count = if scenario.alone {
            1
        } else {
            self.servers.len()
        };
        self.servers.iter().take(count)
    }

    /// All runs of one scenario: in turn, so that a neighbour's noise falls on all servers.
    fn attempts(
        &self,
        scenario: &Scenario,
        progress: &mut Progress,
    ) -> Vec<(&'static str, Attempt)> {
        let mut attempts: Vec<_> = self
            .entrants(scenario)
            .map(|server| (server, Attempt::Ran(Vec::new())))
            .collect();
        let runs = self.runs_of(scenario);
        for number in 1..=runs {
            for (server, attempt) in &mut attempts {
                progress.next(&format!(
                    "{}, {}, run {number} of {runs}",
                    scenario.name,
                    server.name()
                ));
                // What failed once is not tried again: it would take its time and fail.
                let Attempt::Ran(done) = attempt else {
                    continue;
                };
                match self.run_once(scenario, server) {
                    Ok(run) => done.push(run),
                    Err(error) => *attempt = Attempt::Failed(format!("{error:#}")),
                }
            }
        }
        attempts
            .into_iter()
            .map(|(server, attempt)| (server.name(), attempt))
            .collect()
    }

    /// One run against a fresh server.
    fn run_once(&self, scenario: &Scenario, server: &Server) -> Result<Run> {
        match scenario.tool {
            Tool::DurableChat | Tool::Measure | Tool::Core | Tool::Shards => self
                .generators
                .run_with(scenario, self.secs, server.program()),
            Tool::Mqload | Tool::DurableTopic => {
                let setup = Setup {
                    cores: &scenario.cores,
                    magpie_config: &scenario.magpie_config,
                    persistent: scenario.persistent,
                };
                let mut running = server.start(&self.work, setup)?;
                let run = self.generators.load(scenario, self.secs, server, &running);
                if !running.is_alive() {
                    anyhow::bail!("the server ended meanwhile");
                }
                run
            }
        }
    }

    /// What a reader needs to judge the figures.
    fn conditions(&self) -> String {
        let commit = child::first_line(
            Command::new("git")
                .args(["describe", "--always", "--dirty"])
                .current_dir(&self.root),
        );
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown processor", |(_, model)| model);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = child::first_line(Command::new("uname").arg("-sr")).unwrap_or_default();
        let peers: Vec<_> = self
            .servers
            .iter()
            .skip(1)
            .map(|server| server.version.as_str())
            .collect();
        format!(
            "Magpie at {} beside {}; {cores} cores of {model}, {kernel}; server on core 0, generator on core 1; median of {} \
             run(s) of {} s, the servers in turn",
            commit.unwrap_or_else(|| "an unknown commit".to_owned()),
            if peers.is_empty() {
                "none".to_owned()
            } else {
                peers.join(", ")
            },
            self.runs,
            self.secs,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_with_commas_or_one_by_one() {
        let given = ["a,b".to_owned(), "c".to_owned()];
        assert_eq!(
            names(&given),
            Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
        assert_eq!(names(&[]), None);
    }
}
