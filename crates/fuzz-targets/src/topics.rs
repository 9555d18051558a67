//! Target `topics`: what is a name, what is a filter, and which names a filter matches, on any two strings.

use mqtt_codec::topic;

use crate::naive;

/// Two strings, the first line and the rest.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (filter, name) = text.split_once('\n').unwrap_or((&text, ""));
    assert_eq!(
        topic::is_name(name),
        !name.is_empty() && !name.contains(['+', '#'])
    );
    assert_eq!(topic::is_filter(filter), is_filter(filter));
    if !topic::is_filter(filter) {
        return;
    }
    let plain = topic::shared(filter).map_or(filter, |(_, plain)| plain);
    if topic::is_name(name) {
        assert_eq!(
            topic::matches(plain, name),
            naive::matches(plain, name),
            "{plain} {name}"
        );
    }
}

/// Sections 4.7.1 and 4.8.2, level by level.
fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    if let ["$share", rest @ ..] = &levels[..]
        && !rest.is_empty()
    {
        let [name, plain @ ..] = rest else {
            return false;
        };
        return !name.is_empty() && !name.contains(['+', '#']) && is_plain(plain);
    }
    is_plain(&levels)
}

fn is_plain(levels: &[&str]) -> bool {
    let Some((last, before)) = levels.split_last() else {
        return false;
    };
    let lone = |level: &&str| *level == "+" || !level.contains(['+', '#']);
    !levels.concat().is_empty() | (levels.len() > 1)
        && before.iter().all(lone)
        && (*last == "#" || lone(last))
}
