//! JSON of strangers: the sentences about what is wrong with it, and what can be learnt without taking it apart.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::refusal::Refusal;

/// What a payload of JSON says, or what is wrong with it.
pub(crate) fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Refusal> {
    // serde takes an array for the keys of a struct in their order.
    let is_object = payload.trim_ascii_start().first() == Some(&b'{');
    if !is_object && serde_json::from_slice::<IgnoredAny>(payload).is_ok() {
        return Err(Refusal::payload("the payload must be a JSON object"));
    }
    serde_json::from_slice(payload).map_err(|error| refusal::<T>(payload, &error))
}

fn refusal<'a, T: Deserialize<'a>>(payload: &'a [u8], error: &serde_json::Error) -> Refusal {
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        return Refusal::invalid_json(format!(
            "the payload is not JSON, see line {line}, column {column}"
        ));
    }
    // It is read once more, so that whoever makes no mistake does not pay for knowing where it would be.
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let again: Result<T, _> = serde_path_to_error::deserialize(&mut reader);
    let Err(located) = again else {
        return Refusal::payload(bounded(error.to_string()));
    };
    let path = located.path().to_string();
    let message = located.inner().to_string();
    let key = if path == "." { "" } else { path.as_str() };
    // Only where serde's own words begin so: it repeats wrong values, which may say the same.
    let missing = message.strip_prefix("missing field `");
    if let Some((name, _)) = missing.and_then(|rest| rest.split_once('`')) {
        let dot = if key.is_empty() { "" } else { "." };
        return Refusal::missing_key(&bounded(format!("{key}{dot}{name}")));
    }
    let what = if key.is_empty() { "the payload" } else { key };
    let sentence = match expected(&message) {
        Some(expected) => format!("{what} must be {expected}"),
        None => format!("{what} does not fit: {message}"),
    };
    let refusal = Refusal::payload(bounded(sentence));
    if key.is_empty() {
        return refusal;
    }
    refusal.in_field(bounded(key.to_owned()))
}

/// What serde says it would have taken, in words that are not Rust's.
fn expected(message: &str) -> Option<String> {
    let (message, _) = message.rsplit_once(" at line ").unwrap_or((message, ""));
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(match expected {
        "u64" | "usize" | "u32" => "a whole number".to_owned(),
        "a borrowed string" => "a string".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        expected if expected.starts_with("struct ") => "a JSON object".to_owned(),
        expected => expected.replace('`', "\""),
    })
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
    use serde::Deserialize;

    use super::{depth, escaped, read};

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "it is read, and that is all")]
    struct Asked {
        seq: u64,
        #[serde(default)]
        on: bool,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        which: Option<Which>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Which {
        All,
        Joined,
    }

    #[test]
    fn a_wrong_payload_is_refused_with_the_key_that_is_wrong() {
        check(&[
            ("{", "invalid_json", None, "line 1, column 1"),
            ("\u{1}", "invalid_json", None, "not JSON"),
            (r#"{"seq":1} x"#, "invalid_json", None, "not JSON"),
            ("{}", "missing_key", Some("seq"), "seq is missing"),
            ("[1]", "payload_format", None, "must be a JSON object"),
            (
                "7",
                "payload_format",
                None,
                "the payload must be a JSON object",
            ),
            (
                r#"{"seq":"x"}"#,
                "payload_format",
                Some("seq"),
                "seq must be a whole number",
            ),
            (
                r#"{"seq":-1}"#,
                "payload_format",
                Some("seq"),
                "seq must be a whole number",
            ),
            (
                r#"{"seq":1,"on":3}"#,
                "payload_format",
                Some("on"),
                "on must be true or false",
            ),
            (
                r#"{"seq":1,"names":{}}"#,
                "payload_format",
                Some("names"),
                "names must be an array",
            ),
            (
                r#"{"seq":1,"names":["a",2]}"#,
                "payload_format",
                Some("names[1]"),
                "names[1] must be a string",
            ),
            (
                r#"{"seq":1,"which":"x"}"#,
                "payload_format",
                Some("which"),
                "which must be \"all\" or \"joined\"",
            ),
            (
                r#"{"seq":1,"seq":2}"#,
                "payload_format",
                None,
                "duplicate field",
            ),
        ]);
    }

    #[test]
    fn what_serde_repeats_is_not_what_it_says() {
        check(&[
            (
                r#"{"seq":"missing field `x`"}"#,
                "payload_format",
                Some("seq"),
                "seq must be a whole number",
            ),
            (
                r#"{"seq":1,"which":"missing field `on`, expected u64"}"#,
                "payload_format",
                Some("which"),
                "which must be",
            ),
        ]);
        // However long it is.
        let long = format!(r#"{{"seq":"missing field `{}`"}}"#, "\u{ad}".repeat(40_000));
        let refusal = read::<Asked>(long.as_bytes()).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("seq"));
        assert!(refusal.sentence.len() < 300);
    }

    /// Payload, code, field, and what stands in the sentence.
    type Case<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

    fn check(cases: &[Case<'_>]) {
        for (payload, code, field, sentence) in cases {
            let refusal = read::<Asked>(payload.as_bytes()).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (*code, *field));
            assert!(refusal.sentence.len() < 300);
            assert!(
                refusal.sentence.contains(sentence),
                "{payload}: {refusal:?}"
            );
        }
    }

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
