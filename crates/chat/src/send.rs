//! A message: from `im/to/<conv>` to everybody in the conversation. Must not tell anybody before it is on disk.

use bytes::Bytes;
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Dedup, Entry, EntryKind, Member,
    MemberRole, Millis, Pos, Seq, key,
};

use crate::address::{self, direct_name};
use crate::chat::Chat;
use crate::dedup::{self, MidKey};
use crate::delivery;
use crate::door::Publish;
use crate::log::Batch;
use crate::message::{self, Draft, Stamped};
use crate::refusal::Refusal;
use crate::source::Source;
use crate::wire;

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
enum Target {
    Room(ConversationId),
    /// The first message to this account.
    Begin(AccountId),
}

impl Chat {
    /// `im/to/<conv>`.
    pub(crate) fn send(
        &mut self,
        publish: &Publish,
        conv: &str,
        batch: &mut Batch,
        source: &dyn Source,
        now: Millis,
    ) -> Result<(), Refusal> {
        let draft = match message::parse(&publish.payload, &self.settings) {
            Ok(draft) => draft,
            Err(rejected) => {
                self.tell_refused(publish, rejected.mid.as_deref(), &rejected.refusal);
                return Err(rejected.refusal);
            }
        };
        let sent = self.send_draft(publish, conv, &draft, batch, source, now);
        if let Err(refusal) = &sent {
            self.tell_refused(publish, draft.mid.as_deref(), refusal);
        }
        sent
    }

    fn send_draft(
        &mut self,
        publish: &Publish,
        conv: &str,
        draft: &Draft<'_>,
        batch: &mut Batch,
        source: &dyn Source,
        now: Millis,
    ) -> Result<(), Refusal> {
        let account = publish.account;
        if let Some(mid) = draft.mid.as_deref() {
            let lives = |id| self.rooms.find(id).is_some();
            let known = self.mids.find(account, mid, source, lives, now);
            if let Some(known) = self.readable(known)? {
                self.counters.messages_repeated += 1;
                self.tell_stored(publish, mid, known, batch);
                return Ok(());
            }
        }
        let target = self.target(account, conv)?;
        self.check_references(target, draft)?;
        self.check_stored_bytes(account, publish.payload.len())?;
        self.take_message_quota(account, 1, now)?;
        let (id, pos) = match target {
            Target::Room(id) => (id, self.log.next_pos()),
            Target::Begin(peer) => {
                let pos = self.log.next_pos();
                (self.begin_direct(account, peer, pos, batch, now), pos)
            }
        };
        self.store_message(publish, id, pos, draft, batch, now);
        Ok(())
    }

    /// Gives the message its number and place, and addresses it. Nothing can be refused from here on.
    fn store_message(
        &mut self,
        publish: &Publish,
        id: ConversationId,
        pos: Pos,
        draft: &Draft<'_>,
        batch: &mut Batch,
        at: Millis,
    ) {
        let account = publish.account;
        self.charge_message(id, account, publish.payload.len());
        let Some(room) = self.rooms.find_mut(id) else {
            return;
        };
        let seq = room.last_seq.next();
        room.last_seq = seq;
        room.last_pos = pos;
        if let Some(member) = room.member_mut(account) {
            let before = std::mem::replace(&mut member.read, seq);
            member.received = seq;
            batch.put(key::member(id, account), member.encode());
            // Who answers has read: the others hear of it like of any other marker.
            if before.next() < seq {
                self.read_moved(id, account, before, at);
            }
        }
        let from = self.directory.name(account);
        let stamped = Stamped {
            seq,
            pos,
            from,
            device: &publish.device,
            at,
        };
        let (wire, line) = (draft.wire(&stamped), draft.line(from));
        self.put_entry(id, pos, Some(seq), account, at, &wire, batch);
        batch.put(key::seq(id, seq), key::encode_pos(pos));
        self.recent.message(id, seq, account, &wire);
        let dedup = Dedup {
            conversation: id,
            seq,
            pos,
            at,
        };
        if let Some(mid) = draft.mid.as_deref() {
            batch.put(key::dedup(dedup::week(at), account, mid), dedup.encode());
            let key = MidKey {
                account,
                mid: mid.into(),
            };
            self.mids.begin(key.clone(), dedup);
            batch.mid = Some(key);
            self.tell_stored(publish, mid, dedup, batch);
        }
        batch.effects.extend(self.message_deliveries(
            id,
            (seq, pos),
            (&wire, &line),
            publish.read_at,
        ));
        batch.about.push((id, None));
        batch.message = Some(id);
        self.counters.messages += 1;
    }

    /// Writes an entry; for a message its number is written apart.
    #[allow(clippy::too_many_arguments, reason = "the columns of the table")]
    pub(crate) fn put_entry(
        &self,
        id: ConversationId,
        pos: Pos,
        seq: Option<Seq>,
        from: AccountId,
        at: Millis,
        wire: &Bytes,
        batch: &mut Batch,
    ) {
        let entry = Entry {
            pos,
            seq,
            from,
            at,
            kind: match seq {
                Some(_) => EntryKind::Message,
                None => EntryKind::Event,
            },
            wire: wire.clone(),
        };
        batch.put(key::entry(id, pos), entry.encode());
    }

    /// Which conversation a client means, if it may write there.
    fn target(&self, account: AccountId, conv: &str) -> Result<Target, Refusal> {
        let Some(name) = conv.strip_prefix('@') else {
            return self.group_of(account, conv).map(Target::Room);
        };
        let Some(peer) = self.directory.named(name) else {
            return Err(Refusal::no_such_account(name));
        };
        if let Some(id) = self.rooms.direct(account, peer) {
            return Ok(Target::Room(id));
        }
        self.check_conversations_max(account)?;
        Ok(Target::Begin(peer))
    }

    /// A group by its slug, if the account is in it.
    pub(crate) fn group_of(
        &self,
        account: AccountId,
        slug: &str,
    ) -> Result<ConversationId, Refusal> {
        let found = self
            .rooms
            .group(slug)
            .and_then(|id| Some((id, self.rooms.find(id)?)));
        match found {
            Some((id, room)) if room.member(account).is_some() => Ok(id),
            Some(_) => Err(Refusal::not_a_member(slug)),
            None => Err(Refusal::no_such_conversation(slug)),
        }
    }

    /// Whether the account may begin or join one more conversation. What others brought it into does not count: they could fill it.
    pub(crate) fn check_conversations_max(&self, account: AccountId) -> Result<(), Refusal> {
        let most = self.settings.conversations_per_account_max;
        let own = self.directory.find(account);
        let own = own.map_or(0, |state| state.own + state.abandoned);
        if own < most {
            return Ok(());
        }
        Err(Refusal::quota(format!(
            "you have begun or joined {most} conversations, which is the most"
        )))
    }

    fn check_references(&self, target: Target, draft: &Draft<'_>) -> Result<(), Refusal> {
        let last = match target {
            Target::Room(id) => self.rooms.find(id).map_or(0, |room| room.last_seq.value()),
            Target::Begin(_) => 0,
        };
        match [draft.reply, draft.thread]
            .into_iter()
            .flatten()
            .find(|seq| *seq == 0 || *seq > last)
        {
            Some(missing) => Err(Refusal::no_such_message(missing)),
            None => Ok(()),
        }
    }

    /// A message costs one of the account's messages, and so does every event that a change of a group causes.
    pub(crate) fn take_message_quota(
        &mut self,
        account: AccountId,
        messages: usize,
        now: Millis,
    ) -> Result<(), Refusal> {
        let (rate, burst) = (
            self.settings.messages_per_second_max,
            self.settings.messages_burst_max,
        );
        let taken = self
            .directory
            .find_mut(account)
            .is_some_and(|state| state.messages.take(messages, rate, burst, now));
        if taken {
            return Ok(());
        }
        self.counters.quota_refused += 1;
        Err(Refusal::quota(format!(
            "at most {rate} messages a second are taken, {burst} after a pause"
        )))
    }

    /// A direct chat begins with this batch.
    fn begin_direct(
        &mut self,
        account: AccountId,
        peer: AccountId,
        joined: Pos,
        batch: &mut Batch,
        now: Millis,
    ) -> ConversationId {
        let id = self.rooms.next_id();
        let record = Conversation {
            kind: ConversationKind::Direct {
                low: account.min(peer),
                high: account.max(peer),
            },
            created: now,
            created_by: account,
        };
        batch.put(key::conversation(id), record.encode());
        self.rooms.insert(id, record, Seq::ZERO, Pos::ZERO);
        self.add_member(
            id,
            account,
            MemberRole::Member,
            (joined, account),
            batch,
            now,
        );
        if peer != account {
            self.add_member(id, peer, MemberRole::Member, (joined, account), batch, now);
            batch.acquainted = Some((account, peer));
        }
        for (accounts, conv) in self.addressees(id) {
            let payload = wire::own_event("conversation", &conv);
            let packet = delivery::packet("im/me/event".to_owned(), payload);
            batch.tell(address::to_accounts(accounts, packet));
        }
        id
    }

    /// A new member has read everything there is. `actor` is who made it one.
    pub(crate) fn add_member(
        &mut self,
        id: ConversationId,
        account: AccountId,
        role: MemberRole,
        (joined, actor): (Pos, AccountId),
        batch: &mut Batch,
        now: Millis,
    ) {
        let Some(room) = self.rooms.find_mut(id) else {
            return;
        };
        let member = Member {
            role,
            joined,
            joined_at: now,
            read: room.last_seq,
            received: room.last_seq,
            own: actor == account,
            stored_bytes: 0,
        };
        batch.put(key::member(id, account), member.encode());
        self.directory.join(account, id, &member);
        room.insert(account, member);
    }

    fn tell_stored(&self, publish: &Publish, mid: &str, dedup: Dedup, batch: &mut Batch) {
        let mut conv = self.conv_name(dedup.conversation, publish.account);
        if conv.is_empty() {
            // The group has ended since, and its name is all that is known of it.
            conv = publish.topic.trim_start_matches("im/to/").into();
        }
        let payload = wire::stored(&conv, dedup.seq, dedup.pos);
        let packet = delivery::packet(format!("im/ack/{mid}"), payload);
        batch.tell(address::to_session(publish.session, packet));
    }

    pub(crate) fn tell_refused(&mut self, publish: &Publish, mid: Option<&str>, refusal: &Refusal) {
        let Some(mid) = mid else { return };
        let payload = wire::refused(refusal.code, &refusal.sentence);
        let packet = delivery::packet(format!("im/ack/{mid}"), payload);
        self.log.tell(address::to_session(publish.session, packet));
    }

    /// The conversation an account means, if it takes part in it.
    pub(crate) fn room_of(
        &self,
        account: AccountId,
        conv: &str,
    ) -> Result<ConversationId, Refusal> {
        let Some(name) = conv.strip_prefix('@') else {
            return self.group_of(account, conv);
        };
        let Some(peer) = self.directory.named_ever(name) else {
            return Err(Refusal::no_such_account(name));
        };
        self.rooms
            .direct(account, peer)
            .ok_or_else(|| Refusal::no_such_conversation(&direct_name(name)))
    }
}
