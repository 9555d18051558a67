//! One partition: its conversations as far as they are in memory, what waits for the rows of others, its log. Must not touch another
//! partition's state.

use std::collections::{BTreeMap, VecDeque};

use records::{
    AccountId, Conversation as Record, ConversationId, Dedup, Joined, KeyRange, PartitionId, Pos,
    SessionMid, Write, key,
};
use smallvec::SmallVec;

use crate::command::{Address, Command, Speaker, To, What};
use crate::conversations::Effect;
use crate::conversations::conversation::Conversation;
use crate::conversations::forgotten::{Epoch, Forgotten};
use crate::conversations::load::{Load, Loaded, Rows};
use crate::conversations::moved::Moved;
use crate::conversations::reading::Reading;
use crate::conversations::shared::Context;
use crate::io::{Owner, Ticket};
use crate::log::Log;
use crate::note::{Note, Outcome};
use crate::refusal::Refusal;
use crate::stored::source::Unreadable;
use crate::table::{Table, Tables};

/// Commands that wait for the rows of one conversation.
const WAITING_MAX: usize = 4_096;

/// See the file's header.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: PartitionId,
    conversations: Table<ConversationId, Conversation>,
    addresses: Table<Address, ConversationId>,
    /// Commands that wait for rows.
    loading: Table<To, Loading>,
    /// The number of the newest conversation, as far as that is known.
    newest: u64,
    /// A tick above every position that it has given, see [`crate::conversations::positions`].
    ceiling: u64,
    forgotten: Forgotten,
    /// Groups that were deleted, which is not on disk yet: who needs their addresses waits for that.
    ending: Vec<(ConversationId, Address)>,
    log: Log<Follow>,
    /// Mids whose messages are not on disk yet.
    pub(super) mids: Table<MidKey, Dedup>,
    /// Markers that wait to be written or told.
    pub(super) moved: BTreeMap<(ConversationId, AccountId), Moved>,
    /// Whether a timer runs for them.
    pub(super) markers_timed: bool,
}

/// Commands that wait for rows.
#[derive(Debug)]
struct Loading {
    waiting: VecDeque<Command>,
    /// When the reading began.
    since: Epoch,
}

/// Whose mid in which conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct MidKey {
    pub(super) conversation: ConversationId,
    pub(super) account: AccountId,
    pub(super) mid: Mid,
}

/// What stands for a message that is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Mid {
    /// The client's own word.
    Client(Box<str>),
    /// What its session says instead.
    Session(SessionMid),
}

/// What follows from an append.
#[derive(Debug)]
pub(super) enum Follow {
    /// The append of this number is over.
    Floor(u64),
    /// A mid stands in the store.
    Mid(MidKey),
    /// A conversation may be forgotten again.
    Unpin(ConversationId),
    /// The store knows that a group was deleted.
    Ended(ConversationId),
    Note(Note),
    Trim(KeyRange),
}

/// What a command comes to: writes that belong together, and what follows once they are on disk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) follows: Vec<Follow>,
    /// The newest position in it.
    newest: Pos,
    /// Conversations that must not be forgotten before.
    pinned: SmallVec<[ConversationId; 1]>,
    /// Writes that follow in appends of their own: there are too many for one.
    pub(super) later: Vec<Batch>,
}

impl Batch {
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write::Put { key, value });
    }

    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.writes.push(Write::Delete { key });
    }

    pub(super) fn tell(&mut self, note: Note) {
        self.follows.push(Follow::Note(note));
    }
}

/// A command's outcome, and the client's own id of its message.
pub(super) struct Done {
    pub(super) mid: Option<Box<str>>,
    pub(super) outcome: Result<Outcome, Refusal>,
}

impl From<Result<Outcome, Refusal>> for Done {
    fn from(outcome: Result<Outcome, Refusal>) -> Self {
        Self { mid: None, outcome }
    }
}

impl Partition {
    pub(super) fn new(id: PartitionId, tables: &Tables) -> Self {
        Self {
            id,
            conversations: tables.table(),
            addresses: tables.table(),
            loading: tables.table(),
            newest: 0,
            ceiling: 0,
            forgotten: Forgotten::default(),
            ending: Vec::new(),
            log: Log::default(),
            mids: tables.table(),
            moved: BTreeMap::new(),
            markers_timed: false,
        }
    }

    // Commands.

    /// Carries out a command if its conversation is in memory; otherwise it waits for the rows.
    pub(super) fn command(&mut self, command: Command, context: &mut Context<'_>) {
        if let Some(loading) = self.loading.get_mut(&command.to) {
            if loading.waiting.len() < WAITING_MAX {
                loading.waiting.push_back(command);
            } else {
                context.shared.counters.commands_refused += 1;
                self.refuse(&command, Refusal::unavailable(), context);
            }
            return;
        }
        match self.in_memory(&command.to) {
            Some(id) => self.carry_out(command, Some(id), context),
            None => {
                let to = command.to.clone();
                self.load(to, VecDeque::from([command]), context);
            }
        }
    }

    fn in_memory(&self, to: &To) -> Option<ConversationId> {
        match to {
            To::Address(address) => self.addresses.get(address).copied(),
            To::Conversation(id) => self.conversations.contains_key(id).then_some(*id),
        }
    }

    fn load(&mut self, to: To, waiting: VecDeque<Command>, context: &mut Context<'_>) {
        let since = self.forgotten.epoch();
        self.loading.insert(to.clone(), Loading { waiting, since });
        let is_ending = |(id, address): &(ConversationId, Address)| match &to {
            To::Address(wanted) => wanted == address,
            To::Conversation(wanted) => wanted == id,
        };
        if self.ending.iter().any(is_ending) {
            return;
        }
        context.shared.counters.conversations_loaded += 1;
        let load = Load {
            partition: self.id,
            to,
            epoch: since,
        };
        let query = Reading::Conversation(load);
        context.shared.effects.push_back(Effect::Read(query));
    }

    /// Rows have been read: what waits for them goes on.
    pub(super) fn loaded(&mut self, loaded: Loaded, context: &mut Context<'_>) {
        let Loaded {
            to, epoch, outcome, ..
        } = loaded;
        // A reading from before everything was dropped says nothing to whoever waits since.
        let is_awaited = |loading: &Loading| loading.since == epoch;
        if !self.loading.get(&to).is_some_and(is_awaited) {
            return;
        }
        let Some(Loading { mut waiting, .. }) = self.loading.remove(&to) else {
            return;
        };
        let found = match (self.in_memory(&to), outcome) {
            (Some(id), _) => Ok(Some(id)),
            (None, Ok(reading)) => {
                let id = reading.rows.as_ref().map(|rows| rows.id);
                if !self.forgotten.is_fresh(&to, id, epoch) {
                    return self.load(to, waiting, context);
                }
                self.newest = self.newest.max(reading.newest);
                Ok(reading.rows.map(|rows| self.insert_rows(rows, context)))
            }
            (None, Err(unreadable)) => Err(unreadable),
        };
        while let Some(command) = waiting.pop_front() {
            match found {
                // One before it may have begun the conversation, or ended it.
                Ok(_) => {
                    let id = self.in_memory(&to);
                    self.carry_out(command, id, context);
                }
                Err(Unreadable) => {
                    context.shared.counters.unreadable += 1;
                    self.refuse(&command, Refusal::unavailable(), context);
                }
            }
        }
    }

    fn insert_rows(&mut self, rows: Rows, context: &mut Context<'_>) -> ConversationId {
        let id = rows.id;
        context.shared.positions.observe(rows.last.pos);
        self.newest = self.newest.max(id.number());
        let conversation = Conversation::of_rows(rows);
        self.insert(id, conversation, context);
        id
    }

    /// A conversation is in memory from here on.
    pub(super) fn insert(
        &mut self,
        id: ConversationId,
        conversation: Conversation,
        context: &mut Context<'_>,
    ) {
        context.shared.loaded.insert(id, conversation.bytes());
        self.addresses.insert(conversation.address.clone(), id);
        self.conversations.insert(id, conversation);
    }

    /// The id of a conversation that begins.
    pub(super) fn next_id(&mut self) -> ConversationId {
        self.newest += 1;
        ConversationId::in_partition(self.id, self.newest)
    }

    fn carry_out(
        &mut self,
        command: Command,
        found: Option<ConversationId>,
        context: &mut Context<'_>,
    ) {
        let before = found.and_then(|id| self.find_mut(id)).map(|conversation| {
            conversation.used = true;
            conversation.bytes()
        });
        let Command {
            id,
            speaker,
            to,
            what,
        } = command;
        let mut batch = Batch::default();
        let done = self.dispatch(&speaker, &to, what, found, &mut batch, context);
        // One that has begun was counted as it was then.
        let before = before.unwrap_or(Conversation::BEGINNING_BYTES);
        if let Some(known) = self.in_memory(&to).and_then(|id| self.find(id)) {
            context.shared.loaded.resize(before, known.bytes());
        }
        let is_done = done.outcome.is_ok();
        let note = id.map(|id| Note::Done {
            id,
            mid: done.mid,
            outcome: done.outcome,
        });
        if is_done {
            // The one who waits hears it first.
            batch.follows.splice(0..0, note.map(Follow::Note));
            self.commit(batch, context);
        } else {
            for id in batch.pinned {
                self.unpin(id);
            }
            if let Some(note) = note {
                self.follow(Follow::Note(note), context);
            }
        }
    }

    /// A refusal changes nothing: everything is checked before anything is touched.
    fn dispatch(
        &mut self,
        speaker: &Speaker,
        to: &To,
        what: What,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Done {
        let account = speaker.account;
        let outcome = match (what, to) {
            (What::Send(sending), To::Address(address)) => {
                return self.send(speaker, address, &sending, found, batch, context);
            }
            (What::Read { seq, is_private }, _) => {
                self.read(account, (seq, is_private), found, batch, context)
            }
            (What::MarkReceived { seq }, _) => {
                self.mark_received(account, seq, found, batch, context)
            }
            (What::Received { seq }, _) => {
                self.received(account, seq, found, context);
                Ok(Outcome::Done)
            }
            (What::Typing, _) => self.typing(account, to, found, batch),
            (What::Create(making), To::Address(Address::Group(slug))) => {
                self.create(account, slug, making, found, batch, context)
            }
            (What::Invite { accounts }, _) => self.invite(account, accounts, found, batch, context),
            (What::Join, _) => self.join(account, found, batch, context),
            (What::Leave, _) => self.leave(account, found, batch, context),
            (What::Delete { by_administrator }, _) => {
                self.delete(account, by_administrator, found, batch, context)
            }
            // Nobody sends these.
            (What::Send(_) | What::Create(_), _) => Err(Refusal::unavailable()),
        };
        outcome.into()
    }

    /// A command that is not carried out.
    fn refuse(&mut self, command: &Command, refusal: Refusal, context: &mut Context<'_>) {
        if let Some(note) = Note::refused(command, refusal) {
            self.follow(Follow::Note(note), context);
        }
    }

    // Conversations in memory.

    pub(super) fn find(&self, id: ConversationId) -> Option<&Conversation> {
        self.conversations.get(&id)
    }

    pub(super) fn find_mut(&mut self, id: ConversationId) -> Option<&mut Conversation> {
        self.conversations.get_mut(&id)
    }

    /// A conversation that has ended is in memory no more; its address is free once that is on disk.
    pub(super) fn remove(
        &mut self,
        id: ConversationId,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Option<Conversation> {
        let conversation = self.conversations.remove(&id)?;
        self.dropped(id, &conversation);
        context.shared.loaded.remove(id, conversation.bytes());
        self.ending.push((id, conversation.address.clone()));
        batch.follows.push(Follow::Ended(id));
        Some(conversation)
    }

    /// That a conversation has ended is on disk: who needs its address reads what stands there now.
    fn ended(&mut self, id: ConversationId, context: &mut Context<'_>) {
        let Some(at) = self.ending.iter().position(|(known, _)| *known == id) else {
            return;
        };
        let (_, address) = self.ending.swap_remove(at);
        for to in [To::Address(address), To::Conversation(id)] {
            if let Some(Loading { waiting, .. }) = self.loading.remove(&to) {
                self.load(to, waiting, context);
            }
        }
    }

    /// A conversation is no longer in memory.
    fn dropped(&mut self, id: ConversationId, conversation: &Conversation) {
        self.addresses.remove(&conversation.address);
        let oldest = self.loading.values().map(|loading| loading.since).min();
        let address = conversation.address.clone();
        self.forgotten.add(id, address, oldest);
    }

    /// Whether a conversation is in memory.
    pub(super) fn holds(&self, id: ConversationId) -> bool {
        self.conversations.contains_key(&id)
    }

    /// Forgets a conversation that nothing is under way in and that was not used since it was last asked; yields its bytes.
    pub(super) fn try_forget(&mut self, id: ConversationId) -> Option<usize> {
        let conversation = self.conversations.get_mut(&id)?;
        if std::mem::take(&mut conversation.used) || conversation.pins > 0 {
            return None;
        }
        let conversation = self.conversations.remove(&id)?;
        self.dropped(id, &conversation);
        Some(conversation.bytes())
    }

    // The log.

    /// A position for an entry of this batch.
    pub(super) fn next_pos(&mut self, batch: &mut Batch, context: &mut Context<'_>) -> Pos {
        let (positions, now) = (&mut context.shared.positions, context.now);
        let pos = positions.next(self.id, &mut self.ceiling, &mut batch.writes, now);
        batch.newest = pos;
        pos
    }

    /// A conversation that is not forgotten before the batch is on disk.
    pub(super) fn pin(&mut self, id: ConversationId, batch: &mut Batch) {
        if let Some(conversation) = self.find_mut(id) {
            conversation.pins += 1;
            batch.pinned.push(id);
        }
    }

    /// Appends a batch; what follows from it is told when it is on disk, or at once if there is nothing to write.
    pub(super) fn commit(&mut self, batch: Batch, context: &mut Context<'_>) {
        let Batch {
            writes,
            mut follows,
            newest,
            pinned,
            later,
        } = batch;
        if writes.is_empty() {
            for follow in follows {
                self.follow(follow, context);
            }
            return;
        }
        if newest > Pos::ZERO {
            let number = context.shared.floor.begin(newest);
            // Whoever hears of the entries may ask for what comes behind them.
            follows.insert(0, Follow::Floor(number));
        }
        follows.extend(pinned.into_iter().map(Follow::Unpin));
        let ticket = self.log.append(follows);
        context.shared.effects.push_back(Effect::Append {
            owner: Owner::Partition(self.id),
            ticket,
            writes,
        });
        for batch in later {
            self.commit(batch, context);
        }
    }

    /// Something that follows once everything appended so far is on disk.
    pub(super) fn follow(&mut self, follow: Follow, context: &mut Context<'_>) {
        if let Some(follow) = self.log.follow(follow) {
            self.carry_on(follow, context);
        }
    }

    /// Every append up to this one is on disk.
    pub(super) fn appended(&mut self, ticket: Ticket, context: &mut Context<'_>) {
        for follow in self.log.appended(ticket) {
            self.carry_on(follow, context);
        }
    }

    fn carry_on(&mut self, follow: Follow, context: &mut Context<'_>) {
        let shared = &mut *context.shared;
        match follow {
            Follow::Floor(number) => shared.floor.end(number),
            Follow::Mid(key) => drop(self.mids.remove(&key)),
            Follow::Unpin(id) => self.unpin(id),
            Follow::Ended(id) => self.ended(id, context),
            Follow::Note(note) => shared.effects.push_back(Effect::Note(note)),
            Follow::Trim(range) => shared.effects.push_back(Effect::Trim(range)),
        }
    }

    pub(super) fn unpin(&mut self, id: ConversationId) {
        if let Some(conversation) = self.find_mut(id) {
            conversation.pins = conversation.pins.saturating_sub(1);
            if conversation.pins == 0 {
                conversation.joined.clear();
            }
        }
    }

    /// Whether an append is under way, and was not dropped with what was known.
    pub(super) fn is_under_way(&self, ticket: Ticket) -> bool {
        self.log.is_under_way(ticket)
    }

    /// Somebody else owns this partition: everything in memory is dropped, and whoever waits hears that it may try again.
    pub(super) fn fence(&mut self, context: &mut Context<'_>) {
        let shared = &mut *context.shared;
        shared.counters.partitions_fenced += 1;
        for follow in self.log.give_up() {
            match follow {
                Follow::Floor(number) => shared.floor.give_up(number),
                Follow::Note(Note::Done { id, mid, .. }) => {
                    let outcome = Err(Refusal::unavailable());
                    let note = Note::Done { id, mid, outcome };
                    shared.effects.push_back(Effect::Note(note));
                }
                Follow::Mid(_)
                | Follow::Unpin(_)
                | Follow::Ended(_)
                | Follow::Note(_)
                | Follow::Trim(_) => {}
            }
        }
        let mut waiting: Vec<_> = self.loading.drain().collect();
        // Not in the order of a hash table.
        waiting.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for command in waiting.into_iter().flat_map(|(_, loading)| loading.waiting) {
            if let Some(note) = Note::refused(&command, Refusal::unavailable()) {
                shared.effects.push_back(Effect::Note(note));
            }
        }
        let conversations = self.conversations.drain();
        let bytes = conversations.map(|(_, known)| known.bytes()).sum();
        shared.loaded.remove_partition(self.id, bytes);
        self.ceiling = 0;
        self.addresses.clear();
        self.ending.clear();
        self.mids.clear();
        self.moved.clear();
        self.forgotten.add_all();
        // The next owner's are not known here.
        self.newest = 0;
    }

    // Rows.

    /// Writes a row of the `joined` table.
    pub(super) fn put_joined(
        &mut self,
        id: ConversationId,
        account: AccountId,
        row: Joined,
        batch: &mut Batch,
    ) {
        batch.put(key::joined(account, id), row.encode());
        if let Some(conversation) = self.find_mut(id) {
            conversation.joined.insert(account, row);
        }
    }

    /// Writes a conversation's record as it is.
    pub(super) fn put_record(&self, id: ConversationId, batch: &mut Batch) {
        if let Some(conversation) = self.find(id) {
            batch.put(key::conversation(id), conversation.record.encode());
        }
    }
}

/// A record of a conversation that begins.
pub(super) fn new_record(
    kind: records::ConversationKind,
    maker: AccountId,
    context: &Context<'_>,
) -> Record {
    Record {
        kind,
        created: context.now,
        created_by: maker,
        member_count: 0,
    }
}
