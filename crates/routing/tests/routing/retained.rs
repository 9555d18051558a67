//! The retained index against a sorted list of topics and the naive matcher, its slices interleaved with
//! insertions and removals.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use routing::{LOOKED_AT_MAX, RetainedCursor, RetainedIndex};

use crate::naive;

#[derive(Debug, Clone)]
enum Step {
    Insert(String),
    Remove(String),
    /// One slice of at most so many topics.
    Slice(usize),
}

/// Topics that crowd around the slash in byte order: `a!`, `a/`, `a0`.
fn topic() -> impl Strategy<Value = String> {
    let level = prop_oneof![
        3 => naive::level(),
        1 => Just("a!"),
        1 => Just("a0"),
        1 => Just("a!b"),
        1 => Just("%"),
        1 => Just("$"),
        1 => Just("\u{10ffff}"),
    ];
    let levels = prop::collection::vec(level, 1..5);
    levels
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |topic| !topic.is_empty())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => topic().prop_map(Step::Insert),
        2 => topic().prop_map(Step::Remove),
        1 => (1..4usize).prop_map(Step::Slice),
    ]
}

fn all_matching(index: &RetainedIndex<u32>, filter: &str, limit: usize) -> Vec<u32> {
    let mut cursor = RetainedCursor::default();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        let more = index.matching(filter, &mut cursor, limit, |_, value| found.push(*value));
        assert!(
            found.len() - before <= limit,
            "{} topics in a slice of {limit}",
            found.len() - before
        );
        if !more {
            return found;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]
    #[test]
    fn slices_agree_with_a_sorted_list(
        topics in prop::collection::btree_map(topic(), any::<u32>(), 0..120),
        filters in prop::collection::vec(naive::filter(), 1..20),
        limit in 1..10usize,
    ) {
        let mut index = RetainedIndex::new();
        for (topic, value) in &topics {
            index.insert(topic, *value);
        }
        for filter in filters {
            let matching = topics.iter().filter(|(topic, _)| naive::matches(&filter, topic));
            let expected: Vec<u32> = matching.map(|(_, value)| *value).collect();
            prop_assert_eq!(all_matching(&index, &filter, limit), expected, "{}", filter);
        }
    }

    #[test]
    fn a_cursor_survives_insertions_and_removals(
        filter in naive::filter(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut index = RetainedIndex::new();
        let mut model: BTreeMap<String, u32> = BTreeMap::new();
        // What was there all along since the first slice must come exactly once; whatever else comes must have
        // been there at some time since then, and comes once.
        let mut stayed: Option<BTreeSet<String>> = None;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut delivered: Vec<String> = Vec::new();
        let mut cursor = RetainedCursor::default();
        for step in steps {
            match step {
                Step::Insert(topic) => {
                    let value = model.len() as u32;
                    let replaced = model.insert(topic.clone(), value).map(|old| (topic.clone(), old));
                    prop_assert_eq!(index.insert(&topic, (topic.clone(), value)), replaced);
                    prop_assert_eq!(index.get(&topic), Some(&(topic.clone(), value)));
                    seen.insert(topic);
                }
                Step::Remove(topic) => {
                    let removed = model.remove(&topic).map(|old| (topic.clone(), old));
                    prop_assert_eq!(index.remove(&topic), removed);
                    if let Some(stayed) = &mut stayed {
                        stayed.remove(&topic);
                    }
                }
                Step::Slice(limit) => {
                    if stayed.is_none() {
                        stayed = Some(model.keys().cloned().collect());
                        seen = model.keys().cloned().collect();
                    }
                    let mut found = Vec::new();
                    index.matching(&filter, &mut cursor, limit, |_, value| found.push(value.clone()));
                    for (topic, value) in found {
                        prop_assert_eq!(model.get(&topic), Some(&value), "present now");
                        delivered.push(topic);
                    }
                }
            }
            prop_assert_eq!(index.len(), model.len());
            prop_assert_eq!(index.topic_bytes(), model.keys().map(String::len).sum::<usize>());
        }
        let mut rest = Vec::new();
        while index.matching(&filter, &mut cursor, 3, |_, value| rest.push(value.clone())) {}
        delivered.extend(rest.into_iter().map(|(topic, _)| topic));
        prop_assert!(delivered.windows(2).all(|pair| pair[0] < pair[1]), "each once and in order: {:?}", delivered);
        for topic in &delivered {
            prop_assert!(naive::matches(&filter, topic) && (seen.contains(topic) || stayed.is_none()));
        }
        for topic in stayed.unwrap_or_default() {
            prop_assert!(!naive::matches(&filter, &topic) || delivered.contains(&topic), "{} is missing", topic);
        }
    }
}

// [3.1.1 MQTT-3.3.1-6] [5 MQTT-3.3.1-9]
#[test]
fn a_filter_finds_the_latest_value_of_each_topic() {
    let mut index = RetainedIndex::new();
    for (topic, value) in [
        ("a/b", 1),
        ("a/b", 2),
        ("a", 3),
        ("a/b/c", 4),
        ("b", 5),
        ("a!", 6),
        ("$a/b", 7),
    ] {
        index.insert(topic, value);
    }
    assert_eq!(all_matching(&index, "a/#", 9), [3, 2, 4]);
    assert_eq!(all_matching(&index, "+", 9), [3, 6, 5]);
    assert_eq!(all_matching(&index, "#", 9), [3, 6, 2, 4, 5]);
    assert_eq!(all_matching(&index, "+/b", 9), [2]);
    assert_eq!(all_matching(&index, "$a/+", 9), [7]);
    assert_eq!(all_matching(&index, "a/b", 9), [2]);
    assert_eq!(all_matching(&index, "a/x", 9), [] as [u32; 0]);
}

#[test]
fn a_slice_ends_where_nothing_matches_for_long() {
    let mut index = RetainedIndex::new();
    let topics = 10 * LOOKED_AT_MAX;
    for number in 0..topics {
        index.insert(&format!("room{number:06}/state"), number);
    }
    index.insert("z/temperature", topics);
    let mut cursor = RetainedCursor::default();
    let mut found = Vec::new();
    let mut slices = 0;
    while index.matching("+/temperature", &mut cursor, 100, |_, value| {
        found.push(*value)
    }) {
        slices += 1;
        assert!(slices <= 2 * topics / LOOKED_AT_MAX, "the cursor moves on");
    }
    assert!(
        slices >= topics / LOOKED_AT_MAX,
        "no slice looked at everything"
    );
    assert_eq!(found, [topics]);
}
