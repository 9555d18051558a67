//! `cargo xtask test`: sets up what the tests need, runs all of them, and says in one line what came of it.
//! Owns the order and the last line; each runner counts its own.

mod cargo_tests;
mod debian;
mod end_to_end;
mod group;
mod libtest;
mod node_packages;
mod python;
mod setup;
mod tally;
mod web_tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::arguments::Arguments;
use crate::tree;
use group::Group;
use setup::Setup;
use tally::Tally;

/// One runner may take this long; then it is ended and counts as failed.
const RUNNER_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What is to be run, and where.
struct Plan {
    root: PathBuf,
    /// What this chore makes for itself: the Python environment, reports.
    work: PathBuf,
    groups: Vec<Group>,
    /// How often the crash tests kill the server, if not as often as they do by default.
    rounds: Option<u32>,
}

impl Plan {
    fn has(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }
}

/// Sets up, runs and counts; whether everything passed.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let strict = arguments.flag("--strict");
    let only = arguments.values("--only")?;
    let groups = match only.len() {
        0 => Group::ALL.to_vec(),
        _ => only
            .iter()
            .map(|name| Group::parse(name))
            .collect::<Result<_>>()?,
    };
    let rounds = arguments.number("--rounds")?;
    arguments.end()?;
    let root = tree::root()?;
    let work = tree::target_dir(&root).join("xtask");
    std::fs::create_dir_all(&work)?;
    let plan = Plan {
        root,
        work,
        groups,
        rounds,
    };

    let began = Instant::now();
    let tally = run_all(&plan)?;
    step(&format!("took {} s", began.elapsed().as_secs()));
    Ok(tally.close(strict))
}

/// `cargo xtask crash [--rounds N]`: only the crash tests.
pub(crate) fn run_crash(mut arguments: Arguments) -> Result<bool> {
    let rounds = arguments.number("--rounds")?;
    arguments.end()?;
    let mut words = vec!["--only".to_owned(), "crash".to_owned()];
    if let Some(rounds) = rounds {
        words.push(format!("--rounds={rounds}"));
    }
    run(Arguments::new(words))
}

fn run_all(plan: &Plan) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut setup = Setup::prepare(plan);
    let cargo_groups = [Group::Rust, Group::Clients, Group::Crash];
    // What the compiler has to say comes first: it is what most often goes wrong.
    let built = if cargo_groups.iter().any(|group| plan.has(*group)) {
        cargo_tests::build(plan, &mut setup, &mut tally)?
    } else if plan.has(Group::EndToEnd) {
        cargo_tests::build_server(plan, &mut setup, &mut tally)?;
        Vec::new()
    } else {
        Vec::new()
    };
    if !tally.failures.is_empty() {
        // Without the server most of the rest would only fail for the same reason.
        return Ok(tally);
    }
    if plan.has(Group::Rust) {
        cargo_tests::run(plan, &setup, &built, Group::Rust, &mut tally)?;
        cargo_tests::run_examples_in_docs(plan, &setup, &mut tally)?;
    }
    if plan.has(Group::Web) {
        web_tests::run(plan, &setup, &mut tally)?;
    }
    if plan.has(Group::EndToEnd) {
        end_to_end::run(plan, &setup, &mut tally)?;
    }
    for group in [Group::Clients, Group::Crash] {
        if plan.has(group) {
            cargo_tests::run(plan, &setup, &built, group, &mut tally)?;
        }
    }
    setup.explain(&mut tally);
    Ok(tally)
}

/// A line that says how far the chore has come.
fn step(says: &str) {
    println!("test: {says}");
}
