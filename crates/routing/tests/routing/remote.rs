//! The other shards' interest against a plain list of announcements and the naive matcher.

use std::collections::BTreeMap;

use proptest::prelude::*;
use routing::{Interest, RemoteIndex, RemoteMatch, SHARDS_MAX};

use crate::naive::{self, SEEDS};

fn interest() -> impl Strategy<Value = Interest> {
    prop_oneof![
        Just(Interest::default()),
        Just(Interest {
            live: true,
            durable: false
        }),
        Just(Interest {
            live: true,
            durable: true
        }),
    ]
}

proptest! {
    #[test]
    fn shards_agree_with_a_list_of_announcements(
        announcements in prop::collection::vec((naive::filter(), 0..SHARDS_MAX, interest()), 1..150),
        topics in prop::collection::vec(naive::topic(), 1..30),
    ) {
        let mut index = RemoteIndex::new(SEEDS);
        let mut model = BTreeMap::new();
        for (filter, shard, interest) in announcements {
            index.announce(&filter, shard, interest);
            if interest.live {
                model.insert((filter, shard), interest);
            } else {
                model.remove(&(filter, shard));
            }
        }
        for topic in topics {
            let mut expected = RemoteMatch::default();
            for ((filter, shard), interest) in &model {
                if naive::matches(filter, &topic) {
                    expected.shards |= 1 << shard;
                    expected.durable |= interest.durable;
                }
            }
            prop_assert_eq!(index.matches(&topic), expected, "{}", topic);
        }
        let mut filters: Vec<_> = model.keys().map(|(filter, _)| filter).collect();
        filters.dedup();
        prop_assert_eq!(index.len(), filters.len());
        for (filter, shard) in model.keys() {
            index.announce(filter, *shard, Interest::default());
        }
        prop_assert!(index.is_empty());
    }
}

#[test]
fn an_announcement_replaces_the_shards_earlier_one() {
    let mut index = RemoteIndex::new(SEEDS);
    let live = Interest {
        live: true,
        durable: false,
    };
    index.announce(
        "a/+",
        0,
        Interest {
            live: true,
            durable: true,
        },
    );
    index.announce("a/+", 63, live);
    assert_eq!(
        index.matches("a/b"),
        RemoteMatch {
            shards: 1 | 1 << 63,
            durable: true
        }
    );
    index.announce("a/+", 0, live);
    assert_eq!(
        index.matches("a/b"),
        RemoteMatch {
            shards: 1 | 1 << 63,
            durable: false
        }
    );
    index.announce("a/+", 0, Interest::default());
    assert_eq!(
        index.matches("a/b"),
        RemoteMatch {
            shards: 1 << 63,
            durable: false
        }
    );
}
