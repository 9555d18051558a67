//! Names that say nothing: `utils`, `common`, `Manager` and their kin, for files, folders, crates, modules and types.

use super::policy::Names;
use super::tokens;
use super::{Finding, Survey};

const RIGHT: &str = "name it after the noun that it owns";

pub(crate) fn check(survey: &Survey, findings: &mut Vec<Finding>) {
    let names = &survey.policy.names;
    for manifest in &survey.manifests {
        if let Some(word) = forbidden(names, &manifest.name) {
            let what = format!("crate name `{}` ({word})", manifest.name);
            findings.push(Finding::new(&manifest.path, 1, what, RIGHT));
        }
    }
    for file in survey.rust.iter().chain(&survey.web) {
        // The crate's or the web client's own folder is not part of the name of a file in it.
        for part in file.path.split('/').skip(1) {
            let stem = part.split('.').next().unwrap_or(part);
            if let Some(word) = forbidden(names, stem) {
                let what = format!("file or folder name `{part}` ({word})");
                findings.push(Finding::new(&file.path, 1, what, RIGHT));
            }
        }
    }
    for file in &survey.rust {
        let declares = ["struct", "enum", "trait", "type", "union", "mod"];
        check_declarations(names, &file.path, &file.text, &declares, findings);
    }
    for file in &survey.web {
        let declares = ["class", "interface", "type", "enum", "namespace"];
        check_declarations(names, &file.path, &file.text, &declares, findings);
    }
}

fn check_declarations(
    names: &Names,
    path: &str,
    text: &str,
    declares: &[&str],
    findings: &mut Vec<Finding>,
) {
    let tokens = tokens::tokens(text);
    for pair in tokens.windows(2) {
        let (Some(keyword), Some(name)) = (pair[0].word(), pair[1].word()) else {
            continue;
        };
        if !declares.contains(&keyword) {
            continue;
        }
        if let Some(word) = forbidden(names, name) {
            let what = format!("{keyword} `{name}` ({word})");
            findings.push(Finding::new(path, pair[1].line, what, RIGHT));
        }
    }
}

/// The forbidden word in a name, if it has one: `StringUtils`, `string_utils` and `string-utils` all hold `utils`.
fn forbidden<'a>(names: &'a Names, name: &str) -> Option<&'a str> {
    let words = words(name);
    let by_word = names.words.iter().find(|word| words.contains(word));
    let whole = || {
        names
            .whole
            .iter()
            .find(|whole| words.len() == 1 && words[0] == **whole)
    };
    by_word.or_else(whole).map(String::as_str)
}

/// The lower-case words of a name in any of the usual spellings.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut last_was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && last_was_lower) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        last_was_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_falls_into_its_words() {
        for spelling in ["SessionManager", "session_manager", "session-manager"] {
            assert_eq!(words(spelling), ["session", "manager"], "{spelling}");
        }
        assert_eq!(words("useful"), ["useful"]);
    }

    #[test]
    fn words_are_forbidden_anywhere_and_whole_names_alone() {
        let names = Names {
            words: vec!["utils".to_owned()],
            whole: vec!["types".to_owned()],
        };
        assert_eq!(forbidden(&names, "StringUtils"), Some("utils"));
        assert_eq!(forbidden(&names, "types"), Some("types"));
        assert_eq!(forbidden(&names, "ContentTypes"), None);
        assert_eq!(forbidden(&names, "utilise"), None);
    }
}
