//! Runs a range of seeds, whose first, number and steps the environment can say.

use std::time::{SystemTime, UNIX_EPOCH};

use sim::{Failure, Order, Worlds, run};

/// Failing worlds after which there is no use in going on.
const FAILURES_MAX: usize = 10;

/// The seed that is asked for, or another.
pub(crate) fn first(seed: u64) -> u64 {
    number("SIM_SEED").unwrap_or(seed)
}

/// A seed that is another in every run; `None` if a certain one is asked for, which the other test runs.
pub(crate) fn unseen() -> Option<u64> {
    if number("SIM_SEED").is_some() {
        return None;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let first = since.expect("after 1970").as_micros() as u64;
    println!("seeds from {first} on");
    Some(first)
}

/// Every world of a range of seeds holds.
pub(crate) fn hold<M: Worlds>(first: u64, count: u64, mutation: M) {
    let count = number("SIM_SEEDS").unwrap_or(count);
    let steps_max = number("SIM_STEPS").map_or(usize::MAX, |steps| steps as usize);
    let mut failures: Vec<Box<Failure<M>>> = Vec::new();
    for seed in first..first.saturating_add(count) {
        let order = Order {
            seed,
            mutation,
            steps_max,
        };
        failures.extend(run(order).err());
        if failures.len() == FAILURES_MAX {
            break;
        }
    }
    let Some(failure) = failures.first() else {
        return;
    };
    println!("{failure}\n");
    for failure in &failures {
        println!("seed {}: {}", failure.order.seed, failure.what);
    }
    panic!("{} worlds do not hold", failures.len());
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
