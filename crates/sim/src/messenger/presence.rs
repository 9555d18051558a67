//! How people are settles on the truth: whoever looks at a device knows who else is there.

use crate::messenger::device::Keeps;
use crate::messenger::journal::Place;
use crate::messenger::world::{NAMES, World};
use crate::run::Verdict;

/// How long it may take: a device that has gone may come back, and changes are gathered.
const SETTLED_MILLIS: u64 = 20_000;

impl World {
    /// Some go, some look away; then everybody who is there knows.
    pub(super) fn check_presences(&mut self) -> Verdict {
        let mut truth = Vec::new();
        for who in 0..NAMES.len() {
            let state = *self.dice.pick(&["online", "online", "away", "offline"]);
            truth.push(state);
            for device in 0..self.devices.len() {
                if self.devices[device].who != who {
                    continue;
                }
                match state {
                    "online" => self.look(device, false),
                    "away" => self.look(device, true),
                    _ => self.disconnect(device),
                }
            }
        }
        for _ in 0..4 {
            self.now = self.now.saturating_add(SETTLED_MILLIS / 2);
            self.rest(2)?;
        }
        let ids = self.accounts.clone();
        let stories = self.store.journal.stories(|_| String::new());
        let talk = |one: usize, other: usize| {
            let pair = [ids[one].min(ids[other]), ids[one].max(ids[other])];
            let place = Place::Pair(pair[0], pair[1]);
            stories.iter().any(|story| story.place == place)
        };
        for device in &self.devices {
            let listens = matches!(device.keeps, Keeps::Cache(_)) && truth[device.who] == "online";
            for (other, state) in truth.iter().enumerate() {
                if !listens || other == device.who || !talk(device.who, other) {
                    continue;
                }
                let told = device.presences.get(NAMES[other]);
                if told.map(String::as_str) != Some(*state) {
                    return Err(format!(
                        "{} is {state}, and {} is told {told:?}",
                        NAMES[other], NAMES[device.who]
                    ));
                }
            }
        }
        Ok(())
    }
}
