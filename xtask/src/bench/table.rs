//! What a scenario gave, and the table of them all: figures, ratios, goals, and notes on what is not to be trusted. Kept as
//! data between runs, so that one scenario can be measured again without the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::generator::{Run, Trust};
use super::goal::{MEASURE, figure};
use super::scenario::{Reading, Scenario};

const OURS: &str = "magpie";
/// Between these lines of a document the table is written.
const BEGIN: &str = "<!-- cargo xtask bench: begin -->";
const END: &str = "<!-- cargo xtask bench: end -->";

const NOTES: &str = "
† others were at work on the machine in every run; ‡ a promise was broken in every run, or the load was not sustained. What was
said against runs, and who could not do it:

";

/// One scenario's part of the table.
#[derive(Serialize, Deserialize)]
pub(crate) struct Outcome {
    scenario: String,
    lines: Vec<String>,
    command: String,
    notes: Vec<String>,
    /// Version, machine, how often and how long.
    conditions: String,
}

/// What a server did in one scenario.
pub(crate) enum Attempt {
    /// Its runs.
    Ran(Vec<Run>),
    /// It could not, or not to an end.
    Failed(String),
}

/// Magpie's figures by scenario and reading, for goals that compare them.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<(String, String), f64>);

struct Figure {
    value: f64,
    trust: Trust,
}

impl Attempt {
    /// The middle of what the most trustworthy of the runs gave.
    fn figure(&self, reading: &Reading) -> Option<Figure> {
        let Self::Ran(runs) = self else { return None };
        let trust = runs.iter().map(Run::trust).min()?;
        let of_that_kind = runs.iter().filter(|run| run.trust() == trust);
        let values = of_that_kind.filter_map(|run| reading.of(&run.report));
        Some(Figure {
            value: median(values.collect())?,
            trust,
        })
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Failed(reason) => vec![reason.clone()],
            Self::Ran(runs) => {
                let mut notes = Vec::new();
                for note in runs.iter().flat_map(Run::notes) {
                    // Runs differ in their numbers; one of each kind says enough.
                    let kind =
                        |note: &str| note.replace(|c: char| c.is_ascii_digit() || c == '.', "");
                    if !notes.iter().any(|other: &String| kind(other) == kind(note)) {
                        notes.push(note.to_owned());
                    }
                }
                notes
            }
        }
    }
}

impl Outcome {
    pub(crate) fn new(
        scenario: &Scenario,
        attempts: &[(&'static str, Attempt)],
        known: &mut Known,
        command: String,
        conditions: &str,
    ) -> Self {
        let mut lines = Vec::new();
        for (index, reading) in scenario.readings.iter().enumerate() {
            let title = if index == 0 {
                format!("`{}`: {}", scenario.name, scenario.about)
            } else {
                String::new()
            };
            let cells = cells(scenario, reading, attempts, known);
            lines.push(format!(
                "| {title} | {} | {} |",
                reading.label,
                cells.join(" | ")
            ));
        }
        let mut notes = Vec::new();
        for (name, attempt) in attempts {
            for note in attempt.notes() {
                notes.push(format!("`{}`, {name}: {note}", scenario.name));
            }
        }
        Self {
            scenario: scenario.name.clone(),
            lines,
            command,
            notes,
            conditions: conditions.to_owned(),
        }
    }

    /// Whether all that was asked of Magpie is there and nothing is said against it.
    pub(crate) fn is_clean(&self) -> bool {
        let ours = format!("`{}`, {OURS}: ", self.scenario);
        !self.notes.iter().any(|note| note.starts_with(&ours))
            && !self
                .lines
                .iter()
                .any(|line| line.contains("missed") || line.contains("not measured"))
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Magpie, mosquitto, the best of the others, the ratio to mosquitto, the goal, and what became of it.
fn cells(
    scenario: &Scenario,
    reading: &Reading,
    attempts: &[(&'static str, Attempt)],
    known: &mut Known,
) -> Vec<String> {
    let of = |name: &str| {
        let attempt = attempts.iter().find(|(other, _)| *other == name);
        attempt.and_then(|(_, attempt)| attempt.figure(reading))
    };
    let (ours, theirs) = (of(OURS), of(MEASURE));
    let peers = attempts
        .iter()
        .filter(|(name, _)| *name != OURS && *name != MEASURE);
    let peers = peers.filter_map(|(name, attempt)| Some((*name, attempt.figure(reading)?)));
    let best = peers
        .filter(|(_, figure)| figure.trust != Trust::Broken)
        .reduce(|a, b| {
            let b_is_better = if reading.less {
                b.1.value < a.1.value
            } else {
                b.1.value > a.1.value
            };
            if b_is_better { b } else { a }
        });
    let value = ours.as_ref().map(|figure| figure.value);
    let measure = theirs.as_ref().map(|figure| figure.value);
    if let Some(value) = value {
        known
            .0
            .insert((scenario.name.clone(), reading.place().to_owned()), value);
    }
    let ratio = match (value, measure) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2} ×", ours / theirs),
        _ => "–".to_owned(),
    };
    let floor = reading
        .floor
        .as_ref()
        .map_or_else(String::new, |floor| format!(" (floor {floor})"));
    let goal = reading
        .goal
        .as_ref()
        .map_or_else(|| "–".to_owned(), |goal| format!("{}{floor}", goal.text()));
    let verdict = reading.goal.as_ref().map_or_else(
        || "–".to_owned(),
        |goal| {
            let base = match goal.scenario() {
                Some(other) => known
                    .0
                    .get(&(other.to_owned(), reading.place().to_owned()))
                    .copied(),
                None => measure,
            };
            goal.verdict(value, base)
        },
    );
    let best = best.map_or_else(
        || "–".to_owned(),
        |(name, best)| format!("{} ({name})", cell(Some(&best))),
    );
    vec![
        cell(ours.as_ref()),
        cell(theirs.as_ref()),
        best,
        ratio,
        goal,
        verdict,
    ]
}

fn cell(shown: Option<&Figure>) -> String {
    let Some(shown) = shown else {
        return "–".to_owned();
    };
    let mark = match shown.trust {
        Trust::Whole => "",
        Trust::Disturbed => " †",
        Trust::Broken => " ‡",
    };
    format!("{}{mark}", figure(shown.value))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The outcomes, each once, in the order of the scenarios.
pub(crate) struct Table {
    outcomes: Vec<Outcome>,
    measure: String,
}

impl Table {
    /// `measure` is mosquitto's version.
    pub(crate) fn new(outcomes: Vec<Outcome>, measure: &str) -> Self {
        Self {
            outcomes,
            measure: measure.to_owned(),
        }
    }

    /// Takes what earlier runs gave for scenarios that this one did not measure, and keeps all for the next.
    pub(crate) fn join(mut self, kept: &Path, order: &[String]) -> Result<Self> {
        let text = fs::read_to_string(kept).unwrap_or_default();
        let earlier: Vec<Outcome> = serde_json::from_str(&text).unwrap_or_default();
        for outcome in earlier {
            if !self
                .outcomes
                .iter()
                .any(|own| own.scenario == outcome.scenario)
            {
                self.outcomes.push(outcome);
            }
        }
        self.outcomes
            .retain(|outcome| order.contains(&outcome.scenario));
        self.outcomes
            .sort_by_key(|outcome| order.iter().position(|name| *name == outcome.scenario));
        fs::write(kept, serde_json::to_string_pretty(&self.outcomes)?)?;
        Ok(self)
    }

    /// In Markdown: the conditions, the table, its notes, and the commands behind the rows.
    pub(crate) fn text(&self) -> String {
        let mut conditions: Vec<&str> = Vec::new();
        for outcome in &self.outcomes {
            if !conditions.contains(&outcome.conditions.as_str()) {
                conditions.push(&outcome.conditions);
            }
        }
        let mut text = String::new();
        for condition in &conditions {
            let mut rows = Vec::new();
            for outcome in &self.outcomes {
                if outcome.conditions == *condition {
                    rows.push(format!("`{}`", outcome.scenario));
                }
            }
            if conditions.len() > 1 {
                text.push_str(&format!("{}: ", rows.join(", ")));
            }
            text.push_str(&format!("{condition}.\n\n"));
        }
        text.push_str(&format!(
            "| scenario | reading | Magpie | {} | best peer | ratio | goal | |\n|---|---|--:|--:|--:|--:|--:|---|\n",
            self.measure
        ));
        for line in self.outcomes.iter().flat_map(|outcome| &outcome.lines) {
            text.push_str(line);
            text.push('\n');
        }
        let notes: Vec<_> = self
            .outcomes
            .iter()
            .flat_map(|outcome| &outcome.notes)
            .collect();
        if !notes.is_empty() {
            text.push_str(NOTES);
            for note in notes {
                text.push_str(&format!("- {note}\n"));
            }
        }
        text.push_str("\nThe commands:\n\n");
        for outcome in &self.outcomes {
            text.push_str(&format!(
                "- `{}`: `{}`\n",
                outcome.scenario, outcome.command
            ));
        }
        text
    }

    /// Puts the table into a document, in the place of the last one.
    pub(crate) fn write(&self, document: &Path) -> Result<()> {
        let name = document.display();
        let text = fs::read_to_string(document).with_context(|| name.to_string())?;
        let Some(written) = between(&text, &self.text()) else {
            bail!("{name} has no lines `{BEGIN}` and `{END}` to write between");
        };
        fs::write(document, written).with_context(|| name.to_string())
    }
}

fn between(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ran(values: &[f64], reason: Option<&str>) -> Attempt {
        let run = |value: &f64| Run {
            report: json!({ "a": value }),
            reasons: reason.map(str::to_owned).into_iter().collect(),
            disturbances: Vec::new(),
        };
        Attempt::Ran(values.iter().map(run).collect())
    }

    fn scenario(goal: &str) -> Scenario {
        let text = format!(
            "name = \"x\"\nabout = \"an x\"\narguments = \"pairs\"\nreadings = [{{ label = \"deliveries\", at = \"/a\", floor = \"9 ×\"{goal} }}]"
        );
        toml::from_str(&text).expect("is a scenario")
    }

    #[test]
    fn a_row_has_medians_the_best_peer_a_ratio_and_a_verdict() {
        let attempts = [
            ("magpie", ran(&[30.0, 10.0, 20.0], None)),
            ("mosquitto", ran(&[8.0, 9.0, 8.0], None)),
            ("rabbitmq", ran(&[900.0], Some("lost 1"))),
            ("ejabberd", ran(&[12.0], None)),
            ("nats", Attempt::Failed("SUBACK 0x80".to_owned())),
        ];
        let scenario = scenario(", goal = { least = 3, times = \"mosquitto\" }");
        let mut known = Known::default();
        let outcome = Outcome::new(
            &scenario,
            &attempts,
            &mut known,
            "mqload pairs".to_owned(),
            "here",
        );
        assert_eq!(
            outcome.lines(),
            [
                "| `x`: an x | deliveries | 20 | 8 | 12 (ejabberd) | 2.50 × | ≥ 3 × (floor 9 ×) | **missed** by 17 % |"
            ]
        );
        assert_eq!(
            outcome.notes(),
            ["`x`, rabbitmq: lost 1", "`x`, nats: SUBACK 0x80"]
        );
        assert!(!outcome.is_clean());
    }

    #[test]
    fn untrustworthy_runs_count_only_where_there_is_no_other() {
        let reading = &scenario("").readings[0];
        let mut runs = Vec::new();
        for (value, reason, trust) in [
            (1.0, Some("lost 5"), Trust::Broken),
            (7.0, None, Trust::Whole),
        ] {
            let Attempt::Ran(more) = ran(&[value], reason) else {
                panic!("it ran");
            };
            runs.extend(more);
            let attempt = Attempt::Ran(runs);
            let shown = attempt.figure(reading).expect("a figure");
            assert_eq!((shown.value, shown.trust), (value, trust));
            let Attempt::Ran(all) = attempt else {
                panic!("it ran");
            };
            runs = all;
        }
    }

    #[test]
    fn what_was_not_measured_again_is_kept() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let kept = folder.path().join("kept.json");
        let outcome = |name: &str, condition: &str| Outcome {
            scenario: name.to_owned(),
            lines: vec![format!("| {name} {condition} |")],
            command: "mqload".to_owned(),
            notes: Vec::new(),
            conditions: condition.to_owned(),
        };
        let order = ["a".to_owned(), "b".to_owned()];
        let first = Table::new(vec![outcome("a", "old"), outcome("b", "old")], "mosquitto");
        first.join(&kept, &order).expect("can be kept");
        let second = Table::new(vec![outcome("b", "new")], "mosquitto");
        let text = second.join(&kept, &order).expect("can be kept").text();
        assert!(text.contains("| a old |\n| b new |"), "{text}");
        assert!(
            text.contains("`a`: old.") && text.contains("`b`: new."),
            "{text}"
        );
    }

    #[test]
    fn a_document_keeps_what_stands_around_the_table() {
        let document = format!("# B\n{BEGIN}\nold\n{END}\nmore\n");
        assert_eq!(
            between(&document, "new\n"),
            Some(format!("# B\n{BEGIN}\n\nnew\n\n{END}\nmore\n"))
        );
        assert_eq!(between("# B\n", "new"), None);
    }
}
