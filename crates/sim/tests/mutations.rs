//! Each mistake that could be made is found by the model, in some world of a few thousand.

use sim::{Mistake, Mutation, Order, Worlds, verdict};

/// Worlds in which a mistake has the chance to show.
const SEEDS: u64 = 6000;

#[test]
fn every_mistake_of_a_broker_is_found() {
    find(Mutation::ALL);
}

#[test]
fn every_mistake_around_the_messenger_is_found() {
    find(Mistake::ALL);
}

fn find<M: Worlds>(all: &[(M, &str)]) {
    let mut unseen = Vec::new();
    for (mutation, words) in all {
        let mut others = Vec::new();
        let found = (1..=SEEDS).find_map(|seed| {
            let order = Order {
                seed,
                mutation: *mutation,
                steps_max: usize::MAX,
            };
            let what = verdict(order).err()?;
            let is_it = what.contains(words);
            others.push(what);
            is_it.then_some(seed)
        });
        match found {
            Some(seed) => println!("{mutation:?}: seed {seed}"),
            None => {
                others.truncate(3);
                println!("{mutation:?}: {others:?}");
                unseen.push(*mutation);
            }
        }
    }
    assert!(unseen.is_empty(), "nobody noticed {unseen:?}");
}
