//! What is measured: the scenarios of `xtask/bench.toml`, where their figures stand in a generator's report, and the goals.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::goal::Goal;

const PATH: &str = "xtask/bench.toml";
/// The core of a server where a scenario says nothing else.
const CORE: &str = "0";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// One way to load a server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) about: String,
    arguments: String,
    /// Which generator makes the load.
    #[serde(default)]
    pub(crate) tool: Tool,
    /// Magpie only: no other server has it, or it would say nothing.
    #[serde(default)]
    pub(crate) alone: bool,
    /// Whether mosquitto is to keep its state on disk as well.
    #[serde(default)]
    pub(crate) persistent: bool,
    /// The server's cores.
    #[serde(default = "core")]
    pub(crate) cores: String,
    #[serde(default)]
    pub(crate) magpie_config: String,
    /// How often at most, where one run takes long and says enough.
    pub(crate) runs: Option<u32>,
    pub(crate) readings: Vec<Reading>,
}

fn core() -> String {
    CORE.to_owned()
}

/// What makes the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tool {
    #[default]
    Mqload,
    /// `crates/harness/examples/durable_load.rs` on ordinary topics.
    DurableTopic,
    /// The same through the messenger, which starts a server of its own.
    DurableChat,
    /// `crates/harness/examples/measure`, which starts a server of its own.
    Measure,
    /// `crates/broker/examples/sessions.rs`: one shard without a socket, and no server at all.
    Core,
    /// `crates/broker/examples/shards.rs`: several of them, each with a thread, on the scenario's cores.
    Shards,
}

impl Tool {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Mqload => "mqload",
            Self::DurableTopic | Self::DurableChat => "durable_load",
            Self::Measure => "measure",
            Self::Core => "sessions",
            Self::Shards => "shards",
        }
    }
}

/// One figure of a report.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reading {
    pub(crate) label: String,
    /// A JSON pointer.
    at: String,
    /// With it the figure is this divided by what the report says.
    over: Option<f64>,
    /// Whether less is better.
    #[serde(default)]
    pub(crate) less: bool,
    pub(crate) goal: Option<Goal>,
    /// What the kernel alone costs, as the goals' author measured it.
    pub(crate) floor: Option<String>,
}

/// The scenarios of these names and those that their goals compare with, in the file's order; all without a name.
pub(crate) fn read(root: &Path, names: &[String]) -> Result<Vec<Scenario>> {
    let text = fs::read_to_string(root.join(PATH)).context(PATH)?;
    let file: File = toml::from_str(&text).context(PATH)?;
    let known: Vec<_> = file.scenario.iter().map(|s| s.name.clone()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!(
            "no such scenario: {unknown} (there are {})",
            known.join(", ")
        );
    }
    let mut wanted = names.to_vec();
    for scenario in file.scenario.iter().filter(|s| names.contains(&s.name)) {
        wanted.extend(scenario.compared_with().map(str::to_owned));
    }
    let chosen = file.scenario.into_iter();
    Ok(chosen
        .filter(|scenario| names.is_empty() || wanted.contains(&scenario.name))
        .collect())
}

impl Scenario {
    /// The generator's arguments for this measured time.
    pub(crate) fn arguments(&self, secs: u32) -> Vec<String> {
        self.arguments
            .replace("{secs}", &secs.to_string())
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    fn compared_with(&self) -> impl Iterator<Item = &str> {
        let goals = self
            .readings
            .iter()
            .filter_map(|reading| reading.goal.as_ref());
        goals.filter_map(Goal::scenario)
    }
}

impl Reading {
    /// The figure in this report, if it has it.
    pub(crate) fn of(&self, report: &Value) -> Option<f64> {
        let value = report.pointer(&self.at)?.as_f64()?;
        match self.over {
            Some(over) if value > 0.0 => Some(over / value),
            Some(_) => None,
            None => Some(value),
        }
    }

    /// What tells it from others, for a goal that compares it with the same in another scenario.
    pub(crate) fn place(&self) -> &str {
        &self.at
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn project() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn the_projects_scenarios_can_be_read() {
        let all = read(&project(), &[]).expect("bench.toml has the right form");
        assert!(all.len() > 15);
        let one = read(&project(), &["pairs-0".to_owned()]).expect("is there");
        assert_eq!(one.len(), 1);
        assert!(
            one[0]
                .arguments(7)
                .ends_with(&["--secs".to_owned(), "7".to_owned()])
        );
        assert!(read(&project(), &["nothing".to_owned()]).is_err());
    }

    #[test]
    fn every_comparison_has_both_sides() {
        let all = read(&project(), &[]).expect("bench.toml has the right form");
        for scenario in &all {
            for reading in scenario.readings.iter() {
                let Some(other) = reading.goal.as_ref().and_then(Goal::scenario) else {
                    continue;
                };
                let other = all
                    .iter()
                    .find(|scenario| scenario.name == other)
                    .expect("is there");
                assert!(
                    other.readings.iter().any(|theirs| theirs.at == reading.at),
                    "{}",
                    scenario.name
                );
                let both =
                    read(&project(), std::slice::from_ref(&scenario.name)).expect("is there");
                assert_eq!(both.len(), 2, "what it is compared with runs too");
            }
        }
    }

    #[test]
    fn a_reading_may_be_turned_over() {
        let reading: Reading =
            toml::from_str("label = \"x\"\nat = \"/a/b\"\nover = 1000000").expect("is a reading");
        assert_eq!(reading.of(&json!({ "a": { "b": 4 } })), Some(250_000.0));
        assert_eq!(reading.of(&json!({ "a": { "b": 0 } })), None);
        assert_eq!(reading.of(&json!({ "a": {} })), None);
    }
}
