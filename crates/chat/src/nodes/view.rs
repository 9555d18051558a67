//! Which nodes there are, and whose each partition is, as the store says. Data only.

use records::PartitionId;

/// The number of a node; it stays the same over its restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// One life of a node, from a start to the end of what it may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// The node.
    pub node: NodeId,
    /// Counts its lives.
    pub number: u32,
}

/// Whose a partition is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// `None` only while there are no members at all: whoever is fenced has heirs in the same change, so that nobody takes everything up
    /// to a position for stored that the next owner may still write.
    pub owner: Option<Incarnation>,
    /// Counts its owners: what another term has written is refused by the store.
    pub term: u64,
    /// A tick that is above every position of the partition before this term, and above everything that its owners have promised.
    pub ceiling: u64,
}

/// What the store says of nodes and partitions at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// Grows with every change.
    pub version: u64,
    /// Who may write, and must have said how far it has come before anybody takes everything up to there for stored.
    pub members: Vec<Incarnation>,
    /// By partition, [`PartitionId::COUNT`] of them.
    pub owners: Vec<Ownership>,
}

impl ClusterView {
    /// Whose a partition is.
    pub(crate) fn of(&self, partition: PartitionId) -> Ownership {
        let at = usize::from(partition.number());
        self.owners.get(at).copied().unwrap_or_default()
    }
}
