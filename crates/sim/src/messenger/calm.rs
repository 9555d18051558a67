//! Fair weather: every node runs, nothing is lost, and everybody comes to have what there is.

use std::collections::BTreeSet;

use chat::LinkLimits;

use crate::messenger::device::Keeps;
use crate::messenger::world::{NAMES, World};
use crate::run::Verdict;

/// Rounds after which everything must be at rest.
const ROUNDS: usize = 200;
const ROUND_MILLIS: u64 = 150;
/// While everybody talks: the round from which on everything is taken, and the one after which sessions have had what was there then.
const SETTLED: usize = 12;
const LOOKED_AT: usize = 60;

impl World {
    pub(super) fn calm_down(&mut self) -> Verdict {
        self.log.note(|| "fair weather".to_owned());
        for node in 0..self.nodes.len() {
            self.go_on(node);
            if self.nodes[node].chat.is_none() {
                self.begin(node);
            }
        }
        for device in 0..self.devices.len() {
            if self.devices[device].connected.is_none() {
                self.some_connect(device);
            }
        }
        self.talk()?;
        self.rest(20)?;
        for device in 0..self.devices.len() {
            // One may have been at a node that was fenced.
            if self.devices[device].connected.is_none() {
                self.some_connect(device);
            }
            self.sync(device);
        }
        self.rest(1)?;
        for device in 0..self.devices.len() {
            // What was refused for a moment is asked again.
            self.sync(device);
        }
        self.rest(1)
    }

    /// Everybody talks on while nodes find together again: what is said is taken soon, and reaches sessions soon.
    fn talk(&mut self) -> Verdict {
        let (mut first, mut old) = (0, BTreeSet::new());
        for round in 0..LOOKED_AT {
            if round == SETTLED {
                first = self.sent.len();
                old.clone_from(&self.store.ever);
            }
            let device = 2 * self.dice.below(NAMES.len());
            if self.devices[device].connected.is_none() {
                self.some_connect(device);
            }
            let conv = format!("@{}", self.dice.pick(&NAMES));
            self.send_to(device, &conv);
            self.round()?;
        }
        let last = self.sent.len() - 1;
        let untaken = self.sent[first..last].iter().find(|sent| !sent.is_taken);
        // A link that keeps next to nothing gives up what it has, and then whoever waits may try again.
        let keeps_little = self
            .links
            .is_some_and(|links| links != LinkLimits::default());
        if let (Some(sent), false) = (untaken, keeps_little) {
            return Err(format!(
                "{} is not taken though nothing is lost any more",
                sent.text
            ));
        }
        self.check_told(&old)
    }

    /// Until everything has been at rest for so many rounds.
    pub(super) fn rest(&mut self, rounds: usize) -> Verdict {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let is_quiet = self.round()?;
            let catches_up = self.devices.iter().any(|device| match &device.keeps {
                Keeps::Session(session) => session.catching_up.is_some(),
                Keeps::Cache(cache) => cache.is_asking,
            });
            quiet = if is_quiet && !catches_up {
                quiet + 1
            } else {
                0
            };
            if quiet >= rounds {
                return Ok(());
            }
        }
        Err("it does not come to rest: something is waited for that never happens".to_owned())
    }

    /// A moment passes, and everything that can happen does. Yields whether nothing was to be done.
    fn round(&mut self) -> Result<bool, String> {
        self.verdict.clone()?;
        self.check_store()?;
        self.now = self.now.saturating_add(ROUND_MILLIS);
        let mut is_quiet = true;
        for node in 0..self.nodes.len() {
            self.learn(node);
            self.look_at_time(node);
            is_quiet &= !self.work_off(node);
        }
        Ok(is_quiet)
    }

    /// Whether a node had anything to do but to say how far it has come.
    fn work_off(&mut self, node: usize) -> bool {
        let mut was_busy = false;
        loop {
            let of = &mut self.nodes[node];
            if !of.appends.is_empty() {
                was_busy |= of.appends[0].owner != chat::Owner::Node;
                self.commit(node, 0);
            } else if !of.outcomes.is_empty() {
                self.tell_outcome(node);
            } else if !of.read.is_empty() {
                let read = of.read.remove(0);
                self.arrive(node, read);
            } else if !of.readings.is_empty() {
                was_busy = true;
                let read = of.readings.remove(0).run(&self.store);
                self.arrive(node, read);
            } else if let Some(frame) = (!self.network.is_empty()).then(|| self.network.remove(0)) {
                self.frame_arrives(frame);
            } else {
                return was_busy;
            }
        }
    }
}
