//! Target `session`: one client's protocol state against plain lists: deliveries under way, receipts not released,
//! acknowledgements owed, aliases.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_session::{
    Ack, AckKind, AckOrdinal, AckQueue, FlightState, Inbound, Outbound, PubrecOutcome, Received,
    TopicAliases,
};

use crate::feed::Feed;

const ALIAS_MAXIMUM: u16 = 8;

/// The first byte chooses the window, then come steps.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut sending = Sending::new(1 + u16::from(feed.byte() % 40));
    let mut receiving = Receiving::default();
    if feed.flag() {
        sending.recover(&mut feed);
    }
    while !feed.is_empty() {
        match feed.byte() % 12 {
            step @ 0..=7 => sending.step(step, &mut feed),
            step => receiving.step(step, &mut feed),
        }
    }
}

/// A delivery of the model: packet id, state, whether it was sent on this connection, number.
type Delivery = (u16, FlightState, bool, u32);

struct Sending {
    outbound: Outbound<u32>,
    model: Vec<Delivery>,
    window: u16,
    next: u32,
}

impl Sending {
    fn new(window: u16) -> Self {
        Self {
            outbound: Outbound::default(),
            model: Vec::new(),
            window,
            next: 0,
        }
    }

    fn recover(&mut self, feed: &mut Feed<'_>) {
        self.outbound.start_at(feed.two());
        for _ in 0..feed.below(5) {
            let id = feed.two().max(1);
            if self.model.iter().any(|(known, ..)| *known == id) {
                continue;
            }
            let states = [FlightState::AwaitPubcomp, FlightState::AwaitPubrec];
            let state = *feed.choose(&states);
            self.outbound.recover(id, state, self.next);
            self.model.push((id, state, false, self.next));
            self.next += 1;
        }
        self.check();
    }

    fn step(&mut self, step: u8, feed: &mut Feed<'_>) {
        match step {
            0 | 1 => self.begin(feed),
            2 => self.puback(feed),
            3 => self.pubrec(feed),
            4 => self.pubcomp(feed),
            5 => self.stored(feed),
            6 => self.reconnect(),
            _ => self.resend(),
        }
        self.check();
    }

    /// An identifier in use more often than not.
    fn id(&self, feed: &mut Feed<'_>) -> u16 {
        let pick = feed.byte();
        match self.model.get(usize::from(pick >> 1)) {
            Some((id, ..)) if pick & 1 == 0 => *id,
            _ => feed.two(),
        }
    }

    fn place(&self, id: u16) -> Option<usize> {
        self.model.iter().position(|(known, ..)| *known == id)
    }

    fn begin(&mut self, feed: &mut Feed<'_>) {
        if !self.outbound.has_room(self.window) {
            return;
        }
        let states = [
            FlightState::AwaitPuback,
            FlightState::Beginning,
            FlightState::AwaitPubrec,
        ];
        let state = *feed.choose(&states);
        let id = self.outbound.begin(state, self.next);
        assert!(
            id != 0 && self.place(id).is_none(),
            "{id} is in use or zero"
        );
        self.model.push((id, state, true, self.next));
        self.next += 1;
        assert!(self.outbound.len() <= usize::from(self.window));
    }

    /// Takes the delivery under an identifier out if it waits in a state.
    fn finish(&mut self, id: u16, state: FlightState) -> Option<u32> {
        let place = self.place(id)?;
        (self.model[place].1 == state).then(|| self.model.remove(place).3)
    }

    fn puback(&mut self, feed: &mut Feed<'_>) {
        let id = self.id(feed);
        let expected = self.finish(id, FlightState::AwaitPuback);
        assert_eq!(self.outbound.puback(id).ok(), expected);
    }

    fn pubcomp(&mut self, feed: &mut Feed<'_>) {
        let id = self.id(feed);
        let expected = self.finish(id, FlightState::AwaitPubcomp);
        assert_eq!(self.outbound.pubcomp(id).ok(), expected);
    }

    fn pubrec(&mut self, feed: &mut Feed<'_>) {
        let id = self.id(feed);
        let refused = feed.flag();
        let state = self.place(id).map(|place| self.model[place].1);
        let expected = match state {
            Some(FlightState::AwaitPubrec) if refused => self
                .finish(id, FlightState::AwaitPubrec)
                .map(PubrecOutcome::Refused),
            Some(FlightState::AwaitPubrec) => {
                self.set(id, FlightState::Releasing);
                Some(PubrecOutcome::Release)
            }
            Some(FlightState::Releasing | FlightState::AwaitPubcomp) => Some(PubrecOutcome::Repeat),
            Some(FlightState::AwaitPuback | FlightState::Beginning) | None => None,
        };
        assert_eq!(self.outbound.pubrec(id, refused).ok(), expected);
    }

    fn set(&mut self, id: u16, state: FlightState) {
        if let Some(place) = self.place(id) {
            self.model[place].1 = state;
        }
    }

    /// What was being stored for a delivery is on disk.
    fn stored(&mut self, feed: &mut Feed<'_>) {
        let id = self.id(feed);
        let known = self.place(id).map(|place| self.model[place]);
        if feed.flag() {
            let expected = match known {
                Some((_, FlightState::Beginning, sent, number)) => {
                    self.set(id, FlightState::AwaitPubrec);
                    sent.then_some(number)
                }
                _ => None,
            };
            assert_eq!(self.outbound.begun(id).map(|flight| flight.item), expected);
        } else {
            let state = known.map(|(_, state, ..)| state);
            let expected = matches!(
                state,
                Some(FlightState::Releasing | FlightState::AwaitPubcomp)
            );
            assert_eq!(self.outbound.released(id), expected);
            if expected {
                self.set(id, FlightState::AwaitPubcomp);
            }
        }
    }

    fn reconnect(&mut self) {
        self.outbound.connection_lost();
        for delivery in &mut self.model {
            delivery.2 = false;
        }
    }

    /// What was not acknowledged is sent again in its order.
    fn resend(&mut self) {
        let next = self.model.iter_mut().find(|(_, _, sent, _)| !sent);
        let told = self.outbound.next_unsent().map(|flight| flight.item);
        assert_eq!(told, next.as_ref().map(|delivery| delivery.3));
        if let Some(delivery) = next {
            delivery.2 = true;
        }
    }

    fn check(&mut self) {
        let told: Vec<Delivery> = self
            .outbound
            .iter()
            .map(|flight| (flight.packet_id, flight.state, flight.sent, flight.item))
            .collect();
        assert_eq!(told, self.model);
        assert_eq!(self.outbound.len(), self.model.len());
        let unsent = self.model.iter().filter(|(_, _, sent, _)| !sent).count();
        assert_eq!(self.outbound.unsent(), unsent);
    }
}

#[derive(Default)]
struct Receiving {
    inbound: Inbound,
    unreleased: BTreeSet<u16>,
    acks: AckQueue<u32, u16>,
    owed: VecDeque<(AckOrdinal, AckKind, u16, Option<u32>)>,
    results: u32,
    aliases: TopicAliases,
    topics: BTreeMap<u16, String>,
}

impl Receiving {
    fn step(&mut self, step: u8, feed: &mut Feed<'_>) {
        match step {
            8 => self.receipt(feed),
            9 => self.owe(feed),
            10 => self.settle(feed),
            _ => self.alias(feed),
        }
    }

    fn receipt(&mut self, feed: &mut Feed<'_>) {
        let id = u16::from(feed.byte() % 16);
        if feed.flag() {
            let expected = if self.unreleased.insert(id) {
                Received::New
            } else {
                Received::Repeated
            };
            assert_eq!(self.inbound.publish(id), expected);
        } else {
            assert_eq!(self.inbound.release(id), self.unreleased.remove(&id));
        }
        assert_eq!(self.inbound.holds(id), self.unreleased.contains(&id));
        assert!(self.inbound.packet_ids().iter().eq(&self.unreleased));
    }

    fn owe(&mut self, feed: &mut Feed<'_>) {
        let kind = *feed.choose(&[AckKind::Puback, AckKind::Pubrec]);
        let id = feed.two();
        let ordinal = self.acks.owe(kind, id, id);
        assert!(self.owed.back().is_none_or(|(last, ..)| *last < ordinal));
        self.owed.push_back((ordinal, kind, id, None));
    }

    fn settle(&mut self, feed: &mut Feed<'_>) {
        let pick = usize::from(feed.byte());
        let ordinal = match self.owed.get(pick) {
            Some((ordinal, ..)) => *ordinal,
            None => AckOrdinal(feed.two().into()),
        };
        self.results += 1;
        self.acks.settle(ordinal, self.results);
        let known = self.owed.iter_mut().find(|(known, ..)| *known == ordinal);
        if let Some((.., result)) = known {
            result.get_or_insert(self.results);
        }
        // They leave in the order of their messages, as far as they are settled without a gap.
        while let Some((_, kind, packet_id, Some(result))) = self.owed.front().copied() {
            self.owed.pop_front();
            let ack = Ack {
                kind,
                packet_id,
                result,
                mark: packet_id,
            };
            assert_eq!(self.acks.next_ready(), Some(ack));
        }
        assert_eq!(self.acks.next_ready(), None);
        assert_eq!(self.acks.len(), self.owed.len());
        let pubacks = self
            .owed
            .iter()
            .filter(|(_, kind, ..)| *kind == AckKind::Puback);
        assert_eq!(self.acks.pubacks(), pubacks.count());
    }

    fn alias(&mut self, feed: &mut Feed<'_>) {
        let alias = u16::from(feed.byte() % 12);
        let allowed = (1..=ALIAS_MAXIMUM).contains(&alias);
        if feed.flag() {
            let topic = format!("t/{}", feed.byte());
            let set = self.aliases.set(alias, &topic, ALIAS_MAXIMUM);
            assert_eq!(set.is_ok(), allowed);
            if allowed {
                self.topics.insert(alias, topic);
            }
        }
        let told = self.aliases.topic(alias, ALIAS_MAXIMUM);
        assert_eq!(told.ok(), self.topics.get(&alias).map(String::as_str));
    }
}
