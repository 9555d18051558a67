//! Names that unauthenticated clients chose, as they may stand in a log: shortened and cleaned.

/// Characters of a name that are told.
const NAME_CHARS_MAX: usize = 64;

/// A name as it may stand in a log.
pub(crate) fn clean(name: &str) -> String {
    let printed = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut clean: String = name.chars().take(NAME_CHARS_MAX).map(printed).collect();
    if name.chars().nth(NAME_CHARS_MAX).is_some() {
        clean.push('…');
    }
    clean
}

/// A client as an operator knows it: its account and its client id.
pub(crate) fn client(client: &broker::ClientName) -> String {
    let account = client.account.as_deref().unwrap_or("(anonymous)");
    format!("{}/{}", clean(account), clean(&client.client_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cleaned_and_shortened() {
        assert_eq!(clean("bob\n\u{1b}[31mroot"), "bob\u{FFFD}\u{FFFD}[31mroot");
        let long = "까".repeat(65);
        assert_eq!(clean(&long), format!("{}…", "까".repeat(64)));
        assert_eq!(clean(&long[3..]), "까".repeat(64));
    }
}
