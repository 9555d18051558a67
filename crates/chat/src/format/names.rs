//! Names that people see of others: which characters they may have, and which names of accounts look alike.
//! The rules are those of Unicode Technical Standard 39, <https://www.unicode.org/reports/tr39/>, as far as they suit free text.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};
use unicode_security::mixed_script::AugmentedScriptSet;

use crate::format::text;
use crate::refusal::Refusal;

/// Marks one above another on a letter. (UTS 39, 5.4)
const MARKS_MAX: usize = 4;
const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
/// What stands behind a black flag to make it the flag of England, Scotland or Wales: the only sequences of tags that there are.
/// (Unicode Technical Standard 51, ED-14a)
const FLAG: char = '\u{1f3f4}';
const FLAG_TAGS: [&str; 3] = [
    "\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// A display name or a group's title: like [`text::title`], with one space between words, nothing in it that is not seen, and no
/// word of several scripts.
pub(crate) fn shown(what: &str, given: &str, bytes_max: usize) -> Result<String, Refusal> {
    let name = text::title(what, given, bytes_max)?;
    if let Some(char) = unseen(&name) {
        return Err(Refusal::payload(format!(
            "{what} has a character that is not seen: U+{:04X}",
            u32::from(char)
        )));
    }
    if is_piled(&name) {
        let sentence = format!("{what} has more than {MARKS_MAX} marks on one letter");
        return Err(Refusal::payload(sentence));
    }
    let mixed = name.split(ends_word).find_map(mixed_scripts);
    if let Some((one, other)) = mixed {
        return Err(Refusal::payload(format!(
            "{what} has {} and {} letters in one word",
            one.full_name(),
            other.full_name()
        )));
    }
    Ok(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What names that look alike have in common. (UTS 39, 4)
pub(crate) fn skeleton(name: &str) -> String {
    if !name.is_ascii() {
        return unicode_security::skeleton(name).collect();
    }
    // A million accounts are read at the start: no search for each letter.
    let letters = name.bytes().map(|byte| &*OF_ASCII[usize::from(byte)]);
    letters.collect()
}

/// Skeletons of the letters whose names need no normalizing.
static OF_ASCII: LazyLock<Vec<String>> = LazyLock::new(|| {
    let letters = ('\0'..='\x7f').map(String::from);
    letters
        .map(|letter| unicode_security::skeleton(&letter).collect())
        .collect()
});

/// The first character that leaves no trace on a screen, or changes how those around it are shown, where no emoji and no
/// script needs it.
fn unseen(name: &str) -> Option<char> {
    let mut rest = name.chars();
    let (mut before, mut base) = (None, None);
    while let Some(char) = rest.next() {
        let next = rest.clone().next();
        let needed = match char {
            NON_JOINER | JOINER if before.is_some_and(is_virama) => true,
            NON_JOINER => before.is_some_and(is_arabic) && next.is_some_and(is_arabic),
            JOINER => base.is_some_and(is_picture) && next.is_some_and(is_picture),
            EMOJI_STYLE if next == Some(KEYCAP) => before.is_some_and(|of| of.is_emoji_char()),
            EMOJI_STYLE | TEXT_STYLE => before.is_some_and(is_picture),
            _ => !is_unseen(char),
        };
        if !needed {
            return Some(char);
        }
        before = Some(char);
        if char != EMOJI_STYLE {
            base = before;
        }
        let tags = FLAG_TAGS
            .iter()
            .find(|tags| char == FLAG && rest.as_str().starts_with(*tags));
        if let Some(tags) = tags {
            rest = rest.as_str()[tags.len()..].chars();
        }
    }
    None
}

/// Default_Ignorable_Code_Point, which by its stability policy gets no new blocks; other characters of format; and what a font
/// leaves blank.
fn is_unseen(char: char) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    let ignorable = matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    ignorable || char == BRAILLE_BLANK || char.general_category() == GeneralCategory::Format
}

/// An emoji that is one without a keycap.
fn is_picture(char: char) -> bool {
    !char.is_ascii() && char.is_emoji_char()
}

/// It joins consonants, and a joiner behind it says how. (RFC 5892, A.1 and A.2)
fn is_virama(char: char) -> bool {
    const VIRAMA: u8 = 9;
    canonical_combining_class(char) == VIRAMA
}

fn is_arabic(char: char) -> bool {
    char.script() == Script::Arabic
}

fn is_piled(name: &str) -> bool {
    let mut marks = 0;
    name.nfd().any(|char| {
        marks = match char.general_category() {
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => marks + 1,
            _ => 0,
        };
        marks > MARKS_MAX
    })
}

fn ends_word(char: char) -> bool {
    !(char.is_alphanumeric() || is_combining_mark(char) || matches!(char, JOINER | NON_JOINER))
}

/// Two scripts of a word that is beyond "moderately restrictive": one script, or Latin and one more that has no letters like
/// Latin ones, or the scripts of Japanese, Korean or Bopomofo, with Latin. (UTS 39, 5.2)
fn mixed_scripts(word: &str) -> Option<(Script, Script)> {
    let mut all = AugmentedScriptSet::default();
    let mut but_latin = AugmentedScriptSet::default();
    for char in word.chars() {
        let scripts = AugmentedScriptSet::from(char);
        all.intersect_with(scripts);
        if !scripts.base.contains_script(Script::Latin) {
            but_latin.intersect_with(scripts);
        }
    }
    let one_more = || {
        let mut scripts = but_latin.base.iter();
        let script = scripts.next();
        script.is_some_and(|script| !matches!(script, Script::Cyrillic | Script::Greek))
            && scripts.next().is_none()
    };
    if !all.is_empty() || but_latin.kore || but_latin.hanb || but_latin.jpan || one_more() {
        return None;
    }
    let mut named = word
        .chars()
        .map(|char| char.script())
        .filter(|script| !matches!(script, Script::Common | Script::Inherited));
    let one = named.next()?;
    let other = named.find(|script| *script != one)?;
    Some((one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: Result<&str, &str>) {
        let outcome = shown("the name", given, 256);
        match (outcome.as_deref(), expected) {
            (Ok(name), Ok(expected)) => assert_eq!(name, expected),
            (Err(refusal), Err(word)) => {
                assert!(refusal.sentence.contains(word), "{}", refusal.sentence);
                assert_eq!(refusal.code, "payload_format");
            }
            (outcome, expected) => panic!("{given:?}: {outcome:?} and not {expected:?}"),
        }
    }

    #[test]
    fn names_of_all_languages_and_emoji_pass() {
        for name in [
            "Bob",
            "김철수",
            "LG전자 디자인팀",
            "K팝 R&D",
            "東京ラジオ",
            "Tシャツ部",
            "李小龍ㄅ",
            "Иван Smith",
            "API-шлюз",
            "Ωμέγα team",
            "נועה",
            "علی‌رضا",
            "ශ්‍රී ලංකා",
            "हिन्दी क्‍ष",
            "Ünal Ğ",
            "Việt Nguyễn",
            "O'Brien-Smith (QA) #1 ½",
            "👨‍👩‍👧‍👦 가족",
            "🏳️‍🌈 1️⃣ ❤️ ☎︎",
            "👩🏽‍💻",
            "👁️‍🗨️",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} Alba",
            "🇰🇷",
        ] {
            check(name, Ok(name));
        }
        check("  Bob \u{a0} \u{3000}Kim ", Ok("Bob Kim"));
    }

    #[test]
    fn what_is_not_seen_is_refused() {
        for char in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2060}',
            '\u{2064}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fffa}',
            '\u{e0001}',
            '\u{e0061}',
            '\u{e0100}',
            '\u{1d173}',
        ] {
            let named = format!("U+{:04X}", u32::from(char));
            for given in [
                format!("bo{char}b"),
                format!("{char}bob"),
                format!("밥{char}"),
            ] {
                check(&given, Err(&named));
            }
            check(&char.to_string(), Err(&named));
        }
        for (given, named) in [
            ("👍\u{200d}", "U+200D"),
            ("👍\u{200d}b", "U+200D"),
            ("1\u{200d}2", "U+200D"),
            ("1\u{fe0f}", "U+FE0F"),
            ("❤\u{fe0f}\u{fe0f}", "U+FE0F"),
            ("🏴\u{e0067}\u{e007f}", "U+E0067"),
        ] {
            check(given, Err(named));
        }
        for direction in ["a\u{202e}b", "a\u{2066}b", "a\nb"] {
            check(direction, Err("control characters"));
        }
    }

    #[test]
    fn a_word_of_scripts_that_look_alike_is_refused() {
        check("Аlice", Err("Cyrillic and Latin letters in one word"));
        check("good Bоb", Err("Latin and Cyrillic letters in one word"));
        check("αlice", Err("Greek and Latin"));
        check("한カ", Err("Hangul and Katakana"));
        check(
            "a\u{301}\u{301}\u{301}\u{301}\u{301}",
            Err("marks on one letter"),
        );
    }

    #[test]
    fn skeletons_are_the_same_where_names_look_alike() {
        for (one, other) in [("mary", "rnary"), ("alice", "a1ice"), ("раура", "paypa")] {
            assert_eq!(skeleton(one), skeleton(other));
        }
        assert_ne!(skeleton("bob"), skeleton("rob"));
        for pair in ('\0'..='\x7f').flat_map(|one| ('\0'..='\x7f').map(move |other| [one, other])) {
            let name = String::from_iter(pair);
            let expected: String = unicode_security::skeleton(&name).collect();
            assert_eq!(skeleton(&name), expected, "{name:?}");
        }
    }
}
