//! A message: from what was published to everybody in the conversation. Must not tell anybody before it is on disk.

use std::sync::Arc;

use records::{
    AccountId, ConversationId, ConversationKind, Dedup, Entry, EntryKind, MemberRole, Millis, Pos,
    Sent, Seq, SessionMid, key,
};

use crate::command::{Address, Sending, Speaker, charge, given_bytes};
use crate::conversations::conversation::Conversation;
use crate::conversations::members::JoinedRows;
use crate::conversations::partition::{Batch, Done, Follow, Mid, MidKey, Partition, new_record};
use crate::conversations::shared::Context;
use crate::format::draft::{self, Draft, Stamped};
use crate::note::{self, Note, Outcome};
use crate::refusal::Refusal;
use crate::stored::mids;
use crate::stored::source::Unreadable;

impl Partition {
    /// Says something.
    pub(super) fn send(
        &mut self,
        speaker: &Speaker,
        address: &Address,
        sending: &Sending,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Done {
        let (settings, properties) = (&context.shared.settings, sending.properties.as_deref());
        let parsed = draft::parse(&sending.payload, sending.is_text, settings);
        let draft = match parsed.and_then(|draft| draft.with(properties, settings)) {
            Ok(draft) => draft,
            Err(rejected) => {
                return Done {
                    mid: rejected.mid,
                    outcome: Err(rejected.refusal),
                };
            }
        };
        let outcome = self.send_draft(speaker, address, sending, &draft, found, batch, context);
        Done {
            mid: draft.mid.map(|mid| mid.into_owned().into()),
            outcome,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what is sent, by whom, where to, and the partition's own"
    )]
    fn send_draft(
        &mut self,
        speaker: &Speaker,
        address: &Address,
        sending: &Sending,
        draft: &Draft<'_>,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let account = speaker.account;
        let mid = match (&draft.mid, &sending.session_mid) {
            (Some(mid), _) => Some(Mid::Client(mid.as_ref().into())),
            (None, Some(mid)) => Some(Mid::Session(mid.clone())),
            (None, None) => None,
        };
        let content = mids::content(&sending.payload);
        if let (Some(id), Some(mid)) = (found, &mid)
            && let Some(known) = self.known_mid(id, account, mid, context)?
            // A session uses its identifiers again, also those of which nobody could tell it what became of them.
            && (known.content == content || matches!(mid, Mid::Client(_)))
        {
            if known.content != content {
                context.shared.counters.mids_reused += 1;
                return Err(Refusal::mid_reused(known.seq.value()));
            }
            context.shared.counters.messages_repeated += 1;
            return Ok(Outcome::Stored {
                seq: known.seq,
                pos: known.pos,
                repeated: true,
                bytes: 0,
            });
        }
        self.check_sender(account, address, sending, found)?;
        let last = found
            .and_then(|id| self.find(id))
            .map(|known| known.last.seq.value());
        draft.check_references(last.unwrap_or(0))?;
        let id = match found {
            Some(id) => id,
            None => self.begin_direct(account, address, batch, context),
        };
        let mid = mid.map(|mid| (mid, content));
        Ok(self.store_message(id, speaker, sending, draft, mid, batch, context))
    }

    /// What became of a mid, if it is known.
    fn known_mid(
        &self,
        conversation: ConversationId,
        account: AccountId,
        mid: &Mid,
        context: &mut Context<'_>,
    ) -> Result<Option<Dedup>, Refusal> {
        let key = MidKey {
            conversation,
            account,
            mid: mid.clone(),
        };
        if let Some(known) = self.mids.get(&key) {
            return Ok(Some(*known));
        }
        let source = context.source;
        // Clocks of nodes differ, and weeks end.
        let now = context.shared.positions.moment(context.now);
        let found = match mid {
            Mid::Client(mid) => mids::find(source, conversation, account, mid, now),
            Mid::Session(mid) => mids::find_sent(source, conversation, mid),
        };
        found.map_err(|Unreadable| {
            context.shared.counters.unreadable += 1;
            Refusal::unavailable()
        })
    }

    /// Whether an account may write there.
    fn check_sender(
        &self,
        account: AccountId,
        address: &Address,
        sending: &Sending,
        found: Option<ConversationId>,
    ) -> Result<(), Refusal> {
        match (found.and_then(|id| self.find(id)), address) {
            (Some(known), _) if known.member(account).is_some() => Ok(()),
            (Some(_), Address::Group(slug)) => Err(Refusal::not_a_member(slug.as_str())),
            (None, Address::Group(slug)) => Err(Refusal::no_such_conversation(slug.as_str())),
            (Some(_), Address::Pair { .. }) => Err(Refusal::unavailable()),
            (None, Address::Pair { .. }) if sending.may_begin => Ok(()),
            (None, Address::Pair { .. }) => Err(Refusal::too_many_conversations()),
        }
    }

    /// Gives the message its number and place, and addresses it. Nothing can be refused from here on.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is sent, by whom, where to, and the partition's own"
    )]
    fn store_message(
        &mut self,
        id: ConversationId,
        speaker: &Speaker,
        sending: &Sending,
        draft: &Draft<'_>,
        mid: Option<(Mid, u64)>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Outcome {
        let account = speaker.account;
        let (pos, at) = (self.next_pos(batch, context), context.now);
        self.pin(id, batch);
        let from = context.accounts.name(account);
        let bytes = charge(given_bytes(&sending.payload, sending.properties.as_deref()));
        // What nobody has written stays unread: a will, or what a program says for somebody.
        let is_written =
            !draft.auto && !matches!(sending.session_mid, Some(SessionMid::Will { .. }));
        let numbered = self.number(id, (account, is_written, bytes), pos, batch);
        let Some((conversation, seq, before)) = numbered else {
            return Outcome::Done;
        };
        let stamped = Stamped {
            seq,
            pos,
            from,
            device: speaker.device,
            at,
        };
        let audience = conversation.audience();
        let about = (id, conversation.address.clone(), audience);
        let (entry, note) = written(about, speaker, sending, draft, &stamped);
        batch.put(key::entry(id, seq, pos), entry.encode());
        if let Some((mid, content)) = mid {
            let key = MidKey {
                conversation: id,
                account,
                mid,
            };
            let message = Dedup {
                seq,
                pos,
                at,
                content,
            };
            self.remember(key, message, batch);
        }
        batch.tell(Note::Entry(Box::new(note)));
        // Who answers has read: the others hear of it like of any other marker.
        if before.next() < seq {
            self.read_moved(id, account, before, context);
        }
        context.shared.counters.messages += 1;
        Outcome::Stored {
            seq,
            pos,
            repeated: false,
            bytes,
        }
    }

    /// Gives an account's message its number and place. Who has written it has read it: yields up to where others knew that before.
    fn number(
        &mut self,
        id: ConversationId,
        (account, is_written, bytes): (AccountId, bool, u64),
        pos: Pos,
        batch: &mut Batch,
    ) -> Option<(&mut Conversation, Seq, Seq)> {
        let conversation = self.find_mut(id)?;
        let seq = conversation.last.seq.next();
        conversation.last.seq = seq;
        conversation.last.pos = pos;
        conversation.authors.add(seq, account);
        let mut before = seq;
        if let Some(member) = conversation.member_mut(account) {
            if is_written {
                before = member.move_read(seq, pos);
            }
            member.stored_bytes = member.stored_bytes.saturating_add(bytes);
            batch.put(key::member(id, account), member.encode());
        }
        Some((conversation, seq, before))
    }

    /// Notes under its mid that a message is stored with this batch.
    fn remember(&mut self, key: MidKey, message: Dedup, batch: &mut Batch) {
        match &key.mid {
            Mid::Client(mid) => {
                let week = mids::week(Millis::new(Pos::millis_of(message.pos.tick())));
                let at = key::dedup(week, key.conversation, key.account, mid);
                batch.put(at, message.encode());
            }
            Mid::Session(mid) => {
                let sent = Sent {
                    conversation: key.conversation,
                    message,
                };
                batch.put(mid.key(), sent.encode());
            }
        }
        self.mids.insert(key.clone(), message);
        batch.follows.push(Follow::Mid(key));
    }

    /// A direct chat begins with this batch.
    fn begin_direct(
        &mut self,
        account: AccountId,
        address: &Address,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> ConversationId {
        let id = self.next_id();
        let Address::Pair { low, high } = *address else {
            unreachable!("a message to a group that does not exist is refused");
        };
        let record = new_record(ConversationKind::Direct { low, high }, account, context);
        self.insert(id, Conversation::new(address.clone(), record), context);
        batch.put(address.key(), key::encode_number(id.value()));
        let mut joining = vec![(low, MemberRole::Member)];
        if low != high {
            joining.push((high, MemberRole::Member));
        }
        let joined = self.next_pos(batch, context);
        let rows = JoinedRows::new();
        self.add_members(id, account, &joining, joined, rows, batch, context);
        id
    }
}

/// What is stored of a message, and what is told of it.
fn written(
    (id, address, audience): (ConversationId, Address, Arc<[AccountId]>),
    speaker: &Speaker,
    sending: &Sending,
    draft: &Draft<'_>,
    stamped: &Stamped<'_>,
) -> (Entry, note::Entry) {
    let Stamped { seq, pos, at, .. } = *stamped;
    let wire = draft.wire(stamped);
    let entry = Entry {
        pos,
        seq: Some(seq),
        from: speaker.account,
        at,
        kind: EntryKind::Message,
        wire: wire.clone(),
    };
    let note = note::Entry {
        conversation: id,
        address,
        pos,
        seq: Some(seq),
        speaker: Some((speaker.account, speaker.device)),
        audience,
        wire,
        line: draft.line(stamped.from),
        expires_at: draft.expires_at(at),
        read_at: sending.read_at,
    };
    (entry, note)
}
