//! Mistakes that a world makes in the place of a node, its store or a client, so that the checks are seen to fail.

use crate::messenger::world::World;
use crate::order::Order;
use crate::run::{Ran, Worlds, caught};

/// A mistake, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mistake {
    /// Everything as it is.
    #[default]
    None,
    /// The store takes what whoever does not own a partition any more writes.
    IgnoreFence,
    /// A node takes what it has appended for stored before it is.
    AcknowledgeBeforeDisk,
    /// A client keeps the largest position that it has seen as its cursor.
    LargestPos,
    /// A node carries out every other note twice.
    RepeatNote,
    /// A node does not let its sessions read what it may have missed.
    IgnoreMissed,
    /// What a node has not told everybody yet it tells nobody.
    LoseFrames,
    /// A session forgets to say how far it has come when it moves to another node.
    ForgetCursor,
    /// A deleted or left conversation is not taken off an account's list.
    KeepJoined,
}

impl Mistake {
    /// All, each with words of what is found.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::IgnoreFence, "twice"),
        (Self::AcknowledgeBeforeDisk, "lost"),
        (Self::LargestPos, "lacks"),
        (Self::RepeatNote, "after"),
        (Self::IgnoreMissed, "times"),
        (Self::LoseFrames, "times"),
        (Self::ForgetCursor, "times"),
        (Self::KeepJoined, "conversations"),
    ];
}

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
