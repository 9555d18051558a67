//! The words behind `cargo xtask`, taken one by one. Owns their form only; what they mean is each chore's business.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};

/// What is left of the command line.
pub(crate) struct Arguments {
    words: VecDeque<String>,
}

impl Arguments {
    /// Everything behind the program's name.
    pub(crate) fn from_command_line() -> Self {
        Self::new(std::env::args().skip(1))
    }

    /// For tests and for a chore that calls another.
    pub(crate) fn new(words: impl IntoIterator<Item = String>) -> Self {
        let words = words.into_iter().collect();
        Self { words }
    }

    /// The next word of whatever kind.
    pub(crate) fn next_word(&mut self) -> Option<String> {
        self.words.pop_front()
    }

    /// Whether `--name` was given; it is taken out.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// All values of `--name VALUE` or `--name=VALUE`; they are taken out.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        let mut rest = VecDeque::new();
        while let Some(word) = self.words.pop_front() {
            if word == name {
                let value = self.words.pop_front();
                values.push(value.with_context(|| format!("{name} needs a value"))?);
            } else if let Some(value) = word
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
            {
                values.push(value.to_owned());
            } else {
                rest.push_back(word);
            }
        }
        self.words = rest;
        Ok(values)
    }

    /// The number behind `--name`, if it was given.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u32>> {
        let values = self.values(name)?;
        let Some(value) = values.last() else {
            return Ok(None);
        };
        let number = value
            .parse()
            .with_context(|| format!("{name} needs a number: {value}"))?;
        Ok(Some(number))
    }

    /// Fails if anything is left that nobody asked for.
    pub(crate) fn end(self) -> Result<()> {
        match self.words.front() {
            None => Ok(()),
            Some(word) => bail!("unknown argument: {word}; `cargo xtask help` lists what there is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_and_values_are_taken_in_any_order() {
        let mut arguments = given("--only web --strict --only=e2e --rounds 40");
        assert!(arguments.flag("--strict"));
        assert!(!arguments.flag("--missing"));
        assert_eq!(
            arguments.values("--only").expect("two values"),
            ["web", "e2e"]
        );
        assert_eq!(arguments.number("--rounds").expect("a number"), Some(40));
        arguments.end().expect("nothing is left");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |outcome: Result<()>| outcome.expect_err("refused").to_string();
        assert!(message(given("--strcit").end()).contains("--strcit"));
        assert!(message(given("--only").values("--only").map(|_| ())).contains("--only"));
        assert!(message(given("--rounds x").number("--rounds").map(|_| ())).contains(": x"));
    }
}
