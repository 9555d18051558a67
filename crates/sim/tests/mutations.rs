//! Each mistake that a server could make is found by the model, in some world of a few thousand.

use sim::{Mutation, Order, verdict};

/// Worlds in which a mistake has the chance to show.
const SEEDS: u64 = 6000;

#[test]
fn every_mistake_is_found() {
    let mut unseen = Vec::new();
    for (mutation, words) in Mutation::ALL {
        let found = (1..=SEEDS).find_map(|seed| {
            let order = Order {
                seed,
                mutation: *mutation,
                steps_max: usize::MAX,
            };
            let what = verdict(order).err()?;
            what.contains(words).then_some(seed)
        });
        match found {
            Some(seed) => println!("{mutation:?}: seed {seed}"),
            None => unseen.push(*mutation),
        }
    }
    assert!(unseen.is_empty(), "nobody noticed {unseen:?}");
}
