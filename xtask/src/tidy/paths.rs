//! Paths that a Rust source names: `use` trees taken apart, and paths within the code. Owns no rule.

use super::tokens::{Token, TokenKind, bracketed_length};

/// A path such as `crate::shard::Shard`, the module that names it, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) segments: Vec<String>,
    /// The name that a `use` gives it, if that is another one.
    pub(crate) alias: Option<String>,
    /// The modules opened within the file at that place.
    pub(crate) inside: Vec<String>,
    pub(crate) line: usize,
    /// Whether a `pub use` names it.
    pub(crate) reexport: bool,
}

/// Every path with at least two segments, and every path of a `use`.
pub(crate) fn named(tokens: &[Token]) -> Vec<NamedPath> {
    let mut walk = Walk {
        tokens,
        found: Vec::new(),
        inside: Vec::new(),
        depth: 0,
    };
    walk.run();
    walk.found
}

struct Walk<'a> {
    tokens: &'a [Token],
    found: Vec<NamedPath>,
    /// Open `mod name {` blocks and the depth at which each closes.
    inside: Vec<(String, usize)>,
    depth: usize,
}

impl Walk<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            at += match &token.kind {
                TokenKind::Word(word) if word == "use" => self.use_item(at),
                TokenKind::Word(word) if word == "mod" => {
                    self.open_module(at);
                    1
                }
                TokenKind::Word(_) => self.path(at),
                TokenKind::Sign('{') => {
                    self.depth += 1;
                    1
                }
                TokenKind::Sign('}') => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inside.retain(|(_, depth)| *depth <= self.depth);
                    1
                }
                TokenKind::Sign(_) => 1,
            };
        }
    }

    fn open_module(&mut self, at: usize) {
        if let (Some(name), Some(brace)) = (self.tokens.get(at + 1), self.tokens.get(at + 2))
            && let Some(name) = name.word()
            && brace.is_sign('{')
        {
            self.inside.push((name.to_owned(), self.depth + 1));
        }
    }

    /// A path within the code; returns how many tokens it has.
    fn path(&mut self, at: usize) -> usize {
        let mut segments = Vec::new();
        let mut end = at;
        while let Some(word) = self.tokens.get(end).and_then(Token::word) {
            segments.push(word.to_owned());
            end += 1;
            let is_colon = |index: usize| self.tokens.get(index).is_some_and(|t| t.is_sign(':'));
            let word_follows = self.tokens.get(end + 2).is_some_and(|t| t.word().is_some());
            if !(is_colon(end) && is_colon(end + 1) && word_follows) {
                break;
            }
            end += 2;
        }
        if segments.len() > 1 {
            self.push(segments, None, self.tokens[at].line, false);
        }
        end - at
    }

    /// `use a::{b, c as d};` from the word `use` on; returns how many tokens it has.
    fn use_item(&mut self, at: usize) -> usize {
        let length = self.tokens[at..]
            .iter()
            .position(|token| token.is_sign(';'))
            .unwrap_or(self.tokens.len() - at);
        // `use<'a>` in a type is no import.
        if self
            .tokens
            .get(at + 1)
            .is_some_and(|token| token.is_sign('<'))
        {
            return 1;
        }
        let before = at.checked_sub(1).and_then(|index| self.tokens.get(index));
        let reexport = before.is_some_and(|token| token.is_word("pub") || token.is_sign(')'));
        let tokens = self.tokens;
        self.tree(&tokens[at + 1..at + length], &[], reexport);
        length
    }

    fn tree(&mut self, tokens: &[Token], before: &[String], reexport: bool) {
        let mut segments = before.to_vec();
        let mut alias = None;
        let mut line = tokens.first().map_or(0, |token| token.line);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match &token.kind {
                TokenKind::Word(word) if word == "as" => {
                    alias = tokens.get(at + 1).and_then(Token::word).map(str::to_owned);
                    at += 2;
                }
                TokenKind::Word(word) => {
                    segments.push(word.clone());
                    line = token.line;
                    at += 1;
                }
                TokenKind::Sign('*') => {
                    segments.push("*".to_owned());
                    at += 1;
                }
                TokenKind::Sign('{') => {
                    let length = bracketed_length(&tokens[at..]).unwrap_or(tokens.len() - at);
                    let inner = &tokens[at + 1..at + length - 1];
                    for branch in branches(inner) {
                        self.tree(branch, &segments, reexport);
                    }
                    return;
                }
                TokenKind::Sign(_) => at += 1,
            }
        }
        if segments.len() > before.len() {
            if segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            self.push(segments, alias, line, reexport);
        }
    }

    fn push(&mut self, segments: Vec<String>, alias: Option<String>, line: usize, reexport: bool) {
        let inside = self.inside.iter().map(|(name, _)| name.clone()).collect();
        self.found.push(NamedPath {
            segments,
            alias,
            inside,
            line,
            reexport,
        });
    }
}

/// The parts between the commas that are not within braces.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            match token.kind {
                TokenKind::Sign('{') => depth += 1,
                TokenKind::Sign('}') => depth = depth.saturating_sub(1),
                TokenKind::Sign(_) | TokenKind::Word(_) => {}
            }
            depth == 0 && token.is_sign(',')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        named(&tokens(source))
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn use_trees_are_taken_apart() {
        assert_eq!(
            paths("use crate::{a::{self, B}, c::D as E, f::*}; use std::fs;"),
            [
                "crate::a",
                "crate::a::B",
                "crate::c::D",
                "crate::f::*",
                "std::fs"
            ]
        );
    }

    #[test]
    fn paths_in_the_code_count_as_well() {
        assert_eq!(
            paths("fn f(x: crate::a::B) { super::g::<u8>(); x.y(Self::Z) }"),
            ["crate::a::B", "super::g", "Self::Z"]
        );
    }

    #[test]
    fn a_path_knows_the_module_it_stands_in() {
        let found = named(&tokens(
            "mod a { mod b { use super::c; } use super::d; } use self::e;",
        ));
        let inside: Vec<_> = found.iter().map(|path| path.inside.join("::")).collect();
        assert_eq!(inside, ["a::b", "a", ""]);
    }

    #[test]
    fn reexports_and_new_names_are_told() {
        let found = named(&tokens("pub use a::B as C; pub(crate) use d::E; use f::G;"));
        let told: Vec<_> = found
            .iter()
            .map(|path| (path.reexport, path.alias.as_deref()))
            .collect();
        assert_eq!(told, [(true, Some("C")), (true, None), (false, None)]);
    }
}
