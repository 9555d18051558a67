//! From a seed to a verdict, and from a failure to the shortest run that shows it, with its log.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::order::Order;

/// What a world comes to, or one sentence on what is wrong with it.
pub(crate) type Verdict = Result<(), String>;

/// A kind of world, by the mistakes that can be made in it.
pub trait Worlds: Copy + fmt::Debug {
    /// What it is called on the command line.
    const NAME: &'static str;

    /// Runs a world; yields how many steps it took, and the last events if they are wanted.
    fn run(order: Order<Self>, logged: bool) -> Ran;
}

/// A world that was run to its end.
pub struct Ran {
    pub(crate) verdict: Verdict,
    pub(crate) steps: usize,
    pub(crate) log: Vec<String>,
}

/// What was wrong, where, and how it came to it.
#[derive(Debug, Clone)]
pub struct Failure<M> {
    /// The world.
    pub order: Order<M>,
    /// One sentence.
    pub what: String,
    /// The last events before it.
    pub log: Vec<String>,
}

/// Runs a world to its end.
pub fn run<M: Worlds>(order: Order<M>) -> Result<(), Box<Failure<M>>> {
    let ran = M::run(order, false);
    let Err(what) = ran.verdict else {
        return Ok(());
    };
    let shortest = shorten(order, ran.steps);
    let Ran { verdict, log, .. } = M::run(shortest, true);
    Err(Box::new(Failure {
        order: shortest,
        what: verdict.err().unwrap_or(what),
        log,
    }))
}

/// Runs a world to its end and says in one sentence what is wrong with it; no log, no shorter run.
pub fn verdict<M: Worlds>(order: Order<M>) -> Result<(), String> {
    M::run(order, false).verdict
}

/// The fewest steps, of a few tries, after which the world fails.
fn shorten<M: Worlds>(order: Order<M>, steps: usize) -> Order<M> {
    const TRIES: usize = 60;
    let stride = (steps / TRIES).max(1);
    let with = |steps_max| Order { steps_max, ..order };
    (stride..steps)
        .step_by(stride)
        .map(with)
        .find(|shorter| verdict(*shorter).is_err())
        .unwrap_or(with(steps))
}

/// What happens in a world; a panic is a failure of the core.
pub(crate) fn caught<W>(world: &mut W, run: impl FnOnce(&mut W) -> Verdict) -> Verdict {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(world)));
    outcome.unwrap_or_else(|panic| Err(words(panic.as_ref())))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the core panicked: {}", text.unwrap_or("without words"))
}

impl<M: Worlds> fmt::Display for Failure<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "\nseed {}: {}", self.order.seed, self.what)?;
        write!(
            out,
            "replay: cargo xtask sim --worlds {} --seed {} --steps {}",
            M::NAME,
            self.order.seed,
            self.order.steps_max
        )
    }
}
