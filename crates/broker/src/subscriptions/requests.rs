//! A SUBSCRIBE or UNSUBSCRIBE at work: filter by filter, a long packet in pieces while its connection is not read.
//! It owns the answer that grows meanwhile; what one filter means is `subscribe`'s business.

use std::collections::BTreeMap;

use mqtt_codec::{ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, Version, suback};
use records::{Millis, Subscription, Write, key};

use crate::access::recheck::UNASKED;
use crate::connections::connection::Fault;
use crate::io::ConnectionId;
use crate::messenger::topics::is_chat;
use crate::shard::Shard;
use crate::subscriptions::filter_request::{FilterRequest, FilterWork};
use crate::subscriptions::filter_request::{Granted, PendingSuback};
use crate::turn::deferred::DeferredWork;
use crate::turn::pieces::FILTERS_PER_PIECE;

impl Shard {
    /// SUBSCRIBE. [3.1.1 MQTT-3.8.4-1] [5 MQTT-3.8.4-1]
    pub(crate) fn on_subscribe(
        &mut self,
        id: ConnectionId,
        slot: u32,
        packet: &Subscribe<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        self.expect_room(id, packet.filters().count())?;
        let filters: Vec<_> = packet
            .filters()
            .map(|(filter, options)| (Box::from(filter), options))
            .collect();
        let work = FilterWork::Subscribe {
            granted: Vec::with_capacity(filters.len()),
            left: filters.into_iter(),
            identifier: packet.properties.subscription_identifier.unwrap_or(0),
            records: BTreeMap::new(),
        };
        self.begin_filters(id, slot, packet.packet_id, work, now);
        Ok(())
    }

    /// UNSUBSCRIBE. [3.1.1 MQTT-3.10.4-4] [5 MQTT-3.10.4-4]
    pub(crate) fn on_unsubscribe(
        &mut self,
        id: ConnectionId,
        slot: u32,
        packet: &Unsubscribe<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        self.expect_room(id, packet.filters().count())?;
        let filters: Vec<_> = packet.filters().map(Box::from).collect();
        let work = FilterWork::Unsubscribe {
            left: filters.into_iter(),
            revoked: Vec::new(),
            writes: Vec::new(),
        };
        self.begin_filters(id, slot, packet.packet_id, work, now);
        Ok(())
    }

    /// Whether the client takes an answer with so many codes; nothing is done that it could not be told of.
    /// [5 MQTT-3.1.2-24]
    fn expect_room(&self, id: ConnectionId, codes: usize) -> Result<(), Fault> {
        let connection = &self.connections[id.slot];
        let answer = suback::encoded_len(connection.version, codes);
        if answer > connection.packet_bytes_max as usize {
            return Err(ReasonCode::PACKET_TOO_LARGE);
        }
        Ok(())
    }

    fn begin_filters(
        &mut self,
        connection: ConnectionId,
        slot: u32,
        packet_id: u16,
        work: FilterWork,
        now: Millis,
    ) {
        let mut filters = FilterRequest {
            connection,
            session: self.sessions.reference(slot),
            packet_id,
            codes: Vec::new(),
            sentence: None,
            changes: false,
            work,
        };
        self.apply_some(slot, &mut filters, now);
        if filters.is_done() {
            self.finish_filters(slot, filters, now);
        } else {
            self.connections.pause(connection);
            self.turn
                .defer(DeferredWork::FilterRequest(Box::new(filters)));
        }
    }

    /// The next piece. It goes on to the end when the connection is lost: a session that is kept has the same
    /// subscriptions in memory and on disk.
    pub(crate) fn continue_filters(&mut self, mut filters: FilterRequest, now: Millis) {
        let Some(slot) = self.sessions.slot_of(filters.session) else {
            return;
        };
        self.apply_some(slot, &mut filters, now);
        if !filters.is_done() {
            self.turn
                .defer(DeferredWork::FilterRequest(Box::new(filters)));
            return;
        }
        let connection = filters.connection;
        self.finish_filters(slot, filters, now);
        self.resume(connection, now);
    }

    fn apply_some(&mut self, slot: u32, filters: &mut FilterRequest, now: Millis) {
        match &mut filters.work {
            FilterWork::Subscribe {
                left,
                identifier,
                granted,
                records,
            } => {
                for (filter, options) in left.take(FILTERS_PER_PIECE) {
                    self.turn.spend(filter.len());
                    let terms = Some((options, *identifier));
                    filters.changes |= self.begin_change(slot, &filter, terms, filters.changes);
                    // [3.1.1 MQTT-3.8.4-5] [5 MQTT-3.8.4-6]: one code per filter, in their order.
                    let existed = match self.grant(slot, &filter, options, *identifier, now) {
                        Ok(existed) => existed,
                        Err(refusal) => {
                            self.metrics.counters.subscriptions_refused += 1;
                            filters.codes.push(refusal.reason);
                            filters.sentence = refusal.sentence.or(filters.sentence);
                            continue;
                        }
                    };
                    if !existed {
                        self.sessions.count_filter(slot, &filter);
                    }
                    filters.codes.push(ReasonCode::granted(options.qos));
                    if self.sessions[slot].is_stored() {
                        let record =
                            self.subscription_record(slot, &filter, options, *identifier, now);
                        records.insert(filter.clone(), record);
                    }
                    granted.push(Granted {
                        filter,
                        qos: options.qos,
                        existed,
                        handling: options.retain_handling,
                    });
                }
            }
            FilterWork::Unsubscribe {
                left,
                revoked,
                writes,
            } => {
                let number = self.sessions[slot].number;
                let stored = self.sessions[slot].is_stored();
                for filter in left.take(FILTERS_PER_PIECE) {
                    self.turn.spend(filter.len());
                    filters.changes |= self.begin_change(slot, &filter, None, filters.changes);
                    if !self.revoke(slot, &filter, now) {
                        filters.codes.push(ReasonCode::NO_SUBSCRIPTION_EXISTED);
                        continue;
                    }
                    self.sessions.uncount_filter(slot, &filter);
                    filters.codes.push(ReasonCode::SUCCESS);
                    if stored {
                        writes.push(self.subscriptions.given_up_write(slot, number, &filter));
                    }
                    if is_chat(&filter) {
                        revoked.push(filter);
                    }
                }
            }
        }
    }

    /// A filter is about to be subscribed to on these terms, or given up. If that changes by what is stored for the session
    /// is matched, nothing is sent to it before the change is on disk: after a crash it would come again, as something
    /// else. True when it does; `already` when the packet has begun a change.
    fn begin_change(
        &mut self,
        slot: u32,
        filter: &str,
        terms: Option<(SubscriptionOptions, u32)>,
        already: bool,
    ) -> bool {
        // Nothing that is stored waits for any other session.
        let changes = self.sessions[slot].is_stored()
            && self.subscriptions.changes_matching(slot, filter, terms);
        if changes && !already {
            self.subscriptions.changes.begin(slot);
        }
        changes
    }

    /// A change is on disk: what has waited for it goes, unless there is another.
    pub(crate) fn end_change(&mut self, slot: u32, now: Millis) {
        if self.subscriptions.changes.end(slot) {
            self.pump(slot, now);
        }
    }

    fn finish_filters(&mut self, slot: u32, filters: FilterRequest, now: Millis) {
        let (connection, packet_id) = (filters.connection, filters.packet_id);
        let mut pending = PendingSuback {
            connection,
            session: filters.session,
            packet: Vec::new(),
            granted: Vec::new(),
            identifier: 0,
            revoked: Vec::new(),
            changes: filters.changes,
        };
        let found = self.connections.get(connection);
        let version = found.map(|found| found.version);
        // [5 MQTT-3.1.2-29] [5 MQTT-3.9.2-1]
        let said = found
            .filter(|found| found.version == Version::V5 && found.problem_information)
            .and_then(|found| Some((filters.sentence?, found.packet_bytes_max)));
        let (codes, answer) = (&filters.codes, &mut pending.packet);
        let writes = match filters.work {
            FilterWork::Subscribe {
                identifier,
                granted,
                records,
                ..
            } => {
                match (said, version) {
                    (Some((sentence, maximum)), _) => {
                        suback::encode_with_reason(packet_id, codes, sentence, maximum, answer);
                    }
                    (None, Some(version)) => suback::encode(version, packet_id, codes, answer),
                    (None, None) => {}
                }
                (pending.granted, pending.identifier) = (granted, identifier);
                self.subscription_writes(slot, &pending.granted, records, now)
            }
            FilterWork::Unsubscribe {
                revoked, writes, ..
            } => {
                if let Some(version) = version
                    && packet_id != UNASKED
                {
                    suback::encode_unsuback(version, packet_id, codes, answer);
                }
                pending.revoked = revoked;
                self.with_cursors(slot, writes)
            }
        };
        self.answer_when_stored(pending, writes, now);
    }

    fn subscription_writes(
        &mut self,
        slot: u32,
        granted: &[Granted],
        records: BTreeMap<Box<str>, Subscription>,
        now: Millis,
    ) -> Vec<Write> {
        if records.is_empty() {
            return Vec::new();
        }
        let number = self.sessions[slot].number;
        self.announce_moment(granted, now);
        let records = records.into_iter().map(|(filter, record)| Write::Put {
            key: key::subscription(number, &filter),
            value: record.encode(),
        });
        self.with_cursors(slot, records)
    }

    /// Changes of subscriptions with the session's record before them. Messages before this moment are none of the new
    /// subscriptions' business, and were matched by those that are given up: whatever part of the changes a crash keeps, the
    /// cursors are with it.
    fn with_cursors(&self, slot: u32, changes: impl IntoIterator<Item = Write>) -> Vec<Write> {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return Vec::new();
        }
        let record = std::iter::once(self.session_write(slot));
        record.chain(changes).collect()
    }
}
