//! One node: the messenger as it runs, what it has appended and asked for, and how it sees the cluster and the time.

use std::collections::VecDeque;

use chat::{
    Chat, ClusterView, Incarnation, LinkLimits, NodeId, Owner, Query, Read, Settings, Ticket,
};
use records::{AccountId, Millis, SessionRef, Write};

use crate::messenger::store::{Belief, Store};

/// Of hash tables.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// See the file's header.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) own: Incarnation,
    /// `None` while it is down.
    pub(super) chat: Option<Chat>,
    /// It does nothing, and does not know how long.
    pub(super) is_paused: bool,
    /// What is on its way to the store.
    pub(super) appends: VecDeque<Append>,
    /// What has become of appends, which it has not heard yet.
    pub(super) outcomes: VecDeque<(Owner, Ticket, bool)>,
    /// What its readers have before them, and what they have read.
    pub(super) readings: Vec<Query>,
    pub(super) read: Vec<Read>,
    /// The view of the cluster that it knows.
    pub(super) view: ClusterView,
    /// How far its clock is ahead.
    pub(super) ahead: u64,
    last: Millis,
    pub(super) sessions: u32,
    /// Sessions whose connections have ended while it was paused.
    pub(super) ended: Vec<(SessionRef, AccountId)>,
}

/// See [`Node::appends`].
pub(super) struct Append {
    pub(super) owner: Owner,
    pub(super) ticket: Ticket,
    pub(super) belief: Belief,
    pub(super) writes: Vec<Write>,
}

impl Node {
    pub(super) fn new(number: usize) -> Self {
        Self {
            id: NodeId(number as u16),
            own: Incarnation::default(),
            chat: None,
            is_paused: false,
            appends: VecDeque::new(),
            outcomes: VecDeque::new(),
            readings: Vec::new(),
            read: Vec::new(),
            view: ClusterView::default(),
            ahead: 0,
            last: Millis::ZERO,
            sessions: 0,
            ended: Vec::new(),
        }
    }

    /// Whether it does anything.
    pub(super) fn runs(&self) -> bool {
        self.chat.is_some() && !self.is_paused
    }

    /// The time as it sees it, which never goes back while it runs.
    pub(super) fn now(&mut self, now: Millis) -> Millis {
        self.last = self.last.max(now.saturating_add(self.ahead));
        self.last
    }

    /// It begins anew, with what is stored; alone if it has no links.
    pub(super) fn begin(
        &mut self,
        settings: Settings,
        links: Option<LinkLimits>,
        store: &mut Store,
        now: Millis,
        ahead: u64,
    ) {
        self.end();
        self.own = store.join(self.id);
        self.ahead = ahead;
        self.last = Millis::ZERO;
        let now = self.now(now);
        let mut chat = match links {
            Some(links) => Chat::one_of_several(settings, self.own, links, SEEDS),
            None => Chat::new(settings, SEEDS),
        };
        chat::recover(&*store, &mut chat, |_| {}, now).expect("what it has stored can be read");
        self.chat = Some(chat);
    }

    /// It ends at once: what it has not written will not be.
    pub(super) fn end(&mut self) {
        self.chat = None;
        self.is_paused = false;
        self.appends.clear();
        self.outcomes.clear();
        self.readings.clear();
        self.read.clear();
        self.ended.clear();
        self.view = ClusterView::default();
    }
}
