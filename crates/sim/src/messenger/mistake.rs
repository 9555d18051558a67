//! Mistakes that a world makes in the place of a node, its store or a client, so that the checks are seen to fail.

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
        (Self::ForgetCursor, "times"),
        (Self::KeepJoined, "does not take part in"),
    ];
}
