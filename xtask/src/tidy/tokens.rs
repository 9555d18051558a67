//! Rust source as words and signs, without comments, texts and test code. Enough to find paths and names in;
//! it is no parser and knows no grammar beyond brackets.

/// A word or a sign with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Word(String),
    Sign(char),
}

impl Token {
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(word) => Some(word),
            TokenKind::Sign(_) => None,
        }
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        self.kind == TokenKind::Sign(sign)
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }
}

/// All tokens of a source text. Comments, lifetimes and the contents of literals are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader {
        rest: source,
        line: 1,
        found: Vec::new(),
    };
    while reader.step() {}
    reader.found
}

/// The tokens without items under `#[cfg(test)]`, and the names of the modules (in other files) that are under it.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut test_modules = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        match cfg_test_attribute(&tokens[index..]) {
            Some(length) => {
                let item = &tokens[index + length..];
                let end = item_length(item);
                if let [.., name, semicolon] = &item[..end]
                    && item.iter().take(end).any(|token| token.is_word("mod"))
                    && semicolon.is_sign(';')
                {
                    test_modules.extend(name.word().map(str::to_owned));
                }
                index += length + end;
            }
            None => {
                kept.push(tokens[index].clone());
                index += 1;
            }
        }
    }
    (kept, test_modules)
}

/// The length of `#[cfg(test)]` or `#[cfg(all(test, …))]` at the beginning, if that is what stands there.
fn cfg_test_attribute(tokens: &[Token]) -> Option<usize> {
    let [hash, open, cfg, ..] = tokens else {
        return None;
    };
    if !(hash.is_sign('#') && open.is_sign('[') && cfg.is_word("cfg")) {
        return None;
    }
    let length = bracketed_length(&tokens[1..])? + 1;
    let inner = &tokens[3..length];
    let first_words: Vec<_> = inner.iter().filter_map(Token::word).take(2).collect();
    matches!(first_words[..], ["test", ..] | ["all", "test"]).then_some(length)
}

/// How many tokens the item at the beginning has: up to its `;`, or its closing brace.
fn item_length(tokens: &[Token]) -> usize {
    let mut index = 0;
    while index < tokens.len() {
        if tokens[index].is_sign(';') {
            return index + 1;
        }
        if tokens[index].is_sign('{') {
            return index + bracketed_length(&tokens[index..]).unwrap_or(tokens.len() - index);
        }
        index += match &tokens[index].kind {
            TokenKind::Sign('(' | '[') => bracketed_length(&tokens[index..]).unwrap_or(1),
            TokenKind::Sign(_) | TokenKind::Word(_) => 1,
        };
    }
    tokens.len()
}

/// The length from the opening bracket at the beginning to the one that closes it.
pub(crate) fn bracketed_length(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Sign('(' | '[' | '{') => depth += 1,
            TokenKind::Sign(')' | ']' | '}') => depth = depth.checked_sub(1)?,
            TokenKind::Sign(_) | TokenKind::Word(_) => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Reader<'_> {
    /// Reads one token, literal, comment or blank; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        let length = match first {
            '/' if self.rest.starts_with("//") => self.rest.find('\n').unwrap_or(self.rest.len()),
            '/' if self.rest.starts_with("/*") => comment_length(self.rest),
            '"' => text_length(self.rest),
            '\'' => quote_length(self.rest),
            _ if is_word(first) => return self.word(),
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                self.push(TokenKind::Sign(first));
                first.len_utf8()
            }
        };
        self.skip(length);
        true
    }

    fn word(&mut self) -> bool {
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(length);
        let prefix = matches!(word, "r" | "b" | "br" | "c" | "cr");
        if prefix && behind.starts_with('"') && !word.contains('r') {
            self.skip(length + text_length(behind));
        } else if prefix && word.contains('r') && raw_text_length(behind).is_some() {
            self.skip(length + raw_text_length(behind).unwrap_or_default());
        } else if word == "b" && behind.starts_with('\'') {
            self.skip(length + quote_length(behind));
        } else if word == "r" && behind.starts_with('#') {
            // A raw identifier: `r#type` is the name `type`.
            self.skip(length + 1);
        } else {
            self.push(TokenKind::Word(word.to_owned()));
            self.skip(length);
        }
        true
    }

    fn push(&mut self, kind: TokenKind) {
        self.found.push(Token {
            kind,
            line: self.line,
        });
    }

    fn skip(&mut self, length: usize) {
        let (over, rest) = self.rest.split_at(length);
        self.line += over.matches('\n').count();
        self.rest = rest;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn text_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `"…"` or `#"…"#` (any number of `#`) behind an `r`.
fn raw_text_length(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let inner = text[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inner
        .find(&close)
        .map_or(inner.len(), |at| at + close.len());
    Some(hashes + 1 + end)
}

/// The length of a character literal, or of the `'` of a lifetime.
fn quote_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let Some((_, first)) = chars.next() else {
        return text.len();
    };
    if first == '\\' {
        // The escaped character itself may be a quote.
        chars.next();
        return chars
            .find(|(_, c)| *c == '\'')
            .map_or(text.len(), |(index, _)| index + 1);
    }
    match chars.next() {
        Some((index, '\'')) => index + 1,
        // A lifetime: the name behind the quote is dropped with it.
        Some(_) | None => 1 + text[1..].find(|c| !is_word(c)).unwrap_or(text.len() - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let (kept, _) = without_tests(&tokens(source));
        kept.iter()
            .filter_map(|token| token.word().map(str::to_owned))
            .collect()
    }

    #[test]
    fn comments_texts_and_lifetimes_hold_no_words() {
        let source = r##"
            // crate::a
            /* crate::b /* crate::c */ crate::d */
            let x: &'static str = "crate::e \" crate::f";
            let y = r#"crate::g " crate::h"#; let z = b"crate::i"; let c = 'q'; let d = '\''; let e = b'\\';
            fn r#type<'a>() {}
        "##;
        let expected = [
            "let", "x", "str", "let", "y", "let", "z", "let", "c", "let", "d", "let", "e", "fn",
            "type",
        ];
        assert_eq!(words(source), expected);
    }

    #[test]
    fn lines_are_counted_through_texts_and_comments() {
        let found = tokens("/* one\ntwo */\n\"three\nfour\"\nhere");
        assert_eq!(found.last().map(|token| token.line), Some(5));
    }

    #[test]
    fn test_code_is_left_out() {
        let source = "#[cfg(test)] use crate::a; fn b() {} #[cfg(test)] #[allow(x)] mod c { fn d() { e } } \
            #[cfg(all(test, unix))] fn f([g; 3]: h) -> i { j } #[cfg(not(test))] fn k() {} fn l() {}";
        let mut kept = words(source);
        kept.retain(|word| word.len() == 1);
        assert_eq!(kept, ["b", "k", "l"]);
        let (_, test_modules) = without_tests(&tokens("#[cfg(test)]\nmod tests;\nmod real;"));
        assert_eq!(test_modules, ["tests"]);
    }
}
