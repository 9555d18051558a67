//! JSON of strangers: the sentences about what is wrong with it, and what can be learnt without taking it apart.

use serde::Deserialize;

use crate::refusal::Refusal;

/// The refusal of a payload that serde could not read.
pub(crate) fn refusal(error: &serde_json::Error) -> Refusal {
    let sentence = match error.classify() {
        serde_json::error::Category::Data => format!("the JSON does not fit: {error}"),
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => {
            format!(
                "the payload begins with '{{' but is not JSON, line {} column {}",
                error.line(),
                error.column()
            )
        }
    };
    Refusal::payload(bounded(sentence))
}

/// The mid of a message whose other keys are wrong.
pub(crate) fn mid_alone(whole: &str) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Mid {
        mid: Box<str>,
    }
    let found: Result<Mid, _> = serde_json::from_str(whole);
    found.ok().map(|found| found.mid)
}

/// Bytes that one byte of a text becomes at most in JSON.
pub(crate) const ESCAPED_BYTES_MAX: usize = 6;

/// Bytes of a text in JSON, as serde writes it.
pub(crate) fn escaped(text: &str) -> usize {
    let cost = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..0x20 => ESCAPED_BYTES_MAX,
        _ => 1,
    };
    text.bytes().map(cost).sum()
}

/// How deeply a valid JSON value is nested.
pub(crate) fn depth(valid: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in valid.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// serde repeats a wrong value in its sentence, however long and whatever is in it.
fn bounded(mut sentence: String) -> String {
    const SENTENCE_BYTES_MAX: usize = 200;
    sentence.truncate(sentence.floor_char_boundary(SENTENCE_BYTES_MAX));
    sentence
        .chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{depth, escaped};

    #[test]
    fn a_text_is_as_long_as_serde_makes_it() {
        let text: String = (0..0x250).filter_map(char::from_u32).collect();
        let written = serde_json::to_string(&text).unwrap();
        assert_eq!(escaped(&text) + 2, written.len());
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert_eq!(depth("1"), 0);
        assert_eq!(depth(r#"{"a":[1,{"b":[]}],"c":[]}"#), 4);
        assert_eq!(depth(r#"["[[[[\"[[", "\\"]"#), 1);
    }
}
