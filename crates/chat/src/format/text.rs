//! Text for people: names in one normal form, and messages as a terminal may safely show them.

use bytes::Bytes;
use unicode_normalization::UnicodeNormalization;

use crate::refusal::Refusal;

/// What a terminal shows of a message: `from: text`. Control characters are replaced, so that nobody can move the cursor of
/// somebody else's terminal, and the second and further lines are set in, so that none can pass for another message.
pub(crate) fn line(from: &str, text: Option<&str>) -> Bytes {
    let text = text.unwrap_or("[attachment]");
    let mut line = String::with_capacity(from.len() + 2 + text.len());
    line.push_str(from);
    line.push_str(": ");
    for char in text.chars() {
        match char {
            '\n' => line.push_str("\n  "),
            '\t' => line.push('\t'),
            _ if char.is_control() || is_direction(char) => line.push('\u{fffd}'),
            _ => line.push(char),
        }
    }
    line.into()
}

/// A text in the normal form in which names are kept: NFC.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// A title or display name in NFC, without blanks around it.
pub(crate) fn title(what: &str, given: &str, bytes_max: usize) -> Result<String, Refusal> {
    // NFC grows a text at most threefold: https://www.unicode.org/faq/normalization.html
    if given.len() > bytes_max {
        return Err(Refusal::title_too_long(what, bytes_max));
    }
    let title = composed(given.trim());
    if title.len() > bytes_max {
        return Err(Refusal::title_too_long(what, bytes_max));
    }
    if title.is_empty() {
        return Err(Refusal::payload(format!("{what} is empty")));
    }
    if title
        .chars()
        .any(|char| char.is_control() || is_direction(char))
    {
        return Err(Refusal::payload(format!(
            "{what} has control characters in it"
        )));
    }
    Ok(title)
}

/// Characters that turn the direction of the text around them.
fn is_direction(char: char) -> bool {
    matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_attack_a_terminal_nor_pass_for_another() {
        let cases = [
            ("hi", "bob: hi"),
            ("a\tb", "bob: a\tb"),
            (
                "\u{1b}[2J\u{7}\r\u{9b}x",
                "bob: \u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}x",
            ),
            ("one\nalice: two", "bob: one\n  alice: two"),
            ("\u{202e}abc", "bob: \u{fffd}abc"),
            ("안녕 👋🏽", "bob: 안녕 👋🏽"),
        ];
        for (text, expected) in cases {
            assert_eq!(line("bob", Some(text)), expected.as_bytes(), "{text:?}");
        }
        assert_eq!(&line("bob", None)[..], b"bob: [attachment]");
    }

    #[test]
    fn titles_are_nfc_and_bounded() {
        let decomposed = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}";
        assert_eq!(
            title("the title", &format!(" {decomposed} "), 256).as_deref(),
            Ok("한글")
        );
        for wrong in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(257)] {
            assert!(title("the title", wrong, 256).is_err(), "{wrong:?}");
        }
    }
}
