//! What one of several nodes knows of the others: whose the partitions are, how far everybody has come, what of it has been missed here.
//! Must not know what a command or a note does.

use std::collections::{BTreeMap, BTreeSet};

use records::{Cursor, Millis, PartitionId, Pos};

use crate::command::Command;
use crate::nodes::frame::{Message, Watermark};
use crate::nodes::link::{Link, LinkLimits};
use crate::nodes::view::{ClusterView, Incarnation, NodeId, Ownership};
use crate::note::Note;
use crate::refusal::Refusal;

/// How often a node says how far it has come.
pub(super) const BEAT_MILLIS: u64 = 300;

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) links: LinkLimits,
    pub(super) view: ClusterView,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Own commands that others carry out, by number.
    pub(super) sent: BTreeMap<u64, (NodeId, Command)>,
    /// How far this node's own partitions have come.
    pub(super) own_watermark: Watermark,
    /// What was told to others of that.
    pub(super) told_watermark: Watermark,
    /// Everything up to here is on disk, and what comes is newer, whoever writes it.
    pub(super) stored: Cursor,
    /// Everything up to here was passed on as well, if it concerned this node.
    pub(super) told: Pos,
    /// Partitions whose notes are not passed on until what was missed of them can be read: up to where that is.
    pub(super) missed: BTreeMap<PartitionId, Pos>,
    /// When sessions were last told to read what they had missed.
    pub(super) read_at: Millis,
    pub(super) beat_at: Millis,
}

/// Another node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) incarnation: Incarnation,
    pub(super) link: Link<Message>,
    /// What goes with the next frame.
    pub(super) outbox: Vec<Message>,
    /// How far it has come, by its last watermark that this node's view can judge.
    pub(super) watermark: Option<Watermark>,
    /// Its watermark from a later view.
    pub(super) later: Option<(u64, Watermark)>,
    /// It has given up what it had told, and has not said yet how far it had come.
    pub(super) is_unknown: bool,
    /// It has not been told who is connected here.
    pub(super) wants_presences: bool,
}

/// What another view of the cluster means for this node.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Partitions that were this node's, or still are in another term.
    pub(crate) lost: Vec<PartitionId>,
    /// Partitions that are its from now on.
    pub(crate) gained: Vec<(PartitionId, Ownership)>,
    /// Commands that nobody may have carried out.
    pub(crate) refused: Vec<Note>,
    /// Nodes that are no longer there, or have begun anew.
    pub(crate) gone: Vec<NodeId>,
}

impl Peer {
    fn new(incarnation: Incarnation, links: LinkLimits) -> Self {
        Self {
            incarnation,
            link: Link::new(links),
            outbox: Vec::new(),
            watermark: None,
            later: None,
            is_unknown: true,
            wants_presences: true,
        }
    }

    /// The newest position that it has told, as far as it has said so.
    fn newest(&self) -> Pos {
        let later = self.later.as_ref().map(|(_, later)| later);
        let watermarks = self.watermark.iter().chain(later);
        let newest = watermarks.map(|watermark| watermark.newest.max(watermark.stored.newest()));
        newest.max().unwrap_or(Pos::ZERO)
    }
}

impl Cluster {
    pub(super) fn apply(&mut self, view: ClusterView, own: Incarnation) -> Changes {
        let mut changes = Changes::default();
        let before = std::mem::replace(&mut self.view, view);
        let mut changed = Vec::new();
        for number in 0..PartitionId::COUNT {
            let partition = PartitionId::new(number);
            let (was, is) = (before.of(partition), self.view.of(partition));
            if (was.owner, was.term) == (is.owner, is.term) {
                continue;
            }
            if was.owner == Some(own) {
                changes.lost.push(partition);
            }
            if is.owner == Some(own) {
                changes.gained.push((partition, is));
            }
            changed.push(partition);
        }
        changes.gone = self.update_peers(own);
        for partition in changed {
            let upto = self.missed_upto(partition, own);
            self.missed.insert(partition, upto);
        }
        let view = &self.view;
        let is_there = |node: NodeId, command: &Command| {
            let partition = command.to.partition();
            partition.is_some_and(|partition| {
                let (was, is) = (before.of(partition), view.of(partition));
                was.term == is.term && is.owner.is_some_and(|owner| owner.node == node)
            })
        };
        let gone = changes.gone.clone();
        let refused = self.sent.iter();
        let refused =
            refused.filter(|(_, (node, command))| gone.contains(node) || !is_there(*node, command));
        let numbers: BTreeSet<u64> = refused.map(|(number, _)| *number).collect();
        changes.refused = self.refuse_numbers(&numbers);
        self.merge_stored(own);
        changes
    }

    /// Yields those that are gone.
    fn update_peers(&mut self, own: Incarnation) -> Vec<NodeId> {
        let members = &self.view.members;
        let mut gone = Vec::new();
        self.peers.retain(|node, peer| {
            let stays = members.contains(&peer.incarnation);
            if !stays {
                gone.push(*node);
            }
            stays
        });
        for incarnation in members.iter().filter(|member| member.node != own.node) {
            self.peers
                .entry(incarnation.node)
                .or_insert_with(|| Peer::new(*incarnation, self.links));
        }
        let version = self.view.version;
        for peer in self.peers.values_mut() {
            if let Some((_, later)) = peer.later.take_if(|(known, _)| *known <= version) {
                peer.watermark = Some(later);
            }
        }
        // They may not have heard it.
        self.told_watermark = Watermark::default();
        gone
    }

    /// The smallest watermark of all members, and of partitions with newer entries what their owners say.
    pub(super) fn merge_stored(&mut self, own: Incarnation) {
        let mut floor = self.own_watermark.stored.floor();
        for peer in self.peers.values() {
            let watermark = peer.watermark.as_ref();
            floor = floor.min(watermark.map_or(Pos::ZERO, |watermark| watermark.stored.floor()));
        }
        self.stored.raise(floor);
        let watermarks = self.peers.values().filter_map(|peer| {
            let watermark = peer.watermark.as_ref()?;
            Some((peer.incarnation, watermark))
        });
        for (who, watermark) in watermarks.chain([(own, &self.own_watermark)]) {
            for pos in watermark.stored.ahead() {
                if self.view.of(pos.partition()).owner == Some(who) {
                    self.stored.advance(pos);
                }
            }
        }
        if self.missed.is_empty() {
            self.told = self.stored.floor();
        }
    }

    /// Whether a note is passed on; otherwise it is read later. Its owner has told it in order: whatever is older is stored.
    pub(super) fn passes(&mut self, partition: PartitionId, note: &Note) -> bool {
        if let Note::Entry(entry) = note {
            self.stored.advance(entry.pos);
        }
        !self.missed.contains_key(&partition)
    }

    /// Up to where something may have been missed of a partition: what its owners before may have written and told nobody, and what its
    /// owner has told this node while it did not know of it.
    fn missed_upto(&self, partition: PartitionId, own: Incarnation) -> Pos {
        let ownership = self.view.of(partition);
        let before = Pos::at(ownership.ceiling, partition);
        match ownership.owner {
            Some(owner) if owner != own => match self.peers.get(&owner.node) {
                Some(peer) if !peer.is_unknown => peer.newest().max(before),
                Some(_) | None => Pos::MAX,
            },
            Some(_) | None => before,
        }
    }

    /// Something that this node has told may have been lost: everything of its partitions is to be read, once it is known how far that is.
    pub(super) fn miss_all_of(&mut self, node: NodeId) {
        for partition in self.partitions_of(node) {
            self.missed.insert(partition, Pos::MAX);
        }
    }

    /// A node that has given up what it had told says how far it had come.
    pub(super) fn is_known_again(&mut self, node: NodeId, own: Incarnation) {
        for partition in self.partitions_of(node) {
            let upto = self.missed_upto(partition, own);
            if let Some(missed) = self.missed.get_mut(&partition) {
                *missed = upto;
            }
        }
    }

    /// The newest position up to which something was missed, as far as that is known.
    pub(super) fn newest_missed(&self) -> Pos {
        let known = self.missed.values().filter(|upto| **upto < Pos::MAX);
        known.max().copied().unwrap_or(Pos::ZERO)
    }

    fn partitions_of(&self, node: NodeId) -> Vec<PartitionId> {
        let partitions = (0..PartitionId::COUNT).map(PartitionId::new);
        partitions
            .filter(|partition| {
                let owner = self.view.of(*partition).owner;
                owner.is_some_and(|owner| owner.node == node)
            })
            .collect()
    }

    /// See [`super::Nodes::take_readable`].
    pub(super) fn take_readable(&mut self, now: Millis) -> bool {
        let stored = &self.stored;
        let is_readable = |partition: &PartitionId, upto: &Pos| stored.of(*partition) >= *upto;
        let count = self.missed.iter();
        let count = count
            .filter(|(partition, upto)| is_readable(partition, upto))
            .count();
        let is_time = now.since(self.read_at) >= BEAT_MILLIS || count == self.missed.len();
        if count == 0 || !is_time {
            return false;
        }
        self.missed
            .retain(|partition, upto| !is_readable(partition, upto));
        self.read_at = now;
        true
    }

    pub(super) fn newest(&self) -> Pos {
        let peers = self.peers.values().map(Peer::newest);
        let own = [
            self.own_watermark.newest,
            self.own_watermark.stored.newest(),
        ];
        peers.chain(own).fold(self.stored.newest(), Pos::max)
    }

    pub(super) fn refuse_sent(&mut self, is_lost: impl Fn(NodeId, &Command) -> bool) -> Vec<Note> {
        let lost = self.sent.iter();
        let lost = lost.filter(|(_, (node, command))| is_lost(*node, command));
        let numbers = lost.map(|(number, _)| *number).collect();
        self.refuse_numbers(&numbers)
    }

    /// Nobody knows whether these were carried out: who waits may try again.
    fn refuse_numbers(&mut self, numbers: &BTreeSet<u64>) -> Vec<Note> {
        let lost = numbers.iter().filter_map(|number| self.sent.remove(number));
        lost.filter_map(|(_, command)| Note::refused(&command, Refusal::unavailable()))
            .collect()
    }
}
