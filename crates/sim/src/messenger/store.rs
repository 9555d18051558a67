//! The one store of all nodes: rows, which nodes there are and whose each partition is. It refuses what comes from somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chat::{ClusterView, Damaged, End, Incarnation, NodeId, Owner, Ownership, Source, Unreadable};
use records::{KeyRange, Member, Millis, PartitionId, Pos, Table, Write, key};

use crate::messenger::journal::Journal;
use crate::messenger::mistake::Mistake;

/// See the file's header.
pub(super) struct Store {
    rows: BTreeMap<Vec<u8>, Bytes>,
    pub(super) view: ClusterView,
    incarnations: u32,
    pub(super) journal: Journal,
    /// Positions of entries that were ever written.
    pub(super) ever: BTreeSet<Pos>,
    /// The first thing that is wrong with what was written.
    pub(super) wrong: Option<String>,
    mistake: Mistake,
}

/// In which belief a node appends.
#[derive(Debug, Clone)]
pub(super) enum Belief {
    /// That a partition is its own in this term.
    Owns(PartitionId, u64),
    /// That these are.
    OwnsAll(Arc<[(PartitionId, u64)]>),
    /// That it may write at all.
    Lives,
}

impl Store {
    pub(super) fn new(mistake: Mistake) -> Self {
        Self {
            rows: BTreeMap::new(),
            view: ClusterView {
                version: 1,
                members: Vec::new(),
                owners: vec![Ownership::default(); usize::from(PartitionId::COUNT)],
            },
            incarnations: 0,
            journal: Journal::default(),
            ever: BTreeSet::new(),
            wrong: None,
            mistake,
        }
    }

    // Nodes and partitions.

    /// A node begins; what is nobody's is its own.
    pub(super) fn join(&mut self, node: NodeId) -> Incarnation {
        self.incarnations += 1;
        let own = Incarnation {
            node,
            number: self.incarnations,
        };
        self.view.members.push(own);
        for number in 0..PartitionId::COUNT {
            let partition = PartitionId::new(number);
            if self.ownership(partition).owner.is_none() {
                self.give(partition, Some(own));
            }
        }
        self.view.version += 1;
        own
    }

    /// A node writes nothing any more; `heir` says whose each of its partitions is from now on.
    pub(super) fn fence(
        &mut self,
        gone: Incarnation,
        mut heir: impl FnMut(&[Incarnation]) -> Option<Incarnation>,
    ) {
        self.view.members.retain(|member| *member != gone);
        for number in 0..PartitionId::COUNT {
            let partition = PartitionId::new(number);
            if self.ownership(partition).owner == Some(gone) {
                let heir = heir(&self.view.members);
                self.give(partition, heir);
            }
        }
        self.view.version += 1;
    }

    /// A partition moves.
    pub(super) fn hand_over(&mut self, partition: PartitionId, to: Incarnation) {
        self.give(partition, Some(to));
        self.view.version += 1;
    }

    pub(super) fn is_member(&self, own: Incarnation) -> bool {
        self.view.members.contains(&own)
    }

    fn ownership(&self, partition: PartitionId) -> Ownership {
        self.view.owners[usize::from(partition.number())]
    }

    fn give(&mut self, partition: PartitionId, to: Option<Incarnation>) {
        let was = self.ownership(partition);
        let promised = was.owner.map(|owner| key::promised_positions(owner.node.0));
        let given = [Some(key::positions(partition)), promised];
        let ceilings = given.iter().flatten().filter_map(|at| {
            let value = self.rows.get(at)?;
            key::decode_number(Table::Meta, value).ok()
        });
        let ceiling = ceilings.fold(was.ceiling, u64::max);
        self.view.owners[usize::from(partition.number())] = Ownership {
            owner: to,
            term: was.term + 1,
            ceiling,
        };
    }

    // Rows.

    /// What a node appends for an owner; false if it may not.
    pub(super) fn append(
        &mut self,
        from: Incarnation,
        belief: &Belief,
        writes: Vec<Write>,
    ) -> bool {
        let owns = |partition: PartitionId, term: u64| {
            let ownership = self.ownership(partition);
            ownership.owner == Some(from) && ownership.term == term
        };
        let may = match belief {
            Belief::Owns(..) if self.mistake == Mistake::IgnoreFence => true,
            Belief::Owns(partition, term) => owns(*partition, *term),
            Belief::OwnsAll(all) => all.iter().all(|(partition, term)| owns(*partition, *term)),
            Belief::Lives => true,
        };
        let may = may && (self.is_member(from) || self.mistake == Mistake::IgnoreFence);
        if may {
            for write in writes {
                self.write(write);
            }
        }
        may
    }

    fn write(&mut self, write: Write) {
        if let Ok((id, seq, pos)) = key::parse_entry(write.key())
            && matches!(write, Write::Put { .. })
        {
            if !self.ever.insert(pos) {
                self.note_wrong(format!("the position {pos} was given twice"));
            }
            let newest = self.journal.newest(id);
            if newest.is_some_and(|newest| newest >= pos) {
                let what = format!("the position {pos} comes after {newest:?} in {id:?} at {seq}");
                self.note_wrong(what);
            }
        }
        if Table::of(write.key()) == Ok(Table::Member)
            && let Write::Put { key, value } = &write
        {
            self.check_markers(key, value);
        }
        self.journal.note(&write);
        match write {
            Write::Put { key, .. }
                if self.mistake == Mistake::KeepJoined
                    && Table::of(&key) == Ok(Table::Joined)
                    && self.rows.contains_key(&key) => {}
            Write::Put { key, value } => drop(self.rows.insert(key, value.into())),
            Write::Delete { key } => drop(self.rows.remove(&key)),
        }
    }

    /// Markers of one time as a member never fall.
    fn check_markers(&mut self, key: &[u8], value: &[u8]) {
        let Some(before) = self.rows.get(key).and_then(|row| Member::decode(row).ok()) else {
            return;
        };
        let Ok(after) = Member::decode(value) else {
            return;
        };
        let falls = before.read > after.read || before.received > after.received;
        if before.joined == after.joined && falls {
            self.note_wrong(format!("a marker falls from {before:?} to {after:?}"));
        }
    }

    fn note_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    pub(super) fn trim(&mut self, range: &KeyRange) {
        let in_range = self.rows.range(range.from.clone()..range.to.clone());
        let keys: Vec<_> = in_range.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.rows.remove(&key);
        }
    }

    pub(super) fn row(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key)
    }

    fn found<'a>(
        &'a self,
        range: &KeyRange,
        end: End,
    ) -> Box<dyn Iterator<Item = (&'a Vec<u8>, &'a Bytes)> + 'a> {
        if range.from >= range.to {
            return Box::new(std::iter::empty());
        }
        let found = self.rows.range(range.from.clone()..range.to.clone());
        match end {
            End::First => Box::new(found),
            End::Last => Box::new(found.rev()),
        }
    }
}

impl Belief {
    /// What a node believes that knows this of the cluster.
    pub(super) fn of(owner: Owner, term: u64, own: Incarnation, view: &ClusterView) -> Self {
        let ownership = |number: u16| view.owners.get(usize::from(number)).copied();
        match owner {
            Owner::Partition(partition) => Self::Owns(partition, term),
            Owner::Node => {
                let all = (0..PartitionId::COUNT).filter_map(|number| {
                    let known = ownership(number)?;
                    let is_own = known.owner == Some(own);
                    is_own.then(|| (PartitionId::new(number), known.term))
                });
                Self::OwnsAll(all.collect())
            }
            Owner::Accounts | Owner::Sessions => Self::Lives,
        }
    }
}

impl Source for Store {
    fn rows(
        &self,
        range: &KeyRange,
        end: End,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for (key, value) in self.found(range, end).take(limit) {
            if bytes > bytes_max {
                break;
            }
            bytes += value.len();
            rows.push((Bytes::copy_from_slice(key), value.clone()));
        }
        Ok(rows)
    }

    fn keys(&self, range: &KeyRange, end: End, limit: usize) -> Result<Vec<Bytes>, Unreadable> {
        let found = self.found(range, end).take(limit);
        Ok(found.map(|(key, _)| Bytes::copy_from_slice(key)).collect())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        Ok(self.rows.get(key).cloned())
    }

    /// Nothing that is said here expires.
    fn now(&self) -> Millis {
        Millis::ZERO
    }

    fn damaged(&self, row: &Damaged) {
        panic!("{row}");
    }

    fn in_parts(&self, parts: usize, work: &(dyn Fn(&dyn Source, usize) + Sync)) {
        (0..parts).for_each(|part| work(self, part));
    }
}
