//! Worlds by the thousand: a fixed range of seeds and a random one, each of which must hold.

use sim::{Mutation, Order, run};

/// Failing worlds after which there is no use in going on.
const FAILURES_MAX: usize = 40;

#[test]
fn every_seed_s_world_holds() {
    let count = number("SIM_SEEDS").unwrap_or(500);
    let steps_max = number("SIM_STEPS").map_or(usize::MAX, |steps| steps as usize);
    let first = number("SIM_SEED").unwrap_or(1);
    let mut failures = Vec::new();
    for seed in first..first + count {
        let order = Order {
            seed,
            mutation: Mutation::None,
            steps_max,
        };
        failures.extend(run(order).err());
        if failures.len() == FAILURES_MAX {
            break;
        }
    }
    let Some(first) = failures.first() else {
        return;
    };
    println!("{first}\n");
    for failure in &failures {
        println!("seed {}: {}", failure.order.seed, failure.what);
    }
    panic!("{} worlds do not hold", failures.len());
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}
