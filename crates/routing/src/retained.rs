//! Retained messages by topic, and slice by slice those that match a filter. It does not know what a retained
//! message is, and drops none by itself: the owner enforces limits by the totals.
//!
//! Topics are kept in the order of their bytes. A filter jumps over what cannot match, and a cursor is no more
//! than the topic at which to go on, so topics may come and go between two slices.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::filter_map::has_wildcard;

/// Topics looked at in one slice at most; looking at one that does not match costs about a lookup.
pub const LOOKED_AT_MAX: usize = 4096;

/// The byte after `/`: the first text that does not begin with `prefix/` is `prefix0`.
const AFTER_SLASH: char = '0';
/// The character after `$`, where the topics that a leading wildcard may match go on.
const AFTER_DOLLAR: &str = "%";

const _: () = assert!(AFTER_SLASH as u8 == b'/' + 1 && AFTER_DOLLAR.as_bytes()[0] == b'$' + 1);

/// Values by topic.
#[derive(Debug)]
pub struct RetainedIndex<T> {
    topics: BTreeMap<Box<str>, T>,
    topic_bytes: usize,
}

/// Where the next slice of a filter's topics begins; the default is the beginning. It belongs to one filter.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RetainedCursor {
    position: Position,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Position {
    #[default]
    Start,
    /// At this text or the first topic after it.
    At(String),
    /// At the first topic after this one.
    After(String),
    End,
}

/// How a topic meets a filter.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Match,
    /// No match; the next topic might.
    Next,
    /// No match, nor anything before this text.
    Seek(String),
    /// No match, nor anything after the topic.
    End,
}

impl<T> Default for RetainedIndex<T> {
    fn default() -> Self {
        Self {
            topics: BTreeMap::new(),
            topic_bytes: 0,
        }
    }
}

impl<T> RetainedIndex<T> {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Topics.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Bytes of all topics together; what the values weigh is known to the owner.
    pub fn topic_bytes(&self) -> usize {
        self.topic_bytes
    }

    /// The value of a topic.
    pub fn get(&self, topic: &str) -> Option<&T> {
        self.topics.get(topic)
    }

    /// Sets the value of a topic and returns the earlier one. [3.1.1 MQTT-3.3.1-5] [5 MQTT-3.3.1-5]
    pub fn insert(&mut self, topic: &str, value: T) -> Option<T> {
        if let Some(present) = self.topics.get_mut(topic) {
            return Some(std::mem::replace(present, value));
        }
        self.topic_bytes += topic.len();
        self.topics.insert(topic.into(), value)
    }

    /// Takes out the value of a topic. [3.1.1 MQTT-3.3.1-10] [5 MQTT-3.3.1-6]
    pub fn remove(&mut self, topic: &str) -> Option<T> {
        let removed = self.topics.remove(topic)?;
        self.topic_bytes -= topic.len();
        Some(removed)
    }

    /// Gives the next topics that match the filter and their values, at most `limit`, in the order of the topics'
    /// bytes, and moves the cursor on; whether there may be more. A slice may end early, even empty, when
    /// [`LOOKED_AT_MAX`] topics have been looked at.
    pub fn matching(
        &self,
        filter: &str,
        cursor: &mut RetainedCursor,
        limit: usize,
        mut found: impl FnMut(&str, &T),
    ) -> bool {
        if !has_wildcard(filter) {
            if cursor.position == Position::Start
                && let Some(value) = self.topics.get(filter)
            {
                found(filter, value);
            }
            cursor.position = Position::End;
            return false;
        }
        let mut wanted = limit;
        let mut looked_at = 0;
        while cursor.position != Position::End && wanted > 0 && looked_at < LOOKED_AT_MAX {
            cursor.position = self.run(
                filter,
                &cursor.position,
                &mut wanted,
                &mut looked_at,
                &mut found,
            );
        }
        cursor.position != Position::End
    }

    /// Goes from topic to topic until it must jump or a limit is reached; where to go on.
    fn run(
        &self,
        filter: &str,
        from: &Position,
        wanted: &mut usize,
        looked_at: &mut usize,
        found: &mut impl FnMut(&str, &T),
    ) -> Position {
        let begin = match from {
            Position::Start => Bound::Unbounded,
            Position::At(text) => Bound::Included(text.as_str()),
            Position::After(topic) => Bound::Excluded(topic.as_str()),
            Position::End => return Position::End,
        };
        for (topic, value) in self.topics.range::<str, _>((begin, Bound::Unbounded)) {
            *looked_at += 1;
            match step(filter, topic) {
                Step::Match => {
                    found(topic, value);
                    *wanted -= 1;
                }
                Step::Next => {}
                Step::Seek(text) => return Position::At(text),
                Step::End => return Position::End,
            }
            if *wanted == 0 || *looked_at >= LOOKED_AT_MAX {
                return Position::After(topic.to_string());
            }
        }
        Position::End
    }
}

/// Compares a topic with a filter level by level.
fn step(filter: &str, topic: &str) -> Step {
    // [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return Step::Seek(AFTER_DOLLAR.to_string());
    }
    let mut levels = topic.split('/');
    // Bytes of the topic whose levels match the filter's, with the slash after them.
    let mut matched = 0;
    let mut filter_levels = filter.split('/');
    while let Some(wanted) = filter_levels.next() {
        if wanted == "#" {
            return Step::Match;
        }
        let Some(level) = levels.next() else {
            // The topic is too short; `name!/x` lies between `name` and `name/x`, so nothing is skipped.
            return Step::Next;
        };
        if wanted != "+" && wanted != level {
            let goes_on = filter_levels.next().is_some();
            return seek_level(topic, matched, wanted, goes_on);
        }
        matched += level.len() + 1;
    }
    if matched > topic.len() {
        return Step::Match;
    }
    // The topic is too long, and so is whatever else is below its matching levels.
    Step::Seek(past(&topic[..matched]))
}

/// Where a topic may come whose levels are those of `topic` up to `matched`, then `wanted`.
fn seek_level(topic: &str, matched: usize, wanted: &str, goes_on: bool) -> Step {
    let (prefix, rest) = topic.split_at(matched);
    if rest < wanted {
        return Step::Seek(format!("{prefix}{wanted}"));
    }
    if goes_on && compare_with_slash(rest, wanted) == Ordering::Less {
        return Step::Seek(format!("{prefix}{wanted}/"));
    }
    if prefix.is_empty() {
        return Step::End;
    }
    Step::Seek(past(prefix))
}

/// Compares `rest` with `wanted` followed by a slash.
fn compare_with_slash(rest: &str, wanted: &str) -> Ordering {
    rest.bytes().cmp(wanted.bytes().chain([b'/']))
}

/// The first text after all that begin with `prefix`, which ends in a slash.
fn past(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len());
    text.push_str(&prefix[..prefix.len() - 1]);
    text.push(AFTER_SLASH);
    text
}
