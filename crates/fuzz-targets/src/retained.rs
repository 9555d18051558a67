//! Target `retained`: retained messages by filter in slices against a sorted list and the naive matcher, while topics
//! come and go between the slices.

use std::collections::{BTreeMap, BTreeSet};

use routing::{RetainedCursor, RetainedIndex};

use crate::feed::Feed;
use crate::naive;

/// Walks under way at once.
const WALKS: usize = 3;

/// Steps until the bytes are used up, then every walk goes to its end.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut index = RetainedIndex::new();
    let mut model: BTreeMap<String, (String, u32)> = BTreeMap::new();
    let mut walks: Vec<Walk> = Vec::new();
    let mut number = 0;
    while !feed.is_empty() {
        number += 1;
        match feed.byte() % 6 {
            0..=2 => {
                let topic = naive::topic(&mut feed);
                let value = (topic.clone(), number);
                let replaced = model.insert(topic.clone(), value.clone());
                assert_eq!(index.insert(&topic, value), replaced);
                for walk in &mut walks {
                    walk.seen.insert(topic.clone());
                }
            }
            3 => {
                let topic = naive::topic(&mut feed);
                assert_eq!(index.get(&topic), model.get(&topic));
                assert_eq!(index.remove(&topic), model.remove(&topic));
                for walk in &mut walks {
                    walk.stayed.remove(&topic);
                }
            }
            4 if walks.len() < WALKS => walks.push(Walk::new(naive::filter(&mut feed), &model)),
            _ if walks.is_empty() => {}
            _ => {
                let pick = feed.below(walks.len());
                let limit = 1 + feed.below(4);
                if !walks[pick].slice(&index, &model, limit) {
                    walks.swap_remove(pick).end();
                }
            }
        }
        assert_eq!(index.len(), model.len());
        assert_eq!(
            index.topic_bytes(),
            model.keys().map(String::len).sum::<usize>()
        );
    }
    for mut walk in walks {
        while walk.slice(&index, &model, 3) {}
        walk.end();
    }
}

/// One filter's way through the topics.
struct Walk {
    filter: String,
    cursor: RetainedCursor,
    /// Topics that were there from the beginning without a gap: each must come.
    stayed: BTreeSet<String>,
    /// Topics that were there at some time: no other may come.
    seen: BTreeSet<String>,
    delivered: Vec<String>,
}

impl Walk {
    fn new(filter: String, model: &BTreeMap<String, (String, u32)>) -> Self {
        let present: BTreeSet<String> = model.keys().cloned().collect();
        Self {
            filter,
            cursor: RetainedCursor::default(),
            stayed: present.clone(),
            seen: present,
            delivered: Vec::new(),
        }
    }

    fn slice(
        &mut self,
        index: &RetainedIndex<(String, u32)>,
        model: &BTreeMap<String, (String, u32)>,
        limit: usize,
    ) -> bool {
        let mut found = Vec::new();
        let more = index.matching(&self.filter, &mut self.cursor, limit, |topic, value| {
            assert_eq!(topic, value.0);
            found.push(value.clone());
        });
        assert!(found.len() <= limit);
        for value in found {
            assert_eq!(
                model.get(&value.0),
                Some(&value),
                "what is delivered is there"
            );
            self.delivered.push(value.0);
        }
        more
    }

    fn end(self) {
        let sorted = self.delivered.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(sorted, "each once and in order: {:?}", self.delivered);
        for topic in &self.delivered {
            assert!(self.seen.contains(topic) && naive::matches(&self.filter, topic));
        }
        for topic in &self.stayed {
            let missing = naive::matches(&self.filter, topic) && !self.delivered.contains(topic);
            assert!(!missing, "{topic} is missing for {}", self.filter);
        }
    }
}
