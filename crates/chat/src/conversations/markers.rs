//! How far members have read and received: markers that only grow, are written down, and are told to the authors of the messages
//! they newly cover, gathered for a second. And who types, which is told and forgotten.

use std::collections::BTreeMap;

use records::{AccountId, ConversationId, Member, Seq, key};

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

/// Whose markers have come to a message, by what is told of them, and to which author.
type Gathered = BTreeMap<(ConversationId, Marker, Seq, AccountId), Vec<AccountId>>;

impl Partition {
    /// Moves the own read marker.
    pub(super) fn read(
        &mut self,
        account: AccountId,
        (seq, is_private): (u64, bool),
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let (id, seq, member) = self.marker_of(account, seq, found)?;
        let marker = if is_private {
            member.read
        } else {
            member.read_shown()
        };
        if seq <= marker {
            return Ok(Outcome::Done);
        }
        let moved = self.next_pos(batch, context);
        self.pin(id, batch);
        let mut before = None;
        if let Some(known) = self.find_mut(id) {
            let address = known.address.clone();
            let mut read = None;
            if let Some(member) = known.member_mut(account) {
                read = Some(seq).filter(|seq| *seq > member.read);
                if is_private {
                    member.move_read_in_private(seq, moved);
                } else {
                    before = Some(member.move_read(seq, moved));
                }
                batch.put(key::member(id, account), member.encode());
            }
            batch.tell(Note::Changed {
                conversation: id,
                address,
                account,
                read,
            });
        }
        context.shared.counters.markers_moved += 1;
        if let Some(before) = before {
            self.read_moved(id, account, before, context);
        }
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

    /// A client says that it has what it was not sent as a message at QoS 1 or 2.
    pub(super) fn mark_received(
        &mut self,
        account: AccountId,
        seq: u64,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let (id, seq, member) = self.marker_of(account, seq, found)?;
        let before = member.received;
        if seq <= before {
            return Ok(Outcome::Done);
        }
        self.write_received(id, account, seq, batch, context);
        let moved = self.moved_of(id, account);
        moved.received_from.get_or_insert(before);
        self.gather_markers(context);
        Ok(Outcome::Done)
    }

    /// Where an account moves a marker, up to which message, and what it has there.
    fn marker_of(
        &self,
        account: AccountId,
        seq: u64,
        found: Option<ConversationId>,
    ) -> Result<(ConversationId, Seq, &Member), Refusal> {
        let (id, known) = self.member_of(account, found)?;
        if seq == 0 || seq > known.last.seq.value() {
            return Err(Refusal::no_such_message(seq).in_field("seq"));
        }
        let member = known.member(account).ok_or_else(Refusal::unavailable)?;
        Ok((id, Seq::new(seq), member))
    }

    /// The received marker has moved up to here.
    fn write_received(
        &mut self,
        id: ConversationId,
        account: AccountId,
        upto: Seq,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) {
        let at = self.next_pos(batch, context);
        self.pin(id, batch);
        if let Some(known) = self.find_mut(id) {
            // Only a direct chat shows it to anybody.
            let is_shown = matches!(known.address, Address::Pair { .. });
            if let Some(member) = known.member_mut(account) {
                member.received = upto;
                if is_shown {
                    member.note_moved(at);
                }
                batch.put(key::member(id, account), member.encode());
            }
        }
        context.shared.counters.markers_moved += 1;
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
        if self.moved.len() == GATHERED_MAX {
            // As soon as what is under way is committed.
            context.shared.counters.receipts_hurried += 1;
            let timer = Timer::Markers(self.id);
            context.shared.timers.set(context.now, timer);
        }
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
        let mut gathered = Gathered::new();
        for ((id, account), moved) in moved {
            for told in self.settle_marker(id, account, moved, &mut batch, context) {
                self.tell_marker(told, &mut gathered, context);
            }
            self.unpin(id);
            if batch.writes.len() >= WRITES_MAX {
                self.tell_gathered(std::mem::take(&mut gathered), &mut batch);
                self.commit(std::mem::take(&mut batch), context);
            }
        }
        self.tell_gathered(gathered, &mut batch);
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
        let markers = member.map(|member| (member.read_shown(), member.received));
        let Some((read, received)) = markers else {
            return [None, None].into_iter().flatten();
        };
        let mut told_received = moved
            .received_from
            .map(|after| told(Marker::Received, after, received));
        if let Some(upto) = moved.received.filter(|upto| *upto > received) {
            let after = moved.received_from.unwrap_or(received);
            told_received = Some(told(Marker::Received, after, upto));
            self.write_received(id, account, upto, batch, context);
        }
        let told_read = moved.read_from.map(|after| told(Marker::Read, after, read));
        [told_read, told_received].into_iter().flatten()
    }

    /// Notes whom a marker is to be told: the authors of what it newly covers. Or has them looked up first.
    fn tell_marker(&mut self, told: Told, gathered: &mut Gathered, context: &mut Context<'_>) {
        let Some(known) = self.find(told.conversation) else {
            return;
        };
        if known.members().len() > MEMBERS_MAX {
            return;
        }
        // What lies beyond one's own markers in a direct chat is the other's: sending moves them.
        if let Some(peer) = known.address.peer(told.account) {
            return self.gather(&told, vec![peer], gathered);
        }
        let (authors, unknown) = known.authors.between(told.after, told.upto);
        if told.after >= unknown || !context.shared.author_readings.begin(context.now) {
            return self.gather(&told, authors, gathered);
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
        let (mut gathered, mut batch) = (Gathered::new(), Batch::default());
        self.gather(&found.told, found.authors, &mut gathered);
        self.tell_gathered(gathered, &mut batch);
        self.commit(batch, context);
    }

    fn gather(&self, told: &Told, mut authors: Vec<AccountId>, gathered: &mut Gathered) {
        let Some(known) = self.find(told.conversation) else {
            return;
        };
        authors.retain(|author| *author != told.account && known.member(*author).is_some());
        authors.sort_unstable();
        authors.dedup();
        for author in authors {
            let key = (told.conversation, told.kind, told.upto, author);
            gathered.entry(key).or_default().push(told.account);
        }
    }

    /// Who has come to the same message is told in one to each author, and those that are told the same in one.
    fn tell_gathered(&self, gathered: Gathered, batch: &mut Batch) {
        let mut notes: BTreeMap<_, Vec<AccountId>> = BTreeMap::new();
        for ((conversation, kind, upto, author), accounts) in gathered {
            let about = (conversation, kind, upto, accounts);
            notes.entry(about).or_default().push(author);
        }
        for ((conversation, kind, upto, accounts), authors) in notes {
            let Some(known) = self.find(conversation) else {
                continue;
            };
            batch.tell(Note::Marker {
                conversation,
                address: known.address.clone(),
                accounts,
                kind,
                upto,
                authors,
            });
        }
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
