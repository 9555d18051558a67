//! The specification's matching rules (MQTT 5 section 4.7, MQTT 3.1.1 section 4.7) written down as plainly as
//! possible, and random filters and topics that often meet. It shares no code with the index.

use proptest::prelude::*;

/// Keys of the tables in tests; any will do.
pub(crate) const SEEDS: [u64; 4] = [1, 2, 3, 4];

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
        (["#"], _) => true,
        ([], []) => true,
        ([], _) | (_, []) => false,
        // 4.7.1.3: `+` stands for one level, whatever it holds, be it empty.
        (["+", filter @ ..], [_, levels @ ..]) => matches_levels(filter, levels),
        ([literal, filter @ ..], [level, levels @ ..]) => {
            literal == level && matches_levels(filter, levels)
        }
    }
}

pub(crate) fn level() -> impl Strategy<Value = &'static str> {
    // `é` comes composed and decomposed: the two are different texts.
    prop_oneof![
        5 => Just("a"),
        5 => Just("b"),
        2 => Just("c"),
        1 => Just(""),
        1 => Just("$a"),
        1 => Just("\u{e9}"),
        1 => Just("e\u{301}"),
        1 => Just("a-level-that-is-longer-than-a-cell-of-the-text-pool"),
    ]
}

/// Topics of one to five levels out of a small alphabet.
pub(crate) fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |topic| !topic.is_empty())
}

/// Filters over the same alphabet, most with wildcards.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 1 => Just("+")];
    let levels = prop::collection::vec(level, 0..5);
    (levels, any::<bool>()).prop_filter_map("not empty", |(mut levels, below)| {
        if below {
            levels.push("#");
        }
        let filter = levels.join("/");
        (!filter.is_empty()).then_some(filter)
    })
}
