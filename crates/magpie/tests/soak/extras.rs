//! What goes on beside the writers and readers whose messages are counted: threads that work round by round, and what they
//! have done. One that sees what it must not see ends the soak.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::proof::{Random, Round, Stage};
use harness::{ClientError, Watched};

use crate::{flood, garbage, kept, rooms, storm};

/// One part of the load.
pub(crate) trait Extra: Send + 'static {
    /// Works while `scene` goes on. A connection that is lost ends the round, and so does its end.
    fn work(&mut self, scene: &Scene<'_>) -> Result<(), ClientError>;
    /// Ends all connections without a word.
    fn part(&mut self);
}

/// A round that goes on, and where to count what was done.
pub(crate) struct Scene<'a> {
    stage: &'a Stage,
    round: Round,
    done: &'a AtomicU64,
}

impl Scene<'_> {
    pub(crate) fn goes_on(&self) -> bool {
        self.stage.goes_on(self.round)
    }

    pub(crate) fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Extras {
    threads: Vec<(&'static str, Arc<AtomicU64>, JoinHandle<()>)>,
    /// The first thread that failed.
    failed: Arc<Watched<Option<&'static str>>>,
}

impl Extras {
    pub(crate) fn spawn(server: SocketAddr, stage: &Arc<Stage>, random: &mut Random) -> Self {
        let mut extras = Self {
            threads: Vec::new(),
            failed: Arc::new(Watched::new(None)),
        };
        for room in 0..rooms::ROOMS {
            extras.add(
                "messages to all of a room, in order",
                stage,
                rooms::Room::new(server, room),
            );
        }
        extras.add("retained messages replaced", stage, kept::Kept::new(server));
        for group in 0..storm::GROUPS {
            extras.add(
                "sessions resumed in a storm",
                stage,
                storm::Storm::new(server, group),
            );
        }
        extras.add(
            "messages to consumers that do not read",
            stage,
            flood::Flood::new(server),
        );
        extras.add(
            "connections that sent garbage",
            stage,
            garbage::Garbage::new(server, random.fork()),
        );
        extras
    }

    fn add(&mut self, name: &'static str, stage: &Arc<Stage>, mut extra: impl Extra) {
        let (stage, failed) = (Arc::clone(stage), Arc::clone(&self.failed));
        let done = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            // Its message is printed by the panic itself.
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                play(name, &stage, &mut extra, &counted)
            }));
            if outcome.is_err() {
                failed.change(|failed| _ = failed.get_or_insert(name));
            }
        });
        self.threads.push((name, done, thread));
    }

    /// Lets the load go on for so long; fails as soon as part of it has failed.
    pub(crate) fn watch(&self, time: Duration) {
        let failed = self
            .failed
            .wait_until(Instant::now() + time, |failed| *failed);
        if let Some(name) = failed {
            panic!("{name}: saw what it must not see; its message stands above");
        }
    }

    /// Awaits that all have seen the last round.
    pub(crate) fn join(&self) {
        while self
            .threads
            .iter()
            .any(|(_, _, thread)| !thread.is_finished())
        {
            self.watch(Duration::from_millis(20));
        }
        self.watch(Duration::ZERO);
    }

    /// What each kind has done.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for (name, done, _) in &self.threads {
            let done = done.load(Ordering::Relaxed);
            match sums.last_mut() {
                Some((last, sum)) if last == name => *sum += done,
                _ => sums.push((name, done)),
            }
        }
        for (name, sum) in &sums {
            assert!(*sum > 0, "{name}: none in all the time");
        }
        sums.into_iter()
            .map(|(name, sum)| (name, sum.to_string()))
            .collect()
    }
}

fn play(name: &str, stage: &Stage, extra: &mut impl Extra, done: &AtomicU64) {
    let mut seen = 0;
    loop {
        let round = stage.next_round(&mut seen);
        if matches!(round, Round::Last(_)) {
            return;
        }
        let scene = Scene { stage, round, done };
        match extra.work(&scene) {
            Ok(()) => {}
            Err(end) if round.explains(&end) => {}
            Err(end) => panic!("{name}: {end} in {round:?}"),
        }
        extra.part();
    }
}
