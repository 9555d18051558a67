//! Worlds of the messenger: one to four nodes over one store that fences, links between them that delay, double, lose and reorder,
//! partitions that move at any moment, nodes that pause, die and come back, devices that move between them. What everybody must have
//! in the end is told by a model that reads nothing but the entries that were ever stored.

mod calm;
mod checks;
mod device;
mod events;
mod journal;
mod mistake;
mod node;
mod presence;
mod sessions;
mod store;
mod world;

use crate::order::Order;
use crate::run::{Ran, Worlds, caught};
pub use mistake::Mistake;
use world::World;

impl Worlds for Mistake {
    const NAME: &'static str = "messenger";

    fn run(order: Order<Self>, logged: bool) -> Ran {
        let mut world = World::new(order, logged);
        let verdict = caught(&mut world, World::run);
        let (steps, log) = world.ended();
        Ran {
            verdict,
            steps,
            log,
        }
    }
}
