//! `cargo xtask spec`: which statements of the MQTT specifications that bind a server have a test that names them.
//! A test names a statement; whether it shows it is for the reader of the test to judge.

mod citations;
mod statements;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::tree;
use citations::Citation;
use statements::Statement;

/// Prints the list; with `--missing` only what has no test, with `--check` only what is wrong. Whether nothing is: every
/// statement that binds a server has a test, and every name that a test cites is a statement's.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let only_missing = arguments.flag("--missing");
    let only_check = arguments.flag("--check");
    arguments.end()?;
    let root = tree::root()?;
    let statements = statements::read(&root)?;
    let citations = citations::find(&root)?;
    let report = Report::new(&statements, &citations);
    for line in &report.mistakes {
        println!("{line}");
    }
    report.print_statements(only_missing || only_check);
    println!("{}", report.summary());
    Ok(report.is_whole())
}

struct Report<'a> {
    /// Statements that bind a server, with the places that name each.
    rows: Vec<(&'a Statement, Vec<&'a Citation>)>,
    mistakes: Vec<String>,
}

impl<'a> Report<'a> {
    fn new(statements: &'a [Statement], citations: &'a [Citation]) -> Self {
        let known: BTreeMap<_, _> = statements
            .iter()
            .map(|statement| (statement.name(), statement))
            .collect();
        let mut named: BTreeMap<String, Vec<&Citation>> = BTreeMap::new();
        let mut mistakes = Vec::new();
        for citation in citations {
            if known.contains_key(&citation.statement) {
                named
                    .entry(citation.statement.clone())
                    .or_default()
                    .push(citation);
            } else {
                mistakes.push(format!(
                    "{}:{}: no statement is called [{}]; see {}",
                    citation.path,
                    citation.line,
                    citation.statement,
                    statements::PATH
                ));
            }
        }
        let rows = statements
            .iter()
            .filter(|statement| statement.binds_server)
            .map(|statement| {
                let places = named.remove(&statement.name()).unwrap_or_default();
                (statement, places)
            })
            .collect();
        Self { rows, mistakes }
    }

    fn is_whole(&self) -> bool {
        self.mistakes.is_empty() && self.missing().next().is_none()
    }

    fn missing(&self) -> impl Iterator<Item = &'a Statement> {
        let without = self.rows.iter().filter(|(_, places)| places.is_empty());
        without.map(|(statement, _)| *statement)
    }

    fn print_statements(&self, only_missing: bool) {
        for (statement, places) in &self.rows {
            let name = statement.name();
            match places.split_first() {
                None => println!("none  [{name}] {}", statement.summary),
                Some(_) if only_missing => {}
                Some((first, more)) => {
                    let more = match more.len() {
                        0 => String::new(),
                        count => format!(" and {count} more"),
                    };
                    println!("test  [{name}] {}:{}{more}", first.path, first.line);
                }
            }
        }
    }

    fn summary(&self) -> String {
        let tested = self
            .rows
            .iter()
            .filter(|(_, places)| !places.is_empty())
            .count();
        format!(
            "spec: {tested} of {} statements have a test",
            self.rows.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(id: &str, binds_server: bool) -> Statement {
        Statement {
            version: "5".to_owned(),
            id: id.to_owned(),
            binds_server,
            summary: "…".to_owned(),
        }
    }

    fn citation(statement: &str) -> Citation {
        Citation {
            statement: statement.to_owned(),
            path: "crates/broker/tests/a.rs".to_owned(),
            line: 7,
        }
    }

    #[test]
    fn statements_are_counted_once_and_only_if_they_bind_a_server() {
        let statements = [
            statement("MQTT-1", true),
            statement("MQTT-2", false),
            statement("MQTT-3", true),
        ];
        let citations = [
            citation("5 MQTT-1"),
            citation("5 MQTT-1"),
            citation("5 MQTT-2"),
        ];
        let report = Report::new(&statements, &citations);
        assert_eq!(report.summary(), "spec: 1 of 2 statements have a test");
        assert!(report.mistakes.is_empty());
    }

    #[test]
    fn every_statement_that_binds_a_server_has_a_test_in_this_project() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let statements = statements::read(&root).expect("the list can be read");
        let citations = citations::find(&root).expect("the tests can be read");
        let report = Report::new(&statements, &citations);
        assert!(report.mistakes.is_empty(), "{:#?}", report.mistakes);
        let missing: Vec<_> = report.missing().map(Statement::name).collect();
        assert!(missing.is_empty(), "no test names {missing:?}");
    }

    #[test]
    fn a_statement_without_a_test_or_a_test_without_a_statement_fails() {
        let statements = [statement("MQTT-1", true), statement("MQTT-2", false)];
        let whole = |citations: &[Citation]| Report::new(&statements, citations).is_whole();
        assert!(whole(&[citation("5 MQTT-1")]));
        assert!(!whole(&[citation("5 MQTT-2")]));
        assert!(!whole(&[citation("5 MQTT-1"), citation("5 MQTT-9")]));
    }

    #[test]
    fn an_unknown_statement_is_a_mistake_with_its_place() {
        let report_of = |name| {
            let statements = [statement("MQTT-1", true)];
            let citations = [citation(name)];
            Report::new(&statements, &citations).mistakes
        };
        assert_eq!(report_of("5 MQTT-1"), Vec::<String>::new());
        for name in ["3.1.1 MQTT-1", "5 MQTT-9", "5.0 MQTT-1"] {
            let mistakes = report_of(name);
            assert_eq!(mistakes.len(), 1, "{name}");
            assert!(mistakes[0].starts_with(&format!(
                "crates/broker/tests/a.rs:7: no statement is called [{name}]"
            )));
        }
    }
}
