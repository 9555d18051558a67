//! The page's table of letters that look like others is that of the library by which the server judges names, as far as
//! the scripts go in which two names could be taken for each other. `UPDATE_WEB=1 cargo test -p http-api --test confusables`
//! writes it.

use std::fmt::Write as _;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, UnicodeScript};

const ROWS_IN_A_LINE: usize = 40;

#[test]
fn the_page_knows_the_same_lookalikes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/src/chat/confusables.ts");
    let expected = table();
    if std::env::var_os("UPDATE_WEB").is_some() {
        std::fs::write(&path, &expected).expect("the sources can be written to");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "web/src/chat/confusables.ts is out of date: UPDATE_WEB=1 cargo test -p http-api --test confusables"
    );
}

fn table() -> String {
    let rows: Vec<String> = ('\0'..=char::MAX).filter_map(row).collect();
    let mut text = String::from(
        "// Letters and what they look like, of Unicode Technical Standard 39. Written by a test of `http-api` (`confusables.rs`),\n\
         // loaded once there are names to compare.\n\nconst ROWS = `\n",
    );
    for line in rows.chunks(ROWS_IN_A_LINE) {
        writeln!(text, "{}", line.join(" ")).expect("a string can be written to");
    }
    text.push_str(
        "`;\n\n/** A letter, and the letters that it looks like. */\n\
         export const confusables: ReadonlyMap<string, string> = new Map(\n  \
         ROWS.trim()\n    .split(/\\s/)\n    .map((row) => {\n      \
         const letter = String.fromCodePoint(row.codePointAt(0)!);\n      \
         return [letter, row.slice(letter.length)];\n    }),\n);\n",
    );
    text
}

/// A letter with its skeleton behind it, if it is one to which the page's own folding (NFKD) does not lead.
fn row(letter: char) -> Option<String> {
    let text = letter.to_string();
    let skeleton: String = unicode_security::skeleton(&text).collect();
    let compared = letter.is_alphanumeric()
        && text.nfkd().eq(text.chars())
        && skeleton != text
        && skeleton.chars().any(char::is_alphanumeric)
        && skeleton.chars().all(is_compared);
    compared.then(|| text + &skeleton)
}

fn is_compared(letter: char) -> bool {
    match letter.script() {
        Script::Latin
        | Script::Greek
        | Script::Cyrillic
        | Script::Han
        | Script::Hangul
        | Script::Hiragana
        | Script::Katakana
        | Script::Inherited => true,
        Script::Common => letter.is_alphanumeric(),
        _ => false,
    }
}
