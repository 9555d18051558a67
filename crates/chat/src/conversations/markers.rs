//! How far members have read and received: markers that only grow, are written down, and are told to the authors of the messages
//! they newly cover, gathered for a second. And who types, which is told and forgotten.

use records::{AccountId, ConversationId, Seq, key};

use crate::command::{Address, To};
use crate::conversations::Effect;
use crate::conversations::author_lookup::{Authors, AuthorsWanted, Told};
use crate::conversations::moved::Moved;
use crate::conversations::partition::{Batch, Partition};
use crate::conversations::reading::Reading;
use crate::conversations::shared::{Context, Timer};
use crate::note::{Marker, Note, Outcome};
use crate::refusal::Refusal;

/// How long markers are gathered.
const GATHER_MILLIS: u64 = 1_000;
/// Markers of a partition that may be gathered at once; then they are written before their time.
const GATHERED_MAX: usize = 4_096;
/// Markers written in one append.
const WRITES_MAX: usize = 1_024;
/// In larger conversations markers are kept but told to nobody, and typing is not told.
const MEMBERS_MAX: usize = 50;
impl Partition {
    /// Moves the own read marker.
    pub(super) fn read(
        &mut self,
        account: AccountId,
        seq: u64,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let (id, known) = self.member_of(account, found)?;
        if seq == 0 || seq > known.last.seq.value() {
            return Err(Refusal::no_such_message(seq));
        }
        let seq = Seq::new(seq);
        if known
            .member(account)
            .is_some_and(|member| seq <= member.read)
        {
            return Ok(Outcome::Done);
        }
        let moved = self.next_pos(batch, context);
        self.pin(id, batch);
        let mut before = seq;
        if let Some(known) = self.find_mut(id) {
            let address = known.address.clone();
            if let Some(member) = known.member_mut(account) {
                before = std::mem::replace(&mut member.read, seq);
                member.received = member.received.max(seq);
                member.moved = moved;
                batch.put(key::member(id, account), member.encode());
            }
            batch.tell(Note::Changed {
                conversation: id,
                address,
                account,
            });
        }
        context.shared.counters.markers_moved += 1;
        self.read_moved(id, account, before, context);
        Ok(Outcome::Done)
    }

    /// A read marker has moved on from `before`, which is written already.
    pub(super) fn read_moved(
        &mut self,
        id: ConversationId,
        account: AccountId,
        before: Seq,
        context: &mut Context<'_>,
    ) {
        let moved = self.moved_of(id, account);
        moved.read_from.get_or_insert(before);
        self.gather_markers(context);
    }

    /// A device has acknowledged a message.
    pub(super) fn received(
        &mut self,
        account: AccountId,
        seq: Seq,
        found: Option<ConversationId>,
        context: &mut Context<'_>,
    ) {
        let known = found.and_then(|id| Some((id, self.find(id)?)));
        let known = known.filter(|(_, known)| seq <= known.last.seq);
        let Some((id, member)) = known.and_then(|(id, known)| Some((id, known.member(account)?)))
        else {
            context.shared.counters.strays += 1;
            return;
        };
        if seq <= member.received {
            return;
        }
        let moved = self.moved_of(id, account);
        moved.received = moved.received.max(Some(seq));
        if self.moved.len() >= GATHERED_MAX {
            context.shared.counters.receipts_hurried += 1;
            self.tell_markers(context);
            return;
        }
        self.gather_markers(context);
    }

    fn moved_of(&mut self, id: ConversationId, account: AccountId) -> &mut Moved {
        if !self.moved.contains_key(&(id, account))
            && let Some(known) = self.find_mut(id)
        {
            // Until they are told.
            known.pins += 1;
        }
        self.moved.entry((id, account)).or_default()
    }

    fn gather_markers(&mut self, context: &mut Context<'_>) {
        if !self.markers_timed {
            self.markers_timed = true;
            let due = context.now.saturating_add(GATHER_MILLIS);
            let timer = Timer::Markers(self.id);
            context.shared.timers.set(due, timer);
        }
    }

    /// The second is over.
    pub(super) fn markers_due(&mut self, context: &mut Context<'_>) {
        self.markers_timed = false;
        self.tell_markers(context);
    }

    /// Writes what is not written yet, and tells.
    fn tell_markers(&mut self, context: &mut Context<'_>) {
        let moved = std::mem::take(&mut self.moved);
        let mut batch = Batch::default();
        for ((id, account), moved) in moved {
            for told in self.settle_marker(id, account, moved, &mut batch, context) {
                self.tell_marker(told, &mut batch, context);
            }
            self.unpin(id);
            if batch.writes.len() >= WRITES_MAX {
                self.commit(std::mem::take(&mut batch), context);
            }
        }
        self.commit(batch, context);
    }

    /// Moves the received marker, and says what is to be told of both.
    fn settle_marker(
        &mut self,
        id: ConversationId,
        account: AccountId,
        moved: Moved,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> impl Iterator<Item = Told> + use<> {
        let told = |kind, after, upto| Told {
            conversation: id,
            account,
            kind,
            after,
            upto,
        };
        let member = self.find(id).and_then(|known| known.member(account));
        // Who has left in the meantime has no markers.
        let Some((read, received)) = member.map(|member| (member.read, member.received)) else {
            return [None, None].into_iter().flatten();
        };
        let mut told_received = None;
        if let Some(upto) = moved.received.filter(|upto| *upto > received) {
            told_received = Some(told(Marker::Received, received, upto));
            let at = self.next_pos(batch, context);
            self.pin(id, batch);
            if let Some(known) = self.find_mut(id) {
                // Only a direct chat shows it to anybody.
                let is_shown = matches!(known.address, Address::Pair { .. });
                if let Some(member) = known.member_mut(account) {
                    member.received = upto;
                    member.moved = if is_shown { at } else { member.moved };
                    batch.put(key::member(id, account), member.encode());
                }
            }
            context.shared.counters.markers_moved += 1;
        }
        let told_read = moved.read_from.map(|after| told(Marker::Read, after, read));
        [told_read, told_received].into_iter().flatten()
    }

    /// Tells the authors of what a marker newly covers, or looks them up first.
    fn tell_marker(&mut self, told: Told, batch: &mut Batch, context: &mut Context<'_>) {
        let Some(known) = self.find(told.conversation) else {
            return;
        };
        if known.members().len() > MEMBERS_MAX {
            return;
        }
        // What lies beyond one's own markers in a direct chat is the other's: sending moves them.
        if let Some(peer) = known.address.peer(told.account) {
            return self.tell_authors(&told, vec![peer], batch);
        }
        let (authors, unknown) = known.authors.between(told.after, told.upto);
        if told.after >= unknown || !context.shared.author_readings.begin(context.now) {
            return self.tell_authors(&told, authors, batch);
        }
        let wanted = AuthorsWanted {
            partition: self.id,
            told,
            known: authors,
            unknown,
        };
        let query = Reading::Authors(wanted);
        context.shared.effects.push_back(Effect::Read(query));
    }

    /// Authors have been looked up.
    pub(super) fn authors_found(&mut self, found: Authors, context: &mut Context<'_>) {
        context.shared.author_readings.end();
        context.shared.counters.unreadable += u64::from(found.is_unreadable);
        let mut batch = Batch::default();
        self.tell_authors(&found.told, found.authors, &mut batch);
        self.commit(batch, context);
    }

    fn tell_authors(&self, told: &Told, mut authors: Vec<AccountId>, batch: &mut Batch) {
        let Some(known) = self.find(told.conversation) else {
            return;
        };
        authors.retain(|author| *author != told.account && known.member(*author).is_some());
        authors.sort_unstable();
        authors.dedup();
        if authors.is_empty() {
            return;
        }
        batch.tell(Note::Marker {
            conversation: told.conversation,
            address: known.address.clone(),
            account: told.account,
            kind: told.kind,
            upto: told.upto,
            authors,
        });
    }

    /// Tells the others that an account types.
    pub(super) fn typing(
        &mut self,
        account: AccountId,
        to: &To,
        found: Option<ConversationId>,
        batch: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        // Whoever types the first message of a direct chat does nothing wrong.
        if let (To::Address(Address::Pair { .. }), None) = (to, found) {
            return Ok(Outcome::Done);
        }
        let (id, known) = self.member_of(account, found)?;
        if known.members().len() > MEMBERS_MAX {
            return Ok(Outcome::Done);
        }
        if let Some(known) = self.find_mut(id) {
            batch.tell(Note::Typing {
                address: known.address.clone(),
                account,
                audience: known.audience(),
            });
        }
        Ok(Outcome::Done)
    }
}
