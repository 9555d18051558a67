//! `docs/topics-examples.md`: its commands are run with mosquitto's programs against the real server, from top to bottom,
//! and held to what the page says that they print. What the messenger says stands in the page alone and nowhere here.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use harness::{Needs, Program, Server, repository};
use serde_json::Value;

const PAGE: &str = "docs/topics-examples.md";
const CONTRACT: &str = "docs/topics.md";
const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];
/// What the page calls `SECRET`: one password for all accounts, and one word for the shell.
const PASSWORD: &str = "one-password-for-all";

/// What stands on the page for anything.
const ANYTHING: char = '…';
/// What a bare `…` among JSON is read as, which no string on the page is.
const ANY_VALUE: &str = "\u{fffd}";

/// Error codes that no example prints, and why.
const UNPRINTED: [(&str, &str); 2] = [
    ("disk_full", "the disk would have to be full"),
    ("unavailable", "the store would have to be behind"),
];

/// Commands, and what they print according to the page.
#[derive(Debug)]
struct Example {
    /// The line of the page where the commands begin.
    line: usize,
    commands: String,
    output: String,
}

/// Something printed: a line, or JSON and what stands before it in its line.
#[derive(Debug, PartialEq)]
enum Item {
    Line(String),
    Json(String, Value),
}

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap()
}

/// The examples of a page: blocks of `sh`, each with the block of `json` or `text` behind it, if there is one.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut has_output = true;
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        let (line, block) = (number + 2, block.join("\n"));
        match language {
            "sh" => {
                let (commands, output) = (block, String::new());
                examples.push(Example {
                    line,
                    commands,
                    output,
                });
                has_output = false;
            }
            "json" | "text" => {
                assert!(!has_output, "{PAGE}:{line}: no commands print this");
                has_output = true;
                let example = examples.last_mut().unwrap();
                let is_json =
                    |item: &Item| matches!(item, Item::Json(before, _) if before.is_empty());
                let fits = language == "text" || items(&block).iter().all(is_json);
                assert!(fits, "{PAGE}:{line}: this is not JSON");
                example.output = block;
            }
            other => panic!("{PAGE}:{line}: nobody runs or compares {other:?}"),
        }
    }
    examples
}

/// Takes apart what was printed, or what the page says. JSON may stand on several lines.
fn items(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.lines().next().unwrap();
        let json = line.find('{').and_then(|start| {
            let (value, length) = json(&rest[start..])?;
            let end = start + length;
            let ends_line = rest[end..].is_empty() || rest[end..].starts_with('\n');
            ends_line.then(|| (Item::Json(line[..start].to_owned(), value), end))
        });
        let (item, end) = json.unwrap_or_else(|| (Item::Line(line.to_owned()), line.len()));
        items.push(item);
        rest = rest[end..].strip_prefix('\n').unwrap_or_default();
    }
    items
}

/// The JSON object that `text` begins with, and its length there. Where `…` stands in place of a value, it has `ANY_VALUE`.
fn json(text: &str) -> Option<(Value, usize)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut strict = String::new();
    for (at, char) in text.char_indices() {
        if char == ANYTHING && !in_string {
            strict.push_str(&format!("{ANY_VALUE:?}"));
            continue;
        }
        strict.push(char);
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            '{' if !in_string => depth += 1,
            '}' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let value = serde_json::from_str(&strict).ok()?;
            return Some((value, at + char.len_utf8()));
        }
    }
    None
}

/// Whether `text` is what the page says, where `…` stands for any text.
fn text_fits(expected: &str, text: &str) -> bool {
    let Some((start, others)) = expected.split_once(ANYTHING) else {
        return expected == text;
    };
    let Some(rest) = text.strip_prefix(start) else {
        return false;
    };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| text_fits(others, &rest[at..]))
}

/// In what `value`, which stands at `path`, is not what the page says.
fn value_differences(path: &str, expected: &Value, value: &Value) -> Vec<String> {
    match (expected, value) {
        (Value::String(any), _) if any == ANY_VALUE => Vec::new(),
        (Value::String(expected), Value::String(text)) if text_fits(expected, text) => Vec::new(),
        (Value::Object(expected), Value::Object(found)) => {
            let mut differences = Vec::new();
            for (key, expected) in expected {
                let path = format!("{path}.{key}");
                match found.get(key) {
                    Some(value) => differences.extend(value_differences(&path, expected, value)),
                    None => differences.push(format!("{path} is not printed")),
                }
            }
            let unshown = found.iter().filter(|(key, _)| !expected.contains_key(*key));
            differences.extend(
                unshown.map(|(key, value)| format!("{path}.{key} is not on the page: {value}")),
            );
            differences
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let pairs = expected.iter().zip(found).enumerate();
            pairs
                .flat_map(|(at, (expected, value))| {
                    value_differences(&format!("{path}[{at}]"), expected, value)
                })
                .collect()
        }
        _ if expected == value => Vec::new(),
        _ => vec![format!("{path} is {value}, on the page {expected}")],
    }
}

/// In what `output` is not what the page says.
fn differences(expected: &str, output: &str) -> Vec<String> {
    let (expected, found) = (items(expected), items(output));
    let mut differences = Vec::new();
    if expected.len() != found.len() {
        let (found, expected) = (found.len(), expected.len());
        differences.push(format!("{found} lines are printed, on the page {expected}"));
    }
    for (at, (expected, item)) in expected.iter().zip(&found).enumerate() {
        let line = at + 1;
        match (expected, item) {
            (Item::Line(expected), Item::Line(text)) if text_fits(expected, text) => {}
            (Item::Json(before, expected), Item::Json(text, value)) if text_fits(before, text) => {
                let path = format!("line {line}: ");
                differences.extend(value_differences(&path, expected, value));
            }
            _ => differences.push(format!("line {line} is another one")),
        }
    }
    differences
}

/// Runs one example; in what its output is not what the page says, as a report.
fn run(server: &Server, example: &Example) -> Option<String> {
    let (host, port) = (server.mqtt().ip(), server.mqtt().port());
    let lines = example.commands.lines();
    let subscribers = lines.filter(|line| line.ends_with('&')).count();
    let mut script = Command::new(repository().join("tests/clients/shell/examples.sh"));
    script
        .args([host.to_string(), port.to_string(), subscribers.to_string()])
        .arg(example.commands.replace("SECRET", PASSWORD));
    let place = format!("{PAGE}:{}", example.line);
    let (_, output, errors) = Program::run(&place, &mut script, "");
    assert_eq!(errors, "", "{place}");
    let differences = differences(&example.output, &output);
    let report = || {
        format!(
            "{place}:\n{}\n--- prints\n{output}\n--- and on the page stands\n{}\n--- so that\n{}\n",
            example.commands,
            example.output,
            differences.join("\n")
        )
    };
    (!differences.is_empty()).then(report)
}

#[test]
fn every_example_prints_what_stands_below_it() {
    let test = "every_example_prints_what_stands_below_it";
    for program in ["mosquitto_sub", "mosquitto_pub", "mosquitto_rr"] {
        let installs = "apt-get install mosquitto-clients";
        if (Needs { test }).program(program, installs).is_none() {
            return;
        }
    }
    let server = Server::start();
    for name in ACCOUNTS {
        let input = format!("{PASSWORD}\n");
        let (status, _, errors) = server.account(&["add", name, "--password-stdin"], &input);
        assert!(status.success(), "{errors}");
    }
    let examples = examples(&read(PAGE));
    assert!(!examples.is_empty());
    // All of them, since a changed contract changes many.
    let reports: Vec<_> = examples
        .iter()
        .filter_map(|example| run(&server, example))
        .collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

/// The first column of the table below the heading `## title` of the contract: what stands there in backticks.
fn first_column(contract: &str, title: &str) -> Vec<String> {
    let section = contract.split("\n## ").find(|part| part.starts_with(title));
    let section = section.unwrap_or_else(|| panic!("{CONTRACT}: no heading {title:?}"));
    let section = section.split("\n### ").next().unwrap();
    let rows = section.lines();
    let cells = rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    // The cell's first backtick is gone: what was in backticks are its pieces 0, 2, 4 …
    let words: Vec<_> = cells
        .flat_map(|cell| cell.split('`').step_by(2).map(str::to_owned))
        .filter(|word| !word.is_empty())
        .collect();
    assert!(!words.is_empty(), "{CONTRACT}: no table below {title:?}");
    words
}

/// Whether a word of a command, a topic or a filter, is an example of a topic of the contract.
fn is_of_topic(topic: &str, word: &str) -> bool {
    let (mut levels, mut words) = (topic.split('/'), word.split('/'));
    loop {
        match (levels.next(), words.next()) {
            (None, None) | (Some(_), Some("#")) => return true,
            (Some(level), Some(word))
                if level.trim_start_matches('@').starts_with('<')
                    || word == "+"
                    || level == word => {}
            _ => return false,
        }
    }
}

#[test]
fn every_topic_question_and_error_of_the_contract_has_an_example() {
    let (page, contract) = (read(PAGE), read(CONTRACT));
    let examples = examples(&page);
    let words: Vec<_> = examples
        .iter()
        .flat_map(|example| example.commands.split_whitespace())
        .map(|word| word.trim_matches('\''))
        .collect();
    let mut missing = Vec::new();
    for title in ["What a client publishes", "What a client subscribes to"] {
        let topics = first_column(&contract, title);
        missing.extend(
            topics
                .into_iter()
                .filter(|topic| !words.iter().any(|word| is_of_topic(topic, word))),
        );
    }
    for method in first_column(&contract, "Asking") {
        let topic = format!("im/ask/{method}");
        let asks = |word: &&str| *word == topic || word.starts_with(&format!("{topic}/"));
        if !words.iter().any(asks) {
            missing.push(method);
        }
    }
    let errors = first_column(&contract, "Refusals");
    for (code, why) in UNPRINTED {
        assert!(errors.iter().any(|error| error == code), "{code}: {why}");
    }
    let unprinted = |code: &String| UNPRINTED.iter().any(|(unprinted, _)| unprinted == code);
    for code in errors.iter().filter(|code| !unprinted(code)) {
        let printed = format!(":\"{code}\"");
        if !examples
            .iter()
            .any(|example| example.output.contains(&printed))
        {
            missing.push(code.clone());
        }
    }
    assert!(missing.is_empty(), "{PAGE} has no example of {missing:?}");
}

#[test]
fn what_the_page_does_not_show_is_a_difference() {
    let check = |expected: &str, output: &str, count: usize| {
        let found = differences(expected, output);
        assert_eq!(found.len(), count, "{expected} {output}: {found:?}");
    };
    check(r#"{"a":1,"b":…}"#, r#"{"b":{"c":[2]},"a":1}"#, 0);
    check(
        "t {\"a\":[1,\n  \"x…z…\"]}\nend",
        "t {\"a\":[1,\"xyz {\"]}\nend",
        0,
    );
    check(r#"{"a":"…"}"#, r#"{"a":1}"#, 1);
    check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, 1);
    check(r#"{"a":{"b":1,"c":1}}"#, r#"{"a":{"b":2}}"#, 2);
    check(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, 1);
    check(r#"t {"a":1}"#, r#"u {"a":1}"#, 1);
    check("x {", "x {", 0);
    check("x … y", "x y", 1);
    check("", "something", 1);
    check("something", "", 1);
    check("a", "a\na", 1);
}
