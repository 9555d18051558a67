//! `cargo xtask bench`: measures the server, and Debian's mosquitto where it is installed, in the same run.
//! Owns the order of the runs and the table; what is measured stands in `xtask/bench.toml`.

mod broker;
mod generator;
mod scenario;

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::{child, tree};
use broker::Broker;
use generator::{Generators, Run};
use scenario::{Reading, Scenario, Tool};

/// How often each scenario runs; the median is reported.
const RUNS: u32 = 3;
const SECS: u32 = 10;
const SECS_QUICK: u32 = 2;

/// Measures and prints a table in Markdown; whether every run could be trusted.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let quick = arguments.flag("--quick");
    let runs = arguments.number("--runs")?;
    let runs = runs.unwrap_or(if quick { 1 } else { RUNS }).max(1);
    let secs = if quick { SECS_QUICK } else { SECS };
    let mut names = Vec::new();
    while let Some(name) = arguments.next_word() {
        names.push(name);
    }
    let root = tree::root()?;
    let scenarios = scenario::read(&root, &names)?;
    let work = tree::target_dir(&root).join("xtask/bench");
    std::fs::create_dir_all(&work)?;
    let generators = Generators::prepare(&root, &work, &scenarios)?;
    let brokers = broker::all(&root)?;

    println!("\n{}\n", conditions(&root, &brokers, runs, secs));
    let mut table = Table::new(&brokers);
    for scenario in &scenarios {
        let program = match scenario.tool {
            Tool::Mqload => "mqload",
            Tool::DurableTopic | Tool::DurableChat => "durable_load",
        };
        let command = scenario.arguments(secs).join(" ");
        println!("{}: `{program} {command}`", scenario.name);
        // In turn, so that a neighbour's noise falls on all of them.
        let mut reports: Vec<Vec<Run>> = brokers.iter().map(|_| Vec::new()).collect();
        for _ in 0..runs {
            for (broker, reports) in brokers.iter().zip(&mut reports) {
                reports.extend(run_once(scenario, secs, broker, &generators, &work)?);
            }
        }
        table.add(scenario, &reports);
    }
    println!("\n{}", table.text());
    Ok(table.doubts.is_empty())
}

/// One run against a fresh server; nothing if the server has not what is measured.
fn run_once(
    scenario: &Scenario,
    secs: u32,
    broker: &Broker,
    generators: &Generators,
    work: &Path,
) -> Result<Option<Run>> {
    match scenario.tool {
        Tool::DurableChat => broker
            .messenger()
            .map(|program| generators.run_messenger(scenario, secs, program))
            .transpose(),
        Tool::Mqload | Tool::DurableTopic => {
            let running = broker.start(work, scenario.persistent)?;
            let run = generators.run(scenario, secs, &running)?;
            running.stop()?;
            Ok(Some(run))
        }
    }
}

/// What a reader needs to judge the figures.
fn conditions(root: &Path, brokers: &[Broker], runs: u32, secs: u32) -> String {
    let commit = child::first_line(
        Command::new("git")
            .args(["describe", "--always", "--dirty"])
            .current_dir(root),
    );
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = child::first_line(Command::new("uname").arg("-sr")).unwrap_or_default();
    let versions: Vec<_> = brokers
        .iter()
        .map(|broker| broker.version.as_str())
        .collect();
    format!(
        "{}; magpie at {}; {cores} cores of {model}, {kernel}; server on core 0, generator on core 1; \
         median of {runs} run(s), {secs} s each",
        versions.join(" and "),
        commit.unwrap_or_else(|| "an unknown commit".to_owned()),
    )
}

/// The figures, one line for each reading.
struct Table {
    lines: Vec<String>,
    doubts: Vec<String>,
    names: Vec<&'static str>,
}

impl Table {
    fn new(brokers: &[Broker]) -> Self {
        let names: Vec<_> = brokers.iter().map(|broker| broker.name).collect();
        let ratio = if names.len() == 2 { " ratio |" } else { "" };
        let mut lines = vec![format!(
            "| scenario | reading | {} |{ratio}",
            names.join(" | ")
        )];
        lines.push(format!(
            "|---|---|{}",
            "--:|".repeat(names.len() + usize::from(names.len() == 2))
        ));
        Self {
            lines,
            doubts: Vec::new(),
            names,
        }
    }

    fn add(&mut self, scenario: &Scenario, reports: &[Vec<Run>]) {
        for reading in &scenario.readings {
            let medians: Vec<_> = reports.iter().map(|runs| median(runs, reading)).collect();
            let cells: Vec<_> = medians.iter().map(|median| figure(*median)).collect();
            let ratio = match medians[..] {
                [Some(ours), Some(theirs)] if theirs > 0.0 => format!(" {:.2} |", ours / theirs),
                [_, _] => " – |".to_owned(),
                _ => String::new(),
            };
            self.lines.push(format!(
                "| {} | {} | {} |{ratio}",
                scenario.about,
                reading.label,
                cells.join(" | ")
            ));
        }
        for (name, runs) in self.names.iter().zip(reports) {
            for doubt in runs.iter().flat_map(|run| &run.doubts) {
                let doubt = format!("{}, {name}: {doubt}", scenario.name);
                if !self.doubts.contains(&doubt) {
                    self.doubts.push(doubt);
                }
            }
        }
    }

    fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        if !self.doubts.is_empty() {
            text.push_str("\n\nNot to be trusted:\n- ");
            text.push_str(&self.doubts.join("\n- "));
        }
        text
    }
}

/// The middle of the figures that the runs gave, if any did.
fn median(runs: &[Run], reading: &Reading) -> Option<f64> {
    let mut values: Vec<f64> = runs
        .iter()
        .filter_map(|run| reading.of(&run.report))
        .collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// `1234567.8` as `1,234,568`.
fn figure(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "–".to_owned();
    };
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_written_with_commas() {
        let figures = [0.4, 999.0, 1000.0, 1_234_567.8, -1000.0];
        assert_eq!(
            figures.map(|value| figure(Some(value))),
            ["0", "999", "1,000", "1,234,568", "-1,000"]
        );
        assert_eq!(figure(None), "–");
    }

    #[test]
    fn the_table_has_medians_ratios_and_doubts() {
        let reading: Reading =
            toml::from_str("label = \"deliveries\"\nat = \"/a\"").expect("is a reading");
        let runs = |values: [f64; 3]| -> Vec<Run> {
            let run = |value: f64| Run {
                report: json!({ "a": value }),
                doubts: vec!["lost 1".to_owned()],
            };
            values.map(run).into()
        };
        let ours = runs([30.0, 10.0, 20.0]);
        assert_eq!(median(&ours, &reading), Some(20.0));
        let mut table = Table {
            lines: Vec::new(),
            doubts: Vec::new(),
            names: vec!["magpie", "mosquitto"],
        };
        let scenario: Scenario = toml::from_str(
            "name = \"x\"\nabout = \"an x\"\narguments = \"pairs\"\nreadings = [{ label = \"deliveries\", at = \"/a\" }]",
        )
        .expect("is a scenario");
        table.add(&scenario, &[ours, runs([8.0, 8.0, 8.0])]);
        assert_eq!(table.lines, ["| an x | deliveries | 20 | 8 | 2.50 |"]);
        assert_eq!(table.doubts, ["x, magpie: lost 1", "x, mosquitto: lost 1"]);
    }
}
