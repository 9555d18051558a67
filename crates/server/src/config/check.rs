//! Texts in the configuration that have a form of their own. Each check says what is wrong; what would be right
//! stands in the table.

/// Levels, alone or as `target=level`, separated by commas.
pub(super) fn log_level(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',') {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level)
            .trim();
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(format!("`{level}` is not a level"));
        }
    }
    Ok(())
}

/// A topic filter of the access list, with `%u` and `%c` as whole levels.
pub(super) fn topic_filter(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 65_535 || text.contains('\0') {
        return Err("a topic filter has 1 to 65535 bytes and no NUL".to_owned());
    }
    if text == "im" || text.starts_with("im/") {
        return Err(
            "the `im/` tree belongs to the messenger and is not governed by the access list"
                .to_owned(),
        );
    }
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => {
                return Err("`#` stands only at the end of a filter".to_owned());
            }
            "#" | "+" | "%u" | "%c" => {}
            _ if level.contains(['#', '+']) => {
                return Err(format!(
                    "`#` and `+` are whole levels, but there is `{level}`"
                ));
            }
            _ if level.contains("%u") || level.contains("%c") => {
                return Err(format!(
                    "`%u` and `%c` are whole levels, but there is `{level}`"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An account name, `*` or `anonymous`.
pub(super) fn who(text: &str) -> Result<(), String> {
    if text == "*" || text == "anonymous" {
        return Ok(());
    }
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest = bytes
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if first && rest && text.len() <= 64 {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not an account name ([a-z0-9][a-z0-9._-]{{0,63}})"
    ))
}
