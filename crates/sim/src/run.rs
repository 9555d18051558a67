//! From a seed to a verdict, and from a failure to the shortest run that shows it, with its log.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::order::Order;
use crate::world::World;

/// What was wrong, where, and how it came to it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The world.
    pub order: Order,
    /// One sentence.
    pub what: String,
    /// The last events before it.
    pub log: Vec<String>,
}

/// Runs a world to its end.
pub fn run(order: Order) -> Result<(), Box<Failure>> {
    let Err((what, steps)) = attempt(order) else {
        return Ok(());
    };
    let shortest = shorten(order, steps);
    let (what, log) = match attempt_logged(shortest) {
        (Err(what), log) => (what, log),
        (Ok(()), log) => (what, log),
    };
    Err(Box::new(Failure {
        order: shortest,
        what,
        log,
    }))
}

/// Runs a world to its end and says in one sentence what is wrong with it; no log, no shorter run.
pub fn verdict(order: Order) -> Result<(), String> {
    attempt(order).map_err(|(what, _)| what)
}

/// The fewest steps, of a few tries, after which the world fails.
fn shorten(order: Order, steps: usize) -> Order {
    const TRIES: usize = 60;
    let stride = (steps / TRIES).max(1);
    let with = |steps_max| Order { steps_max, ..order };
    (stride..steps)
        .step_by(stride)
        .map(with)
        .find(|shorter| attempt(*shorter).is_err())
        .unwrap_or(with(steps))
}

fn attempt(order: Order) -> Result<(), (String, usize)> {
    let mut world = World::new(order, false);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let steps = world.steps();
    match outcome {
        Ok(verdict) => verdict.map_err(|what| (what, steps)),
        Err(panic) => Err((words(panic.as_ref()), steps)),
    }
}

fn attempt_logged(order: Order) -> (Result<(), String>, Vec<String>) {
    let mut world = World::new(order, true);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let verdict = outcome.unwrap_or_else(|panic| Err(words(panic.as_ref())));
    (verdict, world.into_log())
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the core panicked: {}", text.unwrap_or("without words"))
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "\nseed {}: {}", self.order.seed, self.what)?;
        write!(
            out,
            "replay: cargo xtask sim --seed {} --steps {}",
            self.order.seed, self.order.steps_max
        )
    }
}
