//! Which of a server's shards this is, and among how many.

/// A shard's number, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peers {
    own: u16,
    shards: u16,
}

impl Peers {
    pub(crate) fn new(own: u16, shards: u16) -> Self {
        Self { own, shards }
    }

    /// This shard's number.
    pub(crate) fn own(self) -> u16 {
        self.own
    }

    /// How many shards there are, this one among them.
    pub(crate) fn shards(self) -> u16 {
        self.shards
    }

    /// Whether there are other shards.
    pub(crate) fn has_others(self) -> bool {
        self.shards > 1
    }

    /// The bit masks of all other shards.
    pub(crate) fn others(self) -> u64 {
        (u64::MAX >> (64 - u32::from(self.shards))) & !(1 << self.own)
    }
}
