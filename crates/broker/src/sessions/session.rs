//! One client's session on this shard: what outlives its connection. The rules are in the flows that act
//! on it; this one owns the state and its bounds.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use mqtt_session::{AckOrdinal, FlightState, Inbound, Outbound};
use records::{AccountId, Cursor, Millis, Pos, SessionNumber, Stamp};
use routing::{FilterId, GroupId};
use smallvec::SmallVec;

use crate::access::list::Identity;
use crate::delivery::waiting::{Delivery, Waiting};
use crate::io::{ChatDelivery, ConnectionId};
use crate::message::Origin;
use crate::turn::pieces::FILTERS_PER_PIECE;
use crate::wills::will::Will;

/// No session.
pub(crate) const NO_SESSION: u32 = u32::MAX;
/// A session without a connection.
pub(crate) const NO_CONNECTION: u32 = u32::MAX;
/// Expiry interval of a session that is kept until the server's own limit.
pub(crate) const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) serial: u32,
    /// Slot of its connection, or [`NO_CONNECTION`].
    pub(crate) connection: u32,
    pub(crate) account: Option<AccountId>,
    pub(crate) admin: bool,
    /// The token that its last connection came in by.
    pub(crate) token: Option<Arc<[u8; 32]>>,
    /// 3, 4 or 5.
    pub(crate) protocol_level: u8,
    /// A write of its cursors is due.
    pub(crate) dirty: bool,
    /// It is listed for what could not be sent in an earlier turn.
    pub(crate) pump_deferred: bool,
    /// Of its filters, with what each takes beside.
    pub(super) filter_bytes: u32,
    /// Of what waits for it on disk, each message is checked against the access list.
    pub(crate) withdraws: bool,
    pub(crate) expiry_secs: u32,
    pub(crate) name: Arc<str>,
    pub(crate) client_id: Arc<str>,
    /// Zero for a session that is not stored.
    pub(crate) number: SessionNumber,
    pub(crate) subscriptions: SmallVec<[FilterId; 2]>,
    /// Since when its ordinary filters are held, by filter, if it is stored: a SUBSCRIBE that repeats one changes nothing
    /// about which messages it waits for.
    pub(super) subscribed_since: Vec<(FilterId, Stamp)>,
    /// Shared ordinary filters, as the client wrote them.
    pub(crate) shares: Vec<Membership>,
    pub(crate) outbound: Option<Box<Outbound<Delivery>>>,
    pub(crate) inbound: Option<Box<Inbound>>,
    pub(crate) waiting: Option<Box<Waiting>>,
    pub(crate) chat: Option<Box<ChatInterest>>,
    pub(crate) will: Option<Box<Will>>,
    /// The place of its last connection's CONNECT among all.
    pub(crate) connect_stamp: Stamp,
    /// Exactly-once deliveries that are finished but still remembered on disk.
    pub(crate) done: Vec<Origin>,
    /// Exactly-once receipts whose fate is with the messenger.
    pub(crate) unsettled: Vec<Unsettled>,
    /// Packet identifiers of exactly-once messages to conversations that are not released yet.
    #[expect(
        clippy::box_collection,
        reason = "sixteen bytes of every session, and hardly any has it"
    )]
    pub(crate) sent: Option<Box<BTreeSet<u16>>>,
    /// When it is checked; zero while no check is scheduled.
    pub(super) check_at: Millis,
    /// Set while there is no connection.
    pub(crate) disconnected_at: Option<Millis>,
    /// Its neighbours among the sessions without a connection.
    pub(super) offline: OfflineLinks,
}

/// A session's neighbours in the order in which sessions went offline; [`NO_SESSION`] is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfflineLinks {
    pub(crate) before: u32,
    pub(crate) after: u32,
}

impl Default for OfflineLinks {
    fn default() -> Self {
        Self {
            before: NO_SESSION,
            after: NO_SESSION,
        }
    }
}

/// A QoS 2 publish the messenger has not answered yet. It outlives the connection it came on: when the
/// client repeats it on the next one, the answer goes there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsettled {
    /// The number the messenger knows it by.
    pub(crate) ack: u64,
    pub(crate) packet_id: u16,
    pub(crate) connection: ConnectionId,
    pub(crate) ordinal: AckOrdinal,
}

/// A session's place in a group.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) group: GroupId,
    /// `$share/<name>/<filter>`.
    pub(crate) filter: Box<str>,
}

/// A session's part in the messenger.
#[derive(Debug)]
pub(crate) struct ChatInterest {
    pub(crate) filters: Vec<ChatFilter>,
    /// The stored entries that were handed to the session's flow.
    pub(crate) sent: Cursor,
    /// Those that the messenger delivered while it was not live.
    pub(crate) seen: Cursor,
    /// An entry whose first packets, so many, were handed over already.
    pub(crate) begun: Pos,
    pub(crate) begun_packets: u8,
    pub(crate) mode: ChatMode,
    /// What was read from the store and does not fit the window yet.
    pub(crate) backlog: Option<Box<ChatBacklog>>,
}

/// An answer of the store, as far as it has not been handed over.
#[derive(Debug)]
pub(crate) struct ChatBacklog {
    /// In the order of their positions.
    pub(crate) entries: VecDeque<Arc<ChatDelivery>>,
    /// What the session has had with the last of them.
    pub(crate) upto: Cursor,
}

impl ChatInterest {
    /// One that begins now, when the messenger has come so far.
    pub(crate) fn new(latest: &Cursor) -> Self {
        Self {
            filters: Vec::new(),
            sent: latest.clone(),
            seen: latest.clone(),
            begun: Pos::ZERO,
            begun_packets: 0,
            mode: ChatMode::Live,
            backlog: None,
        }
    }

    /// How many packets of an entry were handed over already.
    pub(crate) fn packets_begun(&self, pos: Pos) -> usize {
        if self.begun == pos {
            usize::from(self.begun_packets)
        } else {
            0
        }
    }

    /// An entry was handed over completely, and all that were delivered up to a floor. Where that is the entry itself no partition is
    /// ahead, and nothing is allocated.
    pub(crate) fn has_sent(&mut self, pos: Pos, floor: Pos) {
        self.sent.raise(floor);
        self.sent.advance(pos);
        if self.begun == pos {
            self.begun_packets = 0;
        }
    }

    /// An entry was delivered that it does not get now.
    pub(crate) fn has_seen(&mut self, pos: Pos, floor: Pos) {
        self.seen.raise(floor);
        self.seen.advance(pos);
        if let ChatMode::Draining { more } = &mut self.mode {
            // The answer that is being sent came before this entry.
            *more = true;
        }
    }

    /// The store has answered. What it brings has to be handed over, but for what the live path has brought meanwhile: an answer to an
    /// earlier question may come late.
    pub(crate) fn has_read(&mut self, entries: Vec<Arc<ChatDelivery>>, upto: Cursor, more: bool) {
        let sent = &self.sent;
        let is_news = |entry: &Arc<ChatDelivery>| entry.pos.is_some_and(|pos| !sent.covers(pos));
        let entries: VecDeque<_> = entries.into_iter().filter(is_news).collect();
        self.mode = ChatMode::Draining {
            more: more || !upto.covers_all(&self.seen),
        };
        self.backlog = Some(Box::new(ChatBacklog { entries, upto }));
        self.end_backlog();
    }

    /// The next entry of what was read.
    pub(crate) fn next_read(&mut self) -> Option<Arc<ChatDelivery>> {
        self.backlog.as_mut()?.entries.pop_front()
    }

    /// An entry of what was read did not fit.
    pub(crate) fn put_back(&mut self, entry: Arc<ChatDelivery>) {
        if let Some(backlog) = &mut self.backlog {
            backlog.entries.push_front(entry);
        }
    }

    /// An entry of what was read was handed over completely. The older ones were before, whatever their partitions; so the session has
    /// come as far as the answer goes, but no further than this entry.
    pub(crate) fn has_sent_read(&mut self, pos: Pos) {
        let upto = self.backlog.as_ref().map(|backlog| backlog.upto.floor());
        self.has_sent(pos, upto.unwrap_or(Pos::ZERO).min(pos));
        self.end_backlog();
    }

    /// With the last entry the session has come as far as the answer goes.
    fn end_backlog(&mut self) {
        if let Some(backlog) = self.backlog.take_if(|backlog| backlog.entries.is_empty()) {
            self.sent.merge(&backlog.upto);
        }
    }
}

/// How a session gets stored entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChatMode {
    /// As they are made.
    Live,
    /// From the store, once it is connected and its window has room.
    Behind,
    /// The store has been asked.
    Fetching,
    /// The backlog ends with `more`: whether the store has to be asked again.
    Draining { more: bool },
}

/// A subscription under `im/`.
#[derive(Debug, Clone)]
pub(crate) struct ChatFilter {
    /// Without a `$share/<name>/` prefix.
    pub(crate) filter: Box<str>,
    /// Share name.
    pub(crate) share: Option<Box<str>>,
    pub(crate) options: u8,
    pub(crate) identifier: u32,
}

impl Session {
    /// One that has nothing yet and ends with its connection.
    pub(crate) fn new(serial: u32, identity: &Identity, client_id: Arc<str>) -> Self {
        Self {
            serial,
            connection: NO_CONNECTION,
            account: identity.account,
            admin: identity.admin,
            token: identity.token.clone(),
            protocol_level: 0,
            dirty: false,
            pump_deferred: false,
            filter_bytes: 0,
            withdraws: false,
            expiry_secs: 0,
            name: identity.name.clone(),
            client_id,
            number: SessionNumber::ZERO,
            subscriptions: SmallVec::new(),
            subscribed_since: Vec::new(),
            outbound: None,
            inbound: None,
            waiting: None,
            chat: None,
            will: None,
            connect_stamp: Stamp::ZERO,
            done: Vec::new(),
            unsettled: Vec::new(),
            sent: None,
            shares: Vec::new(),
            check_at: Millis::ZERO,
            disconnected_at: None,
            offline: OfflineLinks::default(),
        }
    }

    /// When the delay of its will is over, while there is no connection.
    pub(crate) fn will_due(&self) -> Option<Millis> {
        let (will, since) = (self.will.as_ref()?, self.disconnected_at?);
        Some(since.saturating_add(u64::from(will.delay_secs) * 1000))
    }

    /// When it ends, while there is no connection; `None` is never.
    pub(crate) fn ends_at(&self, max_secs: u32) -> Option<Millis> {
        let (secs, since) = (self.expiry_secs.min(max_secs), self.disconnected_at?);
        (secs != NEVER).then(|| since.saturating_add(u64::from(secs) * 1000))
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.number != SessionNumber::ZERO
    }

    /// Since when a filter is held.
    pub(crate) fn since(&self, filter: FilterId) -> Option<Stamp> {
        let place = self.place_of_since(filter).ok()?;
        Some(self.subscribed_since[place].1)
    }

    /// A filter is held, since the moment already known if it was before.
    pub(crate) fn set_since(&mut self, filter: FilterId, since: Stamp) {
        if let Err(place) = self.place_of_since(filter) {
            self.subscribed_since.insert(place, (filter, since));
        }
    }

    /// A filter is given up, or becomes durable: what came before does not wait for it.
    pub(crate) fn forget_since(&mut self, filter: FilterId) {
        if let Ok(place) = self.place_of_since(filter) {
            self.subscribed_since.remove(place);
        }
    }

    fn place_of_since(&self, filter: FilterId) -> Result<usize, usize> {
        self.subscribed_since
            .binary_search_by_key(&filter, |(known, _)| *known)
    }

    /// Whether the store knew of an exactly-once delivery of this message.
    pub(crate) fn remembers(&self, stamp: Stamp) -> bool {
        let waiting = self.waiting.iter();
        let mut recovered = waiting.flat_map(|waiting| &waiting.recovered);
        recovered.any(|(known, _)| *known == stamp)
    }

    pub(crate) fn outbound(&mut self) -> &mut Outbound<Delivery> {
        self.outbound.get_or_insert_default()
    }

    pub(crate) fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// Whether stored messages that were matched for it wait, or are under way.
    pub(crate) fn has_stored_unfinished(&self) -> bool {
        let mut waiting = self.waiting.iter();
        let mut flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        waiting.any(|waiting| !waiting.stored().is_empty())
            || flights.any(|flight| match flight.item.origin {
                Origin::Queue(_) => true,
                Origin::Memory
                | Origin::Share { .. }
                | Origin::Chat { .. }
                | Origin::Claim { .. } => false,
            })
    }

    /// Whether it would miss something that was acknowledged to a publisher.
    pub(crate) fn has_messages(&self) -> bool {
        let waits = |waiting: &Waiting| !waiting.is_empty();
        self.waiting.as_deref().is_some_and(waits)
            || self.outbound.as_ref().is_some_and(|flow| !flow.is_empty())
    }

    /// Whether its subscriptions are too many for one piece of work.
    pub(crate) fn has_many_subscriptions(&self) -> bool {
        self.subscriptions.len() + self.shares.len() > FILTERS_PER_PIECE
    }

    /// Whether it has ended and only its subscriptions are still there.
    pub(crate) fn has_ended(&self) -> bool {
        self.connection == NO_CONNECTION && self.expiry_secs == 0
    }

    /// Stamps of the stored messages that are on their way to the client, the oldest first.
    pub(crate) fn stored_flights(&self) -> Vec<Stamp> {
        let waiting = self.waiting.as_ref();
        let floor = waiting.map_or(Stamp::ZERO, |waiting| waiting.floor);
        let flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        let mut stamps: Vec<Stamp> = flights
            .filter_map(|flight| match flight.item.origin {
                Origin::Queue(stamp) if stamp >= floor => Some(stamp),
                _ => None,
            })
            .collect();
        stamps.sort_unstable();
        stamps
    }

    /// Packet ids of claims that are on their way to the client and that nobody else needs to know of.
    pub(crate) fn claim_flights(&self, before: Stamp) -> Vec<u16> {
        let flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        flights
            .filter(|flight| match (flight.state, flight.item.origin) {
                (FlightState::AwaitPuback, Origin::Claim { stored, .. }) => {
                    stored.is_some_and(|stored| stored.message < before)
                }
                _ => false,
            })
            .map(|flight| flight.packet_id)
            .collect()
    }

    /// Keeps a claim in memory only from here on; what is to be struck out.
    pub(crate) fn keep_claim_in_memory(&mut self, packet_id: u16) -> Option<Stamp> {
        let flight = self.outbound.as_mut()?.flight(packet_id)?;
        let Origin::Claim { stored, .. } = &mut flight.item.origin else {
            return None;
        };
        stored.take().map(|stored| stored.claim)
    }

    /// Whether something waits for room in the connection's buffer.
    pub(crate) fn wants_room(&self) -> bool {
        let behind = self.chat.as_ref().is_some_and(|chat| match chat.mode {
            ChatMode::Live | ChatMode::Fetching => false,
            ChatMode::Behind | ChatMode::Draining { .. } => true,
        });
        let unsent = self
            .outbound
            .as_ref()
            .is_some_and(|outbound| outbound.unsent() > 0);
        self.waiting.is_some() || behind || unsent || !self.shares.is_empty()
    }

    /// Gives back memory that an idle session does not need.
    pub(crate) fn shed(&mut self) {
        if let Some(outbound) = self.outbound.as_mut()
            && outbound.is_idle()
        {
            // Its identifiers go on in their sequence until its record says where they stand.
            if self.dirty {
                outbound.shrink();
            } else {
                self.outbound = None;
            }
            if let Some(waiting) = self.waiting.as_mut() {
                waiting.floor = Stamp::ZERO;
            }
        }
        if self
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.is_empty())
        {
            self.waiting = None;
        }
        if self
            .inbound
            .as_ref()
            .is_some_and(|inbound| inbound.is_empty())
        {
            self.inbound = None;
        }
    }
}
