//! What is measured: the scenarios of `xtask/bench.toml` and where their figures stand in mqload's report.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

const PATH: &str = "xtask/bench.toml";

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
    /// Whether mosquitto is to keep its state on disk as well.
    #[serde(default)]
    pub(crate) persistent: bool,
    pub(crate) readings: Vec<Reading>,
}

/// What makes the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tool {
    #[default]
    Mqload,
    /// `crates/harness/examples/durable_load.rs` on ordinary topics.
    DurableTopic,
    /// The same through the messenger, which starts a server of its own: there is nothing to compare it with.
    DurableChat,
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
}

/// The scenarios of these names, in the file's order; all without a name.
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
    let chosen = file.scenario.into_iter();
    Ok(chosen
        .filter(|scenario| names.is_empty() || names.contains(&scenario.name))
        .collect())
}

impl Scenario {
    /// mqload's arguments for this measured time.
    pub(crate) fn arguments(&self, secs: u32) -> Vec<String> {
        self.arguments
            .replace("{secs}", &secs.to_string())
            .split_whitespace()
            .map(str::to_owned)
            .collect()
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
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_projects_scenarios_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all = read(&root, &[]).expect("bench.toml has the right form");
        assert!(all.len() > 5);
        let one = read(&root, &[all[1].name.clone()]).expect("is there");
        assert_eq!(one.len(), 1);
        assert!(
            one[0]
                .arguments(7)
                .ends_with(&["--secs".to_owned(), "7".to_owned()])
        );
        assert!(read(&root, &["nothing".to_owned()]).is_err());
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
