//! `${NAME}` in the texts of the configuration: an environment variable takes its place. Pure: it is told what there is.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistakes;

/// The value of an environment variable, if it is set.
pub(super) type Variable<'v> = &'v dyn Fn(&str) -> Option<String>;

/// Replaces them in every text of `table`, whose keys are below `path`.
pub(super) fn expand(
    path: &str,
    table: &mut DeTable<'_>,
    variable: Variable<'_>,
    mistakes: &mut Mistakes<'_>,
) {
    for (name, value) in table.iter_mut() {
        let path = match path {
            "" => name.get_ref().to_string(),
            above => format!("{above}.{}", name.get_ref()),
        };
        expand_value(&path, value, variable, mistakes);
    }
}

fn expand_value(
    path: &str,
    value: &mut Spanned<DeValue<'_>>,
    variable: Variable<'_>,
    mistakes: &mut Mistakes<'_>,
) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => match expanded(text, variable) {
            Ok(expanded) => *text = expanded.into(),
            Err(problem) => mistakes.add(&span, path, problem),
        },
        DeValue::Array(values) => {
            for value in values.iter_mut() {
                expand_value(path, value, variable, mistakes);
            }
        }
        DeValue::Table(table) => expand(path, table, variable, mistakes),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

/// `$${` is a `${` that is meant as it stands. A `$` before anything else is one too: topics such as `$SYS` begin with it.
fn expanded(text: &str, variable: Variable<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = behind;
            continue;
        }
        let name = behind.split_once('}').filter(|(name, _)| is_name(name));
        let Some((name, behind)) = name else {
            return Err(
                "`${` has to be followed by the name of an environment variable and `}`; for a `${` as it stands write `$${`"
                    .to_owned(),
            );
        };
        let value = variable(name).ok_or_else(|| {
            format!(
                "the environment variable {name} is not set; for `${{{name}}}` as it stands write `$${{{name}}}`"
            )
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}
