//! Several nodes over one store: where a command goes, from where notes come, and how far all of them have come. Alone, a node owns
//! everything and this does nothing. What is told by whoever does not own a partition any more is not passed on; what was missed is
//! read from the store. Must not know what a command or a note does.
//!
//! A node's watermark that everything up to a position is stored is good for the partitions that it owned when it gave it, in the view of
//! that time. It never promises more than a ceiling that is on disk, above which the next owner begins: so the smallest watermark of all
//! members holds for every partition, whoever has taken which over meanwhile.

mod cluster;
mod frame;
mod link;
pub(crate) mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use records::{AccountId, Cursor, Millis, PartitionId, Pos};

use crate::command::{Command, CommandId};
use crate::note::Note;
use crate::sessions::presence_state::PresenceRow;
use cluster::{BEAT_MILLIS, Changes, Cluster};
pub use frame::Frame;
pub(crate) use frame::{Message, Watermark};
pub use link::LinkLimits;
use view::{ClusterView, Incarnation, NodeId};

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Nodes {
    own: Incarnation,
    /// `None` if there are no others and never will be.
    cluster: Option<Box<Cluster>>,
}

/// Where a command is carried out.
#[derive(Debug)]
pub(crate) enum Route {
    Here(Command),
    Elsewhere,
    /// Nobody is known to do it.
    Nowhere(Command),
}

/// What a frame has brought.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// Each carried out together, in this order.
    pub(crate) batches: Vec<Arc<[Message]>>,
    /// Commands that nobody may have carried out.
    pub(crate) refused: Vec<Note>,
}

impl Nodes {
    /// A node that owns everything.
    pub(crate) fn alone() -> Self {
        Self {
            own: Incarnation::default(),
            cluster: None,
        }
    }

    /// One of several, which owns nothing until it hears of it.
    pub(crate) fn one_of_several(own: Incarnation, links: LinkLimits) -> Self {
        let cluster = Cluster {
            links,
            ..Cluster::default()
        };
        Self {
            own,
            cluster: Some(Box::new(cluster)),
        }
    }

    pub(crate) fn own(&self) -> Incarnation {
        self.own
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.cluster.is_none()
    }

    /// Everything up to here is on disk, whoever wrote it; `own` is how far this node's own partitions have come.
    pub(crate) fn stored<'a>(&'a self, own: &'a Cursor) -> &'a Cursor {
        match &self.cluster {
            None => own,
            Some(cluster) => &cluster.stored,
        }
    }

    /// Everything up to here was passed on to this node's sessions, or is on its way to them with what they will read.
    pub(crate) fn told(&self, own: &Cursor) -> Pos {
        match &self.cluster {
            None => own.floor(),
            Some(cluster) => cluster.told,
        }
    }

    /// How far this node's own partitions have come, and what it may promise of what it has not given.
    pub(crate) fn set_own_stored(&mut self, own: &Cursor, promised: Pos) {
        let me = self.own;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let watermark = Watermark {
            stored: own.lowered(promised),
            newest: own.newest(),
        };
        if cluster.own_watermark != watermark {
            cluster.own_watermark = watermark;
            cluster.merge_stored(me);
        }
    }

    /// The newest position that any node is known to have come to: what this node gives is newer.
    pub(crate) fn newest(&self) -> Pos {
        let cluster = self.cluster.as_ref();
        cluster.map_or(Pos::ZERO, |cluster| {
            cluster.newest().max(cluster.newest_missed())
        })
    }

    /// Another view of the cluster; an older one says nothing.
    pub(crate) fn apply(&mut self, view: ClusterView) -> Changes {
        let own = self.own;
        match &mut self.cluster {
            Some(cluster) if view.version > cluster.view.version => cluster.apply(view, own),
            Some(_) | None => Changes::default(),
        }
    }

    // Commands.

    /// Where a command is to be carried out; it is on its way if that is elsewhere.
    pub(crate) fn route(&mut self, command: Command) -> Route {
        let Some(cluster) = &mut self.cluster else {
            return Route::Here(command);
        };
        let ownership = match command.to.partition() {
            Some(partition) => cluster.view.of(partition),
            // Whoever carries it out says that there is no such thing.
            None => return Route::Here(command),
        };
        let Some(owner) = ownership.owner else {
            return Route::Nowhere(command);
        };
        if owner == self.own {
            return Route::Here(command);
        }
        let Some(peer) = cluster.peers.get_mut(&owner.node) else {
            return Route::Nowhere(command);
        };
        if peer.incarnation != owner {
            return Route::Nowhere(command);
        }
        if let Some(CommandId { number, .. }) = command.id {
            cluster.sent.insert(number, (owner.node, command.clone()));
        }
        peer.outbox.push(Message::Command {
            term: ownership.term,
            command,
        });
        Route::Elsewhere
    }

    /// In which term a partition is whose it is, as this node knows it.
    pub(crate) fn term(&self, partition: PartitionId) -> u64 {
        let cluster = self.cluster.as_ref();
        cluster.map_or(0, |cluster| cluster.view.of(partition).term)
    }

    /// The view that this node knows.
    pub(crate) fn version(&self) -> u64 {
        self.cluster
            .as_ref()
            .map_or(0, |cluster| cluster.view.version)
    }

    /// Whether this node carries out what another one has sent it for this term.
    pub(crate) fn accepts(&self, command: &Command, term: u64) -> bool {
        let partition = command.to.partition();
        partition.is_some_and(|partition| match &self.cluster {
            None => true,
            Some(cluster) => {
                let ownership = cluster.view.of(partition);
                ownership.owner == Some(self.own) && ownership.term == term
            }
        })
    }

    // Notes.

    /// What has happened here, to whomever it concerns. Yields what concerns this node.
    pub(crate) fn tell(&mut self, note: Note) -> Option<Note> {
        let Some(cluster) = &mut self.cluster else {
            return Some(note);
        };
        if let Note::Done { id, .. } = &note {
            if id.sender == self.own {
                return Some(note);
            }
            // Who has begun anew waits for nothing.
            if let Some(peer) = cluster.peers.get_mut(&id.sender.node)
                && peer.incarnation == id.sender
            {
                peer.outbox.push(Message::Note { term: 0, note });
            }
            return None;
        }
        let partition = note.partition()?;
        let term = cluster.view.of(partition).term;
        for peer in cluster.peers.values_mut() {
            let note = note.clone();
            peer.outbox.push(Message::Note { term, note });
        }
        cluster.passes(partition, &note).then_some(note)
    }

    /// Others hear what an account has here.
    pub(crate) fn tell_presence(&mut self, account: AccountId, row: &PresenceRow) {
        let peers = self.cluster.iter_mut();
        for peer in peers.flat_map(|cluster| cluster.peers.values_mut()) {
            // Who has heard of nobody yet hears of everybody.
            if !peer.wants_presences {
                let row = row.clone();
                peer.outbox.push(Message::Presence { account, row });
            }
        }
    }

    /// Whether some node has not been told who is connected here.
    pub(crate) fn wants_presences(&self) -> bool {
        let mut peers = self
            .cluster
            .iter()
            .flat_map(|cluster| cluster.peers.values());
        peers.any(|peer| peer.wants_presences)
    }

    /// Everybody who is connected here, for whoever has not been told.
    pub(crate) fn tell_presences(&mut self, rows: &[(AccountId, PresenceRow)]) {
        let peers = self.cluster.iter_mut();
        let peers = peers.flat_map(|cluster| cluster.peers.values_mut());
        for peer in peers.filter(|peer| peer.wants_presences) {
            peer.wants_presences = false;
            peer.outbox.push(Message::Presences);
            let rows = rows.iter().cloned();
            let rows = rows.map(|(account, row)| Message::Presence { account, row });
            peer.outbox.extend(rows);
        }
    }

    /// What another node has told: yields what concerns this one.
    pub(crate) fn heard(&mut self, from: NodeId, term: u64, note: &Note) -> Option<Note> {
        let cluster = self.cluster.as_mut()?;
        if let Note::Done { id, .. } = note {
            // Whoever waited was told something else if it is not there.
            let waits = id.sender == self.own && cluster.sent.remove(&id.number).is_some();
            return waits.then(|| note.clone());
        }
        let partition = note.partition()?;
        let ownership = cluster.view.of(partition);
        let owns = ownership.owner.is_some_and(|owner| owner.node == from);
        if !owns || ownership.term != term {
            // Of a later term: it is read once that is known. Of an earlier one: it has been read, or will be.
            return None;
        }
        cluster.passes(partition, note).then(|| note.clone())
    }

    /// Another node says how far it has come.
    pub(crate) fn heard_watermark(&mut self, from: NodeId, version: u64, watermark: &Watermark) {
        let own = self.own;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_known = version <= cluster.view.version;
        if let Some(peer) = cluster.peers.get_mut(&from) {
            let was_unknown = std::mem::take(&mut peer.is_unknown);
            if is_known {
                peer.watermark = Some(watermark.clone());
                cluster.merge_stored(own);
            } else {
                peer.later = Some((version, watermark.clone()));
            }
            if was_unknown {
                cluster.is_known_again(from, own);
            }
        }
    }

    /// Whether everything can be read that was missed of some partitions, whose notes are passed on again from here on. Not more often
    /// than nodes say how far they have come, unless nothing is missed any more: it is work for every session.
    pub(crate) fn take_readable(&mut self, now: Millis) -> bool {
        self.cluster
            .as_mut()
            .is_some_and(|cluster| cluster.take_readable(now))
    }

    // Frames.

    /// Another node has sent this.
    pub(crate) fn receive(&mut self, frame: &Frame, now: Millis) -> Arrived {
        let mut arrived = Arrived::default();
        let Some(cluster) = &mut self.cluster else {
            return arrived;
        };
        if frame.to != self.own {
            return arrived;
        }
        let node = frame.from.node;
        let Some(peer) = cluster.peers.get_mut(&node) else {
            return arrived;
        };
        if peer.incarnation != frame.from {
            return arrived;
        }
        let received = peer.link.receive(&frame.envelope, now);
        arrived.batches = received.batches;
        if received.has_missed {
            peer.is_unknown = true;
            arrived.refused = cluster.refuse_sent(|to, _| to == node);
            cluster.miss_all_of(node);
        }
        arrived
    }

    /// What is to be sent now. Everything that was gathered since the last time is carried out together.
    pub(crate) fn poll_frame(&mut self, now: Millis) -> Option<Frame> {
        let own = self.own;
        let cluster = self.cluster.as_mut()?;
        for peer in cluster.peers.values_mut() {
            if let Some(envelope) = peer.link.poll(now) {
                return Some(Frame {
                    from: own,
                    to: peer.incarnation,
                    envelope,
                });
            }
        }
        None
    }

    /// Closes what was gathered for others. Yields commands that were given up with what was not acknowledged.
    pub(crate) fn close_batches(&mut self) -> Vec<Note> {
        let Some(cluster) = &mut self.cluster else {
            return Vec::new();
        };
        let has_come_further = cluster.told_watermark != cluster.own_watermark;
        if has_come_further {
            cluster.told_watermark.clone_from(&cluster.own_watermark);
        }
        let (version, watermark) = (cluster.view.version, cluster.own_watermark.clone());
        let mut given_up = BTreeSet::new();
        for (node, peer) in &mut cluster.peers {
            if has_come_further {
                let watermark = watermark.clone();
                // Before what it covers: who hears of an entry may ask for what comes behind it.
                peer.outbox
                    .insert(0, Message::Stored { version, watermark });
            }
            if peer.outbox.is_empty() {
                continue;
            }
            let batch = std::mem::take(&mut peer.outbox).into();
            if !peer.link.push(batch) {
                given_up.insert(*node);
                peer.wants_presences = true;
                // So that the other side learns of it.
                let watermark = watermark.clone();
                peer.link
                    .push(Arc::from([Message::Stored { version, watermark }]));
            }
        }
        if given_up.is_empty() {
            return Vec::new();
        }
        cluster.refuse_sent(|node, _| given_up.contains(&node))
    }

    // Time.

    pub(crate) fn next_timeout(&self) -> Option<Millis> {
        let cluster = self.cluster.as_ref()?;
        let links = cluster.peers.values();
        let again = links.filter_map(|peer| peer.link.next_timeout());
        again.chain([cluster.beat_at]).min()
    }

    /// Whether it is time to say how far this node has come.
    pub(crate) fn is_beat_due(&mut self, now: Millis) -> bool {
        let Some(cluster) = &mut self.cluster else {
            return false;
        };
        if cluster.beat_at > now {
            return false;
        }
        cluster.beat_at = now.saturating_add(BEAT_MILLIS);
        !cluster.view.owners.is_empty()
    }
}
