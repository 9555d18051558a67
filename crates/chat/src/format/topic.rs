//! The topics of the contract: taken apart when a client publishes, and matched against filters under `im/`.
//! Must not know who may use them.

/// What a client publishes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic<'a> {
    /// `im/to/<conv>`, or `im/to/<conv>/text`
    Send {
        conv: &'a str,
        /// Whether the payload is the text itself, whatever it begins with.
        is_text: bool,
    },
    /// `im/to/<conv>/<verb>`
    Verb { conv: &'a str, verb: Verb },
    /// `im/to/<conv>/device/<id>`
    Device { conv: &'a str, id: &'a str },
    /// `im/me/status`
    Status,
    /// `im/me/active`
    Active,
    /// `im/ask/<method>` or `im/ask/<method>/<rid>`
    Ask {
        method: &'a str,
        rid: Option<&'a str>,
    },
}

/// What is done to a conversation other than saying something in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Edit,
    Delete,
    React,
    Pin,
    Read,
    Received,
    Typing,
}

/// The topic a client published to; `None` if it is none of the contract's.
pub(crate) fn parse(topic: &str) -> Option<Topic<'_>> {
    let mut levels = topic.strip_prefix("im/")?.split('/');
    let (first, second, third, fourth) = (
        levels.next()?,
        levels.next().filter(|level| !level.is_empty())?,
        levels.next(),
        levels.next(),
    );
    if third == Some("") || fourth == Some("") || levels.next().is_some() {
        return None;
    }
    if let Some(id) = fourth {
        let is_device = first == "to" && third == Some("device");
        return is_device.then_some(Topic::Device { conv: second, id });
    }
    match (first, second, third) {
        ("to", conv, None) => Some(Topic::Send {
            conv,
            is_text: false,
        }),
        ("to", conv, Some("text")) => Some(Topic::Send {
            conv,
            is_text: true,
        }),
        ("to", conv, Some(verb)) => verb_of(verb).map(|verb| Topic::Verb { conv, verb }),
        ("me", "status", None) => Some(Topic::Status),
        ("me", "active", None) => Some(Topic::Active),
        ("ask", method, rid) => Some(Topic::Ask { method, rid }),
        _ => None,
    }
}

/// Whether a question is answered out of the store.
pub(crate) fn reads_store(method: &str) -> bool {
    matches!(method, "history" | "sync" | "conversations" | "members")
}

fn verb_of(level: &str) -> Option<Verb> {
    match level {
        "edit" => Some(Verb::Edit),
        "delete" => Some(Verb::Delete),
        "react" => Some(Verb::React),
        "pin" => Some(Verb::Pin),
        "read" => Some(Verb::Read),
        "received" => Some(Verb::Received),
        "typing" => Some(Verb::Typing),
        _ => None,
    }
}

/// Whether a filter covers a topic name. `im/…` names begin with no `$`, so wildcards need no exception for those.
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    let mut names = name.split('/');
    let mut filters = filter.split('/');
    loop {
        match (filters.next(), names.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            _ => return false,
        }
    }
}

/// Whether a filter covers more than one topic.
pub(crate) fn is_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a filter may cover topics of two given levels, such as `im/about/`.
pub(crate) fn may_match(filter: &str, prefix: &str) -> bool {
    let mut filters = filter.split('/');
    for level in prefix.trim_end_matches('/').split('/') {
        match filters.next() {
            Some("#") => return true,
            Some("+") => {}
            Some(given) if given == level => {}
            Some(_) | None => return false,
        }
    }
    filters.next().is_some()
}

/// Whether a filter surely covers every topic of three levels that begins with two given ones.
pub(crate) fn covers_all(filter: &str, prefix: &str) -> bool {
    matches(filter, &format!("{prefix}+"))
}

/// Whether a text can be one level of a topic that a client is sent: no separator, no wildcard, nothing a terminal
/// or a log would trip over.
pub(crate) fn is_level(text: &str) -> bool {
    !text.is_empty()
        && !text
            .chars()
            .any(|char| matches!(char, '/' | '+' | '#') || char.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_the_contract_and_no_others_are_taken_apart() {
        let cases = [
            (
                "im/to/@bob",
                Some(Topic::Send {
                    conv: "@bob",
                    is_text: false,
                }),
            ),
            (
                "im/to/@bob/text",
                Some(Topic::Send {
                    conv: "@bob",
                    is_text: true,
                }),
            ),
            (
                "im/to/eng/read",
                Some(Topic::Verb {
                    conv: "eng",
                    verb: Verb::Read,
                }),
            ),
            (
                "im/to/@bob/device/0a",
                Some(Topic::Device {
                    conv: "@bob",
                    id: "0a",
                }),
            ),
            ("im/to/@bob/device", None),
            ("im/to/@bob/device/", None),
            ("im/to/@bob/device/0a/b", None),
            ("im/ask/history/device/0a", None),
            ("im/me/status", Some(Topic::Status)),
            ("im/me/active", Some(Topic::Active)),
            (
                "im/ask/history",
                Some(Topic::Ask {
                    method: "history",
                    rid: None,
                }),
            ),
            (
                "im/ask/history/7",
                Some(Topic::Ask {
                    method: "history",
                    rid: Some("7"),
                }),
            ),
            ("im/to", None),
            ("im/to/", None),
            ("im/to/eng/", None),
            ("im/to/eng/paint", None),
            ("im/to/eng/read/now", None),
            ("im/in/eng", None),
            ("im/me/event", None),
            ("im/ask/", None),
            ("im/ask/history/7/8", None),
            ("im", None),
            ("", None),
            ("other/to/eng", None),
        ];
        for (topic, expected) in cases {
            assert_eq!(parse(topic), expected, "{topic:?}");
        }
    }

    #[test]
    fn filters_cover_as_in_mqtt() {
        for (filter, name, expected) in [
            ("im/#", "im/about/eng", true),
            ("im/about/#", "im/about/eng", true),
            ("im/about/+", "im/about/eng", true),
            ("im/about/eng", "im/about/eng", true),
            ("im/about/eng/#", "im/about/eng", true),
            ("im/+/eng", "im/about/eng", true),
            ("im/about", "im/about/eng", false),
            ("im/about/ops", "im/about/eng", false),
            ("im/about/+/x", "im/about/eng", false),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }
}
