//! Several nodes over one store: where a command goes, from where notes come, and how far all of them have come. Alone, a node owns
//! everything and this does nothing. What is told by whoever does not own a partition any more is not passed on; what was missed is
//! read from the store. Must not know what a command or a note does.
//!
//! A node's word that everything up to a position is stored is good for the partitions that it owned when it gave it, in the view of
//! that time. It never promises more than a ceiling that is on disk, above which the next owner begins: so the smallest word of all
//! members holds for every partition, whoever has taken which over meanwhile.

mod frame;
mod link;
pub(crate) mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use records::{AccountId, Cursor, Millis, PartitionId, Pos};

use crate::command::{Command, CommandId};
use crate::note::Note;
use crate::refusal::Refusal;
use crate::sessions::presence_state::PresenceRow;
pub use frame::Frame;
pub(crate) use frame::{Parcel, Word};
use link::Link;
use view::{ClusterView, Incarnation, NodeId, Ownership};

/// How often a node says how far it has come.
const BEAT_MILLIS: u64 = 300;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Nodes {
    own: Incarnation,
    /// `None` if there are no others and never will be.
    cluster: Option<Box<Cluster>>,
}

#[derive(Debug)]
struct Cluster {
    view: ClusterView,
    peers: BTreeMap<NodeId, Peer>,
    /// Own commands that others carry out, by number.
    sent: BTreeMap<u64, (NodeId, Command)>,
    /// How far this node's own partitions have come.
    own_word: Word,
    /// What was told to others of that.
    told_word: Word,
    /// Everything up to here is on disk, and what comes is newer, whoever writes it.
    stored: Cursor,
    /// Partitions whose notes are not passed on until what was missed of them can be read.
    missed: BTreeSet<PartitionId>,
    /// Up to where everything must be stored until then.
    missed_upto: Pos,
    beat_at: Millis,
}

/// Another node.
#[derive(Debug)]
struct Peer {
    incarnation: Incarnation,
    link: Link<Parcel>,
    /// What goes with the next frame.
    outbox: Vec<Parcel>,
    /// How far it has come, by its last word that this node's view can judge.
    word: Option<Word>,
    /// Its word from a later view.
    later: Option<(u64, Word)>,
    /// It has given up what it had told, and has not said yet how far it had come.
    is_unknown: bool,
    /// It has not been told who is connected here.
    wants_presences: bool,
}

/// Where a command is carried out.
#[derive(Debug)]
pub(crate) enum Route {
    Here(Command),
    Elsewhere,
    /// Nobody is known to do it.
    Nowhere(Command),
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

/// What a frame has brought.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// Each carried out together, in this order.
    pub(crate) batches: Vec<Arc<[Parcel]>>,
    /// Commands that nobody may have carried out.
    pub(crate) refused: Vec<Note>,
}

impl Peer {
    fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            link: Link::default(),
            outbox: Vec::new(),
            word: None,
            later: None,
            is_unknown: true,
            wants_presences: true,
        }
    }
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
    pub(crate) fn one_of_several(own: Incarnation) -> Self {
        let cluster = Cluster {
            view: ClusterView {
                version: 0,
                members: Vec::new(),
                owners: Vec::new(),
            },
            peers: BTreeMap::new(),
            sent: BTreeMap::new(),
            own_word: Word::default(),
            told_word: Word::default(),
            stored: Cursor::default(),
            missed: BTreeSet::new(),
            missed_upto: Pos::ZERO,
            beat_at: Millis::ZERO,
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

    /// How far this node's own partitions have come, and what it may promise of what it has not given.
    pub(crate) fn set_own_stored(&mut self, own: &Cursor, promised: Pos) {
        let me = self.own;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let word = Word {
            stored: own.lowered(promised),
            newest: own.newest(),
        };
        if cluster.own_word != word {
            cluster.own_word = word;
            cluster.merge_stored(me);
        }
    }

    /// Up to where others may have come, whose cursors are good though this node cannot answer them yet.
    pub(crate) fn others(&self) -> Pos {
        let Some(cluster) = &self.cluster else {
            return Pos::ZERO;
        };
        if cluster.peers.values().any(|peer| peer.is_unknown) || cluster.stored.floor() == Pos::ZERO
        {
            return Pos::MAX;
        }
        self.newest()
    }

    /// The newest position that any node is known to have come to: what this node gives is newer.
    pub(crate) fn newest(&self) -> Pos {
        let cluster = self.cluster.as_ref();
        cluster.map_or(Pos::ZERO, |cluster| {
            cluster.newest().max(cluster.missed_upto)
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
        peer.outbox.push(Parcel::Command {
            term: ownership.term,
            command,
        });
        Route::Elsewhere
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
                peer.outbox.push(Parcel::Note { term: 0, note });
            }
            return None;
        }
        let partition = note.partition()?;
        let term = cluster.view.of(partition).term;
        for peer in cluster.peers.values_mut() {
            let note = note.clone();
            peer.outbox.push(Parcel::Note { term, note });
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
                peer.outbox.push(Parcel::Presence { account, row });
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
            peer.outbox.push(Parcel::Presences);
            let rows = rows.iter().cloned();
            let rows = rows.map(|(account, row)| Parcel::Presence { account, row });
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
    pub(crate) fn heard_word(&mut self, from: NodeId, version: u64, word: &Word) {
        let own = self.own;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_known = version <= cluster.view.version;
        if let Some(peer) = cluster.peers.get_mut(&from) {
            let was_unknown = std::mem::take(&mut peer.is_unknown);
            if is_known {
                peer.word = Some(word.clone());
                cluster.merge_stored(own);
            } else {
                peer.later = Some((version, word.clone()));
            }
            if was_unknown {
                cluster.raise_missed_upto();
            }
        }
    }

    /// Partitions of which everything can be read that was missed: from here on their notes are passed on again.
    pub(crate) fn take_readable(&mut self) -> bool {
        let Some(cluster) = &mut self.cluster else {
            return false;
        };
        let is_readable = !cluster.missed.is_empty()
            && cluster.stored.floor() >= cluster.missed_upto
            && !cluster.peers.values().any(|peer| peer.is_unknown);
        if is_readable {
            cluster.missed.clear();
        }
        is_readable
    }

    // Frames.

    /// Another node has sent this.
    pub(crate) fn receive(&mut self, frame: &Frame) -> Arrived {
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
        let received = peer.link.receive(&frame.envelope);
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
        let has_come_further = cluster.told_word != cluster.own_word;
        if has_come_further {
            cluster.told_word.clone_from(&cluster.own_word);
        }
        let (version, word) = (cluster.view.version, cluster.own_word.clone());
        let mut given_up = BTreeSet::new();
        for (node, peer) in &mut cluster.peers {
            if has_come_further {
                let word = word.clone();
                // Before what it covers: who hears of an entry may ask for what comes behind it.
                peer.outbox.insert(0, Parcel::Stored { version, word });
            }
            if peer.outbox.is_empty() {
                continue;
            }
            let batch = std::mem::take(&mut peer.outbox).into();
            if !peer.link.push(batch) {
                given_up.insert(*node);
                peer.wants_presences = true;
                // So that the other side learns of it.
                let word = word.clone();
                peer.link
                    .push(Arc::from([Parcel::Stored { version, word }]));
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
        let is_due = cluster.beat_at <= now && !cluster.view.owners.is_empty();
        if cluster.beat_at <= now {
            cluster.beat_at = now.saturating_add(BEAT_MILLIS);
        }
        is_due
    }
}

impl Cluster {
    fn apply(&mut self, view: ClusterView, own: Incarnation) -> Changes {
        let mut changes = Changes::default();
        let before = std::mem::replace(&mut self.view, view);
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
            self.missed.insert(partition);
            // Up to here its owners before may have written what they told nobody.
            let before = Pos::at(is.ceiling, PartitionId::new(PartitionId::COUNT - 1));
            self.missed_upto = self.missed_upto.max(before);
        }
        changes.gone = self.update_peers(own);
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
        self.raise_missed_upto();
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
                .or_insert_with(|| Peer::new(*incarnation));
        }
        let version = self.view.version;
        for peer in self.peers.values_mut() {
            if let Some((_, later)) = peer.later.take_if(|(known, _)| *known <= version) {
                peer.word = Some(later);
            }
        }
        // They may not have heard it.
        self.told_word = Word::default();
        gone
    }

    /// The smallest word of all members, and of partitions with newer entries what their owners say.
    fn merge_stored(&mut self, own: Incarnation) {
        let mut floor = self.own_word.stored.floor();
        for peer in self.peers.values() {
            let word = peer.word.as_ref();
            floor = floor.min(word.map_or(Pos::ZERO, |word| word.stored.floor()));
        }
        self.stored.raise(floor);
        let words = self.peers.values().filter_map(|peer| {
            let word = peer.word.as_ref()?;
            Some((peer.incarnation, word))
        });
        for (who, word) in words.chain([(own, &self.own_word)]) {
            for pos in word.stored.ahead() {
                if self.view.of(pos.partition()).owner == Some(who) {
                    self.stored.advance(pos);
                }
            }
        }
    }

    /// Whether a note is passed on; otherwise it is read later.
    fn passes(&mut self, partition: PartitionId, note: &Note) -> bool {
        let Note::Entry(entry) = note else {
            return !self.missed.contains(&partition);
        };
        if self.missed.contains(&partition) {
            self.missed_upto = self.missed_upto.max(entry.pos);
            return false;
        }
        self.stored.advance(entry.pos);
        true
    }

    /// Something that this node has told may have been lost: everything of its partitions is to be read.
    fn miss_all_of(&mut self, node: NodeId) {
        for number in 0..PartitionId::COUNT {
            let partition = PartitionId::new(number);
            let owner = self.view.of(partition).owner;
            if owner.is_some_and(|owner| owner.node == node) {
                self.missed.insert(partition);
            }
        }
        self.raise_missed_upto();
    }

    /// What was missed is not newer than what anybody has come to.
    fn raise_missed_upto(&mut self) {
        self.missed_upto = self.missed_upto.max(self.newest());
    }

    fn newest(&self) -> Pos {
        let peers = self.peers.values();
        let words = peers.flat_map(|peer| {
            let later = peer.later.as_ref().map(|(_, later)| later);
            peer.word.iter().chain(later)
        });
        let words = words.chain([&self.own_word]);
        let newest = words.map(|word| word.newest.max(word.stored.newest()));
        newest.fold(self.stored.newest(), Pos::max)
    }

    fn refuse_sent(&mut self, is_lost: impl Fn(NodeId, &Command) -> bool) -> Vec<Note> {
        let lost = self.sent.iter();
        let lost = lost.filter(|(_, (node, command))| is_lost(*node, command));
        let numbers = lost.map(|(number, _)| *number).collect();
        self.refuse_numbers(&numbers)
    }

    /// Nobody knows whether these were carried out: who waits may try again.
    fn refuse_numbers(&mut self, numbers: &BTreeSet<u64>) -> Vec<Note> {
        let lost = numbers.iter().filter_map(|number| self.sent.remove(number));
        lost.filter_map(|(_, command)| command.refused(Refusal::unavailable()))
            .collect()
    }
}
