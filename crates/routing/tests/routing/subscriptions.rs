//! The subscription index against a plain list of subscriptions and the naive matcher.

use std::collections::BTreeMap;

use proptest::prelude::*;
use routing::{FilterId, Interest, Match, Subscriber, SubscriptionIndex};

use crate::naive::{self, SEEDS};

/// Subscriptions by (filter, session).
type Model = BTreeMap<(String, u32), (FilterId, Subscriber)>;

#[derive(Debug, Clone)]
enum Step {
    Subscribe(String, Subscriber),
    Unsubscribe(String, u32),
    /// Ends the n-th subscription by its id.
    UnsubscribeNth(usize),
    SetDurable(usize, bool),
    Publish(String, u32),
}

fn subscriber(sessions: u32) -> impl Strategy<Value = Subscriber> {
    (0..sessions, 0..4u32, 0..3u8, 0..16u8, any::<bool>()).prop_map(
        |(session, identifier, qos, flags, durable)| Subscriber {
            session,
            identifier,
            options: qos | flags << 2,
            durable,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (naive::filter(), subscriber(6)).prop_map(|(filter, subscriber)| Step::Subscribe(filter, subscriber)),
        2 => (naive::filter(), 0..6u32).prop_map(|(filter, session)| Step::Unsubscribe(filter, session)),
        3 => any::<usize>().prop_map(Step::UnsubscribeNth),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(nth, durable)| Step::SetDurable(nth, durable)),
        5 => (naive::topic(), 0..6u32).prop_map(|(topic, session)| Step::Publish(topic, session)),
    ]
}

fn interest(model: &Model, filter: &str) -> Interest {
    let mut interest = Interest::default();
    for ((_, _), (_, subscriber)) in model.iter().filter(|((known, _), _)| known == filter) {
        interest.live = true;
        interest.durable |= subscriber.durable;
    }
    interest
}

/// The change that must have been reported.
fn change(before: Interest, after: Interest) -> Option<Interest> {
    if before == after { None } else { Some(after) }
}

/// What a session must get: QoS, no local, retain as published, durable, sorted identifiers.
type Expected = BTreeMap<u32, (u8, bool, bool, bool, Vec<u32>)>;

fn expected(model: &Model, topic: &str, publisher: Option<u32>) -> Expected {
    let mut sessions = Expected::new();
    for ((filter, session), (_, subscriber)) in model {
        let own = publisher == Some(*session) && subscriber.options & 4 != 0;
        if own || !naive::matches(filter, topic) {
            continue;
        }
        let options = subscriber.options;
        let entry = sessions
            .entry(*session)
            .or_insert((0, true, false, false, Vec::new()));
        entry.0 = entry.0.max(options & 3);
        entry.1 &= options & 4 != 0;
        entry.2 |= options & 8 != 0;
        entry.3 |= subscriber.durable;
        entry
            .4
            .extend((subscriber.identifier != 0).then_some(subscriber.identifier));
        entry.4.sort_unstable();
    }
    sessions
}

fn found(matches: &[Match]) -> Expected {
    let mut sessions = Expected::new();
    for found in matches {
        let mut identifiers = found.identifiers().to_vec();
        identifiers.sort_unstable();
        let entry = (
            found.qos(),
            found.no_local(),
            found.retain_as_published(),
            found.durable(),
            identifiers,
        );
        assert!(
            sessions.insert(found.session, entry).is_none(),
            "session {} twice",
            found.session
        );
    }
    sessions
}

fn check_publish(index: &SubscriptionIndex, model: &Model, topic: &str, publisher: u32) {
    let mut visited = Vec::new();
    index.matches(topic, &mut |id, subscribers| {
        visited.extend(
            subscribers
                .iter()
                .map(|subscriber| (index.filter(id), *subscriber)),
        );
    });
    visited.sort_by(|one, other| (&one.0, one.1.session).cmp(&(&other.0, other.1.session)));
    let matching = model
        .iter()
        .filter(|((filter, _), _)| naive::matches(filter, topic));
    let wanted: Vec<_> = matching
        .map(|((filter, _), (_, subscriber))| (filter.clone(), *subscriber))
        .collect();
    assert_eq!(visited, wanted, "{topic}");

    let mut matches = Vec::new();
    index.collect(topic, &mut matches);
    assert_eq!(found(&matches), expected(model, topic, None), "{topic}");
    index.collect_from(publisher, topic, &mut matches);
    assert_eq!(
        found(&matches),
        expected(model, topic, Some(publisher)),
        "{topic} from {publisher}"
    );
    assert_eq!(
        index.has_durable(topic),
        wanted.iter().any(|(_, subscriber)| subscriber.durable),
        "{topic}"
    );
}

fn nth(model: &Model, nth: usize) -> Option<((String, u32), FilterId)> {
    let (key, (id, _)) = model.iter().nth(nth.checked_rem(model.len())?)?;
    Some((key.clone(), *id))
}

fn run(steps: &[Step]) {
    let mut index = SubscriptionIndex::new(SEEDS);
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Subscribe(filter, subscriber) => {
                let before = interest(&model, filter);
                let done = index.subscribe(filter, *subscriber);
                let key = (filter.clone(), subscriber.session);
                let replaced = model
                    .insert(key, (done.id, *subscriber))
                    .map(|(_, replaced)| replaced);
                assert_eq!(done.replaced, replaced);
                assert_eq!(done.interest, change(before, interest(&model, filter)));
                assert_eq!(index.filter(done.id), *filter);
            }
            Step::Unsubscribe(filter, session) => {
                let before = interest(&model, filter);
                let removed = model
                    .remove(&(filter.clone(), *session))
                    .map(|(_, removed)| removed);
                let done = index.unsubscribe(filter, *session);
                assert_eq!(done.map(|done| done.removed), removed);
                let reported = done.and_then(|done| done.interest);
                assert_eq!(reported, change(before, interest(&model, filter)));
            }
            Step::UnsubscribeNth(number) => {
                let Some(((filter, session), id)) = nth(&model, *number) else {
                    continue;
                };
                let removed = model.remove(&(filter, session)).map(|(_, removed)| removed);
                assert_eq!(
                    index.unsubscribe_id(id, session).map(|done| done.removed),
                    removed
                );
                assert_eq!(index.unsubscribe_id(id, session), None);
            }
            Step::SetDurable(number, durable) => {
                let Some(((filter, session), id)) = nth(&model, *number) else {
                    continue;
                };
                let before = interest(&model, &filter);
                model
                    .get_mut(&(filter.clone(), session))
                    .expect("it is in the model")
                    .1
                    .durable = *durable;
                let after = interest(&model, &filter);
                assert_eq!(
                    index.set_durable(id, session, *durable),
                    change(before, after)
                );
            }
            Step::Publish(topic, publisher) => check_publish(&index, &model, topic, *publisher),
        }
        assert_eq!(index.len(), model.len());
        assert_eq!(index.is_empty(), model.is_empty());
    }
    for ((filter, session), (id, subscriber)) in &model {
        assert_eq!(index.filter(*id), *filter);
        assert_eq!(index.subscriber(*id, *session), Some(subscriber));
        assert_eq!(index.interest(filter), interest(&model, filter));
    }
}

/// Sessions that receive the topic from an index with these filters, session n having the n-th.
fn receivers(filters: &[&str], topic: &str) -> Vec<u32> {
    let mut index = SubscriptionIndex::new(SEEDS);
    for (session, filter) in (0..).zip(filters) {
        index.subscribe(
            filter,
            Subscriber {
                session,
                identifier: 0,
                options: 0,
                durable: false,
            },
        );
    }
    let mut matches = Vec::new();
    index.collect(topic, &mut matches);
    let mut sessions: Vec<u32> = matches.iter().map(|found| found.session).collect();
    sessions.sort_unstable();
    sessions
}

fn one(session: u32, options: u8, identifier: u32) -> Subscriber {
    Subscriber {
        session,
        identifier,
        options,
        durable: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // [3.1.1 MQTT-3.3.2-3] [5 MQTT-3.3.2-3]
    // [3.1.1 MQTT-4.5.0-1] [5 MQTT-4.5.0-1]
    #[test]
    fn index_agrees_with_a_list_of_subscriptions(steps in prop::collection::vec(step(), 1..120)) {
        run(&steps);
    }

    #[test]
    fn a_crowd_on_one_filter_comes_and_goes(
        moves in prop::collection::vec((subscriber(80), 0..3u8), 1..600),
        filter in prop_oneof![Just("a/b"), Just("a/+")],
    ) {
        let mut index = SubscriptionIndex::new(SEEDS);
        let mut model = BTreeMap::new();
        for (subscriber, action) in moves {
            if action > 0 {
                let replaced = model.insert(subscriber.session, subscriber);
                prop_assert_eq!(index.subscribe(filter, subscriber).replaced, replaced);
            } else {
                let removed = model.remove(&subscriber.session);
                prop_assert_eq!(index.unsubscribe(filter, subscriber.session).map(|done| done.removed), removed);
            }
            let durable = model.values().any(|subscriber| subscriber.durable);
            prop_assert_eq!(index.interest(filter), Interest { live: !model.is_empty(), durable });
        }
        let mut present = Vec::new();
        index.matches("a/b", &mut |_, subscribers| present.extend_from_slice(subscribers));
        present.sort_unstable_by_key(|subscriber| subscriber.session);
        prop_assert_eq!(present, model.into_values().collect::<Vec<_>>());
    }
}

// [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]
#[test]
fn leading_wildcards_do_not_match_dollar_topics() {
    let filters = [
        "#",
        "+/monitor/Clients",
        "+/#",
        "$SYS/#",
        "$SYS/monitor/+",
        "$SYS/monitor/Clients",
    ];
    assert_eq!(receivers(&filters, "$SYS/monitor/Clients"), [3, 4, 5]);
    assert_eq!(receivers(&filters, "SYS/monitor/Clients"), [0, 1, 2]);
    assert_eq!(receivers(&["+/$a", "#", "a/+"], "a/$a"), [0, 1, 2]);
}

// [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]
#[test]
fn hash_matches_the_parent_and_everything_below() {
    let filters = ["sport/tennis/player1/#", "sport/#", "#", "sport/tennis/#"];
    assert_eq!(receivers(&filters, "sport/tennis/player1"), [0, 1, 2, 3]);
    assert_eq!(
        receivers(&filters, "sport/tennis/player1/ranking"),
        [0, 1, 2, 3]
    );
    assert_eq!(receivers(&filters, "sport"), [1, 2]);
    assert_eq!(receivers(&filters, "sport/"), [1, 2]);
    assert_eq!(receivers(&filters, "sports"), [2]);
}

// [3.1.1 MQTT-4.7.1-3] [5 MQTT-4.7.1-2]
#[test]
fn plus_fills_exactly_one_level_anywhere() {
    let filters = [
        "sport/tennis/+",
        "sport/+",
        "+",
        "+/+",
        "/+",
        "+/tennis/#",
        "sport/+/player1",
    ];
    assert_eq!(receivers(&filters, "sport/tennis/player1"), [0, 5, 6]);
    assert_eq!(receivers(&filters, "sport/tennis/player1/ranking"), [5]);
    assert_eq!(receivers(&filters, "sport"), [2]);
    assert_eq!(receivers(&filters, "sport/"), [1, 3]);
    assert_eq!(receivers(&filters, "/finance"), [3, 4]);
}

// [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.3-4]
#[test]
fn topics_are_compared_as_they_are() {
    let filters = [
        "ACCOUNTS",
        "Accounts",
        "\u{e9}",
        "e\u{301}",
        "\u{e9}/+",
        "accounts/ ",
    ];
    assert_eq!(receivers(&filters, "Accounts"), [1]);
    assert_eq!(receivers(&filters, "\u{e9}"), [2]);
    assert_eq!(receivers(&filters, "e\u{301}/x"), [] as [u32; 0]);
    assert_eq!(receivers(&filters, "accounts/"), [] as [u32; 0]);
}

// [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3]
#[test]
fn the_same_filter_again_replaces_the_subscription() {
    let mut index = SubscriptionIndex::new(SEEDS);
    for filter in ["a/b", "a/+"] {
        let first = index.subscribe(filter, one(7, 2, 5));
        let second = index.subscribe(filter, one(7, 1, 6));
        assert_eq!(
            (first.replaced, second.replaced),
            (None, Some(one(7, 2, 5)))
        );
        assert_eq!(second.id, first.id);
        assert_eq!(
            (
                first.interest.map(|interest| interest.live),
                second.interest
            ),
            (Some(true), None)
        );
        assert_eq!(index.subscriber(second.id, 7), Some(&one(7, 1, 6)));
    }
    assert_eq!(index.len(), 2);
}

// [3.1.1 MQTT-3.10.4-1] [5 MQTT-3.10.4-1]
#[test]
fn unsubscribing_compares_filters_literally() {
    let mut index = SubscriptionIndex::new(SEEDS);
    index.subscribe("a/+", one(1, 0, 0));
    index.subscribe("a/b", one(1, 0, 0));
    for other in ["a/c", "+/b", "a/#", "#", "a/+/", "a", "A/+"] {
        assert_eq!(index.unsubscribe(other, 1), None, "{other}");
    }
    assert_eq!(index.unsubscribe("a/+", 2), None);
    assert_eq!(
        index.unsubscribe("a/+", 1).map(|done| done.removed),
        Some(one(1, 0, 0))
    );
    assert_eq!((index.len(), index.filters()), (1, 1));
}

// [3.1.1 MQTT-3.3.5-1] [5 MQTT-3.3.4-2] [5 MQTT-3.3.4-3] [5 MQTT-3.3.4-4]
#[test]
fn overlapping_subscriptions_join_into_one_match() {
    let mut index = SubscriptionIndex::new(SEEDS);
    index.subscribe("a/b", one(1, 0, 10));
    index.subscribe("a/+", one(1, 2, 11));
    index.subscribe("a/#", one(1, 0b1001, 10));
    index.subscribe("#", one(2, 1, 0));
    let mut matches = Vec::new();
    index.collect("a/b", &mut matches);
    assert_eq!(matches.len(), 2);
    assert_eq!(
        (
            matches[0].session,
            matches[0].qos(),
            matches[0].retain_as_published()
        ),
        (1, 2, true)
    );
    let mut identifiers = matches[0].identifiers().to_vec();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [10, 10, 11]);
    assert_eq!(
        (
            matches[1].session,
            matches[1].qos(),
            matches[1].identifiers()
        ),
        (2, 1, &[][..])
    );
}

// [5 MQTT-3.8.3-3]
#[test]
fn no_local_keeps_out_that_subscription_only() {
    let mut index = SubscriptionIndex::new(SEEDS);
    index.subscribe("a/b", one(1, 0b110, 10));
    index.subscribe("a/+", one(1, 0, 11));
    index.subscribe("a/c", one(1, 0b100, 12));
    let mut matches = Vec::new();
    index.collect_from(1, "a/b", &mut matches);
    assert_eq!(matches.len(), 1);
    assert_eq!((matches[0].qos(), matches[0].identifiers()), (0, &[11][..]));
    index.collect_from(2, "a/b", &mut matches);
    assert_eq!(matches[0].qos(), 2);
    index.collect_from(1, "a/c", &mut matches);
    assert_eq!(
        matches
            .iter()
            .map(|found| found.session)
            .collect::<Vec<_>>(),
        [1],
        "a/+ still matches"
    );
    index.unsubscribe("a/+", 1);
    index.collect_from(1, "a/c", &mut matches);
    assert_eq!(matches, []);
}

#[test]
fn the_longest_filter_is_kept() {
    let levels = vec!["x"; 32_768];
    let exact = levels.join("/");
    assert_eq!(exact.len(), 65_535);
    let wildcard = format!("{}/+", levels[1..].join("/"));
    let mut index = SubscriptionIndex::new(SEEDS);
    for filter in [&exact, &wildcard] {
        let id = index.subscribe(filter, one(1, 0, 0)).id;
        assert_eq!(index.filter(id), **filter);
    }
    let mut matches = Vec::new();
    index.collect(&exact, &mut matches);
    assert_eq!(matches.len(), 1);
    for filter in [&exact, &wildcard] {
        assert!(index.unsubscribe(filter, 1).is_some());
    }
    assert_eq!((index.len(), index.filters()), (0, 0));
}
