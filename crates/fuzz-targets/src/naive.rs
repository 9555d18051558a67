//! The specification's matching rules (section 4.7) as plainly as possible, and topics and filters of a small alphabet
//! that often meet. It shares no code with the index or the codec.

use crate::feed::Feed;

/// Keys of the hash tables; any will do.
pub(crate) const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// Levels that crowd around the slash in byte order, are empty, hidden, long, or one text in two forms.
const LEVELS: [&str; 16] = [
    "a",
    "b",
    "c",
    "",
    "a!",
    "a0",
    "a!b",
    "%",
    "$",
    "$a",
    "\u{e9}",
    "e\u{301}",
    "\u{10ffff}",
    "a-level-that-is-longer-than-a-cell-of-the-text-pool",
    "ab",
    "A",
];
const LEVELS_MAX: usize = 6;

/// Whether a filter matches a topic.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let levels: Vec<&str> = topic.split('/').collect();
    // 4.7.2: no filter that starts with a wildcard matches a topic that starts with `$`.
    if topic.starts_with('$') && (filter[0] == "+" || filter[0] == "#") {
        return false;
    }
    matches_levels(&filter, &levels)
}

fn matches_levels(filter: &[&str], levels: &[&str]) -> bool {
    match (filter, levels) {
        // 4.7.1.2: `#` stands for the parent level and any number of child levels.
        (["#"], _) | ([], []) => true,
        ([], _) | (_, []) => false,
        // 4.7.1.3: `+` stands for one level, whatever it holds, be it empty.
        (["+", filter @ ..], [_, levels @ ..]) => matches_levels(filter, levels),
        ([literal, filter @ ..], [level, levels @ ..]) => {
            literal == level && matches_levels(filter, levels)
        }
    }
}

/// A topic that is not empty.
pub(crate) fn topic(feed: &mut Feed<'_>) -> String {
    let count = 1 + feed.below(LEVELS_MAX);
    let levels: Vec<&str> = (0..count).map(|_| *feed.choose(&LEVELS)).collect();
    let topic = levels.join("/");
    if topic.is_empty() {
        "a".to_owned()
    } else {
        topic
    }
}

/// A filter that is not empty, with wildcards more often than not.
pub(crate) fn filter(feed: &mut Feed<'_>) -> String {
    let shape = feed.byte();
    let count = usize::from(shape & 0x0F) % LEVELS_MAX;
    let below = shape & 0x10 != 0;
    let mut levels: Vec<&str> = Vec::new();
    for _ in 0..count {
        let pick = feed.byte();
        levels.push(match usize::from(pick) % 20 {
            0..=3 => "+",
            level => LEVELS[level - 4],
        });
    }
    if below {
        levels.push("#");
    }
    let filter = levels.join("/");
    if filter.is_empty() {
        "a".to_owned()
    } else {
        filter
    }
}
