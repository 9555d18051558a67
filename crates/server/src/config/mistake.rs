//! A mistake in the configuration and how it is told: file, line, key, what is wrong, what would be right.

use std::fmt;
use std::ops::Range;

/// The most mistakes that are told at once.
pub(super) const MISTAKES_MAX: usize = 20;

/// One mistake. Its `Display` is one line: `magpie.toml:3: mqtt.shards: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key with its section; empty where the file is not TOML at that place.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.problem)
    }
}

/// One mistake per line.
pub(super) fn lines(mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(Mistake::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Collects mistakes of one file, up to `MISTAKES_MAX`.
pub(super) struct Mistakes<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<Mistake>,
}

impl<'a> Mistakes<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            found: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        key: impl Into<String>,
        problem: impl Into<String>,
    ) {
        if self.found.len() == MISTAKES_MAX {
            return;
        }
        let before = self
            .text
            .as_bytes()
            .get(..span.start)
            .unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.found.push(Mistake {
            file: self.file.to_owned(),
            line,
            key: key.into(),
            problem: problem.into(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn found(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|mistake| mistake.line);
        self.found
    }
}

/// The known word that was probably meant: at most a third of it has to be changed.
pub(super) fn nearest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    known
        .into_iter()
        .map(|word| (distance(written, word), word))
        .filter(|(steps, word)| *steps <= (word.len() / 3).max(1))
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, word)| word)
}

/// Levenshtein's distance, one row at a time. `written` is cut, so that a long key costs little.
fn distance(written: &str, word: &str) -> usize {
    const WRITTEN_MAX: usize = 64;
    let word: Vec<char> = word.chars().collect();
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (above, letter) in written.chars().take(WRITTEN_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, known) in word.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *known);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(row[index] + 1).min(diagonal + 1);
        }
    }
    row[word.len()]
}
