//! Topic names and filters: what is one, and which name a filter matches.

/// Prefix of a shared subscription.
const SHARE: &str = "$share/";

/// Whether a string can be a topic name: not empty and without wildcards.
/// [3.1.1 MQTT-4.7.1-1] [3.1.1 MQTT-4.7.3-1] [5 MQTT-4.7.0-1] [5 MQTT-4.7.3-1]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.bytes().any(|byte| byte == b'+' || byte == b'#')
}

/// Whether a string can be a filter: wildcards stand alone in their level, `#` at the end, and a shared
/// filter has a share name without wildcards and a filter behind it.
/// [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3] [5 MQTT-4.7.1-1] [5 MQTT-4.7.1-2] [5 MQTT-4.8.2-1] [5 MQTT-4.8.2-2]
pub fn is_filter(filter: &str) -> bool {
    match filter.strip_prefix(SHARE) {
        None => is_plain_filter(filter),
        Some(rest) => rest
            .split_once('/')
            .is_some_and(|(share, plain)| is_name(share) && is_plain_filter(plain)),
    }
}

fn is_plain_filter(filter: &str) -> bool {
    if filter.is_empty() {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && level.len() > 1 {
            return false;
        }
        if level == "#" && levels.peek().is_some() {
            return false;
        }
    }
    true
}

/// Share name and filter of a shared subscription.
pub fn shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix(SHARE)?.split_once('/')
}

/// Whether a filter without a share matches a name. Compared as received, byte by byte.
/// [3.1.1 MQTT-4.7.2-1] [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.2-1] [5 MQTT-4.7.3-4]
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = name.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (exact, Some(level)) if exact == level => {}
            (_, Some(_) | None) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    // [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3] [3.1.1 MQTT-4.7.3-1] [5 MQTT-4.7.1-1] [5 MQTT-4.7.1-2]
    // [5 MQTT-4.7.3-1] [5 MQTT-4.8.2-1] [5 MQTT-4.8.2-2]
    #[test]
    fn filters_are_told_from_strings_that_are_none() {
        for good in [
            "a",
            "/",
            "a/+",
            "+/+",
            "#",
            "a/#",
            "+",
            "/#",
            "a//b",
            "$share/g/a/#",
            "$SYS/#",
        ] {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            "a#",
            "a/#/b",
            "a+",
            "+a/b",
            "#/a",
            "$share/g",
            "$share//a",
            "$share/g/",
            "$share/+/a",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
    }

    // [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1] [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.3-4] [3.1.1 MQTT-3.3.2-3] [5 MQTT-3.3.2-3]
    #[test]
    fn matching_follows_the_examples_of_the_specification() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/wimbledon",
                true,
            ),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor", false),
            ("+/monitor", "$SYS/monitor", false),
            ("$SYS/#", "$SYS/monitor", true),
            ("ACCOUNTS", "Accounts", false),
        ];
        for (filter, name, expected) in cases {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }
}
