//! The sending side of a session: which QoS 1 and 2 deliveries are under way, under which packet
//! identifier, and in which step of their flow. It holds the window; it does not encode or send.
//!
//! Identifiers are given in sequence and flights stay in that sequence until the oldest is finished, so an
//! acknowledgement finds its flight by subtraction. A flight finished out of order leaves a gap that is
//! closed when everything before it is finished.

use std::collections::VecDeque;

/// Packet identifiers run from 1 to this. [3.1.1 MQTT-2.3.1-1]
const PACKET_ID_MAX: u16 = u16::MAX;
/// How many places finished flights may occupy behind an unfinished one, in windows.
const GAP_WINDOWS_MAX: usize = 2;
/// The largest window: with it, and as many identifiers that a restart left in use, there are still some to give.
const WINDOW_MAX: u16 = PACKET_ID_MAX / 2;

/// The step a delivery waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightState {
    /// QoS 2: the identifier is being stored; PUBLISH not sent yet.
    Beginning,
    /// QoS 1: PUBLISH sent, PUBACK awaited.
    AwaitPuback,
    /// QoS 2: PUBLISH sent, PUBREC awaited.
    AwaitPubrec,
    /// QoS 2: PUBREC came, its consequence is being stored; PUBREL not sent yet.
    Releasing,
    /// QoS 2: PUBREL sent, PUBCOMP awaited.
    AwaitPubcomp,
}

/// One QoS 1 or 2 delivery under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flight<T> {
    /// The identifier it travels under.
    pub packet_id: u16,
    /// The step it waits in.
    pub state: FlightState,
    /// False after a reconnect until it has been sent again on the new connection.
    pub sent: bool,
    /// What is delivered.
    pub item: T,
}

/// The peer acknowledged what does not wait for that acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// Nothing was sent under this identifier on the present connection: an echo of something that is over.
    #[error("no delivery is under way under packet id {0}")]
    Unknown(u16),
    /// The delivery under this identifier waits for another packet: the peer has left the protocol.
    #[error("the delivery under packet id {0} waits for another packet")]
    OutOfTurn(u16),
}

impl<T> Flight<T> {
    /// What is to be thought of an acknowledgement that this delivery does not wait for.
    fn not_awaited(&self) -> AckError {
        if self.sent && self.state != FlightState::Beginning {
            AckError::OutOfTurn(self.packet_id)
        } else {
            AckError::Unknown(self.packet_id)
        }
    }
}

/// What a PUBREC means for the flow.
#[derive(Debug, PartialEq, Eq)]
pub enum PubrecOutcome<T> {
    /// The first PUBREC: the release has to be stored and PUBREL sent.
    Release,
    /// A repeated PUBREC whose release is already under way: send PUBREL again.
    Repeat,
    /// The peer refused the message: the delivery is over.
    Refused(T),
}

/// The window of deliveries under way.
#[derive(Debug)]
pub struct Outbound<T> {
    /// Contiguous in identifier order; `None` is a finished flight behind an unfinished one.
    flights: VecDeque<Option<Flight<T>>>,
    /// Flights recovered from the store, whose identifiers follow no sequence.
    recovered: Vec<Flight<T>>,
    /// Identifiers in use whose flights have not been taken back yet.
    reserved: Vec<u16>,
    /// Identifier of `flights[0]`, or the next one to give when it is empty.
    first_id: u16,
    live: usize,
    unsent: usize,
}

impl<T> Default for Outbound<T> {
    fn default() -> Self {
        Self {
            flights: VecDeque::new(),
            recovered: Vec::new(),
            reserved: Vec::new(),
            first_id: 1,
            live: 0,
            unsent: 0,
        }
    }
}

impl<T> Outbound<T> {
    /// Deliveries under way, sent or to be sent again.
    pub fn len(&self) -> usize {
        self.live + self.recovered.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is under way, nor any identifier in use.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && self.reserved.is_empty()
    }

    /// Flights that wait to be sent again after a reconnect.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether another delivery may begin under a window of `window` messages.
    pub fn has_room(&self, window: u16) -> bool {
        let window = usize::from(window.min(WINDOW_MAX));
        let known = self.recovered.len() + self.reserved.len();
        self.len() < window
            && self.flights.len() < window * GAP_WINDOWS_MAX
            && self.flights.len() + known < usize::from(PACKET_ID_MAX)
    }

    /// The identifier that the next delivery gets, unless it is in use.
    pub fn next_id(&self) -> u16 {
        id_after(self.first_id, self.flights.len())
    }

    /// Begins a delivery and returns its packet identifier, one that nothing else uses
    /// [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4].
    ///
    /// The caller has checked [`Outbound::has_room`].
    pub fn begin(&mut self, state: FlightState, item: T) -> u16 {
        assert!(
            self.flights.len() < usize::from(PACKET_ID_MAX),
            "the window leaves identifiers free"
        );
        let mut packet_id = self.next_id();
        while self.is_recovered(packet_id) || self.reserved.contains(&packet_id) {
            self.flights.push_back(None);
            packet_id = self.next_id();
        }
        self.flights.push_back(Some(Flight {
            packet_id,
            state,
            sent: true,
            item,
        }));
        self.live += 1;
        self.skip_finished();
        packet_id
    }

    /// Takes back a flight that the store remembers from before a restart.
    pub fn recover(&mut self, packet_id: u16, state: FlightState, item: T) {
        self.push_recovered(packet_id, state, false, item);
        self.unsent += 1;
    }

    /// Begins a delivery again under the identifier it had before a restart. False when another has got it since.
    pub fn begin_again(&mut self, packet_id: u16, state: FlightState, item: T) -> bool {
        if packet_id == 0 || self.reserved.contains(&packet_id) || self.flight(packet_id).is_some()
        {
            return false;
        }
        self.push_recovered(packet_id, state, true, item);
        true
    }

    fn push_recovered(&mut self, packet_id: u16, state: FlightState, sent: bool, item: T) {
        assert!(packet_id != 0, "stored packet identifiers are never zero");
        self.reserved.retain(|reserved| *reserved != packet_id);
        self.recovered.push(Flight {
            packet_id,
            state,
            sent,
            item,
        });
    }

    fn is_recovered(&self, packet_id: u16) -> bool {
        let mut recovered = self.recovered.iter();
        recovered.any(|flight| flight.packet_id == packet_id)
    }

    /// Keeps an identifier from being given until its flight is taken back.
    pub fn reserve(&mut self, packet_id: u16) {
        self.reserved.push(packet_id);
    }

    /// Gives identifiers from `packet_id` on; only before the first delivery.
    pub fn start_at(&mut self, packet_id: u16) {
        assert!(
            self.is_empty(),
            "identifiers are chosen before the first delivery"
        );
        self.first_id = packet_id.max(1);
    }

    /// Gives back memory that is not needed while nothing is under way.
    pub fn shrink(&mut self) {
        if self.flights.is_empty() {
            self.flights = VecDeque::new();
        }
        if self.recovered.is_empty() {
            self.recovered = Vec::new();
        }
    }

    /// The flight under `packet_id`.
    pub fn flight(&mut self, packet_id: u16) -> Option<&mut Flight<T>> {
        if let Some(index) = self
            .recovered
            .iter()
            .position(|flight| flight.packet_id == packet_id)
        {
            return self.recovered.get_mut(index);
        }
        let index = self.index_of(packet_id)?;
        self.flights[index].as_mut()
    }

    /// PUBACK: the delivery is finished. [3.1.1 MQTT-4.3.2-1] [5 MQTT-4.3.2-3]
    pub fn puback(&mut self, packet_id: u16) -> Result<T, AckError> {
        self.finish(packet_id, FlightState::AwaitPuback)
    }

    /// The identifier of a delivery that was beginning is stored. The flight, when its PUBLISH may go on the
    /// present connection.
    pub fn begun(&mut self, packet_id: u16) -> Option<&Flight<T>> {
        let flight = self
            .flight(packet_id)
            .filter(|flight| flight.state == FlightState::Beginning)?;
        flight.state = FlightState::AwaitPubrec;
        flight.sent.then_some(flight)
    }

    /// PUBREC: the message has arrived or was refused; either way it is never published again.
    /// [3.1.1 MQTT-4.3.3-1] [5 MQTT-4.3.3-6]
    pub fn pubrec(&mut self, packet_id: u16, refused: bool) -> Result<PubrecOutcome<T>, AckError> {
        let flight = self.flight(packet_id).ok_or(AckError::Unknown(packet_id))?;
        match flight.state {
            FlightState::AwaitPubrec if refused => self
                .finish(packet_id, FlightState::AwaitPubrec)
                .map(PubrecOutcome::Refused),
            FlightState::AwaitPubrec => {
                flight.state = FlightState::Releasing;
                Ok(PubrecOutcome::Release)
            }
            FlightState::Releasing | FlightState::AwaitPubcomp => Ok(PubrecOutcome::Repeat),
            FlightState::AwaitPuback | FlightState::Beginning => Err(flight.not_awaited()),
        }
    }

    /// PUBREL has been sent for a flight whose release is stored. False when it is no longer there.
    pub fn released(&mut self, packet_id: u16) -> bool {
        match self.flight(packet_id) {
            Some(flight) if flight.state == FlightState::Releasing => {
                flight.state = FlightState::AwaitPubcomp;
                true
            }
            Some(flight) => flight.state == FlightState::AwaitPubcomp,
            None => false,
        }
    }

    /// PUBCOMP: the exactly-once delivery is finished. [5 MQTT-4.3.3-5]
    pub fn pubcomp(&mut self, packet_id: u16) -> Result<T, AckError> {
        self.finish(packet_id, FlightState::AwaitPubcomp)
    }

    /// The connection is gone: every flight has to be sent again on the next one.
    /// [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
    pub fn connection_lost(&mut self) {
        for flight in self.flights.iter_mut().flatten().chain(&mut self.recovered) {
            flight.sent = false;
        }
        self.unsent = self.len();
    }

    /// The next flight to send again, in the original order, marked as sent. [3.1.1 MQTT-4.6.0-1]
    pub fn next_unsent(&mut self) -> Option<&mut Flight<T>> {
        if self.unsent == 0 {
            return None;
        }
        self.unsent -= 1;
        let flight = self
            .recovered
            .iter_mut()
            .chain(self.flights.iter_mut().flatten())
            .find(|flight| !flight.sent)
            .expect("unsent counts the flights that are not sent");
        flight.sent = true;
        Some(flight)
    }

    /// Every flight, oldest first, recovered ones before the others.
    pub fn iter(&self) -> impl Iterator<Item = &Flight<T>> {
        self.recovered.iter().chain(self.flights.iter().flatten())
    }

    fn finish(&mut self, packet_id: u16, expected: FlightState) -> Result<T, AckError> {
        let unknown = AckError::Unknown(packet_id);
        if let Some(index) = self
            .recovered
            .iter()
            .position(|flight| flight.packet_id == packet_id)
        {
            if self.recovered[index].state != expected {
                return Err(self.recovered[index].not_awaited());
            }
            let flight = self.recovered.remove(index);
            self.forget_unsent(flight.sent);
            return Ok(flight.item);
        }
        let index = self.index_of(packet_id).ok_or(unknown)?;
        let flight = self.flights[index].take_if(|flight| flight.state == expected);
        let Some(flight) = flight else {
            let other = self.flights[index].as_ref();
            return Err(other.map_or(unknown, Flight::not_awaited));
        };
        self.live -= 1;
        self.forget_unsent(flight.sent);
        self.skip_finished();
        Ok(flight.item)
    }

    fn forget_unsent(&mut self, sent: bool) {
        if !sent {
            self.unsent -= 1;
        }
    }

    fn skip_finished(&mut self) {
        while let Some(None) = self.flights.front() {
            self.flights.pop_front();
            self.first_id = id_after(self.first_id, 1);
        }
        if self.flights.is_empty() && self.flights.capacity() > 64 {
            self.flights = VecDeque::new();
        }
    }

    fn index_of(&self, packet_id: u16) -> Option<usize> {
        if packet_id == 0 {
            return None;
        }
        let ids = usize::from(PACKET_ID_MAX);
        let distance = (usize::from(packet_id) + ids - usize::from(self.first_id)) % ids;
        (distance < self.flights.len()).then_some(distance)
    }
}

/// The identifier `steps` after `id`, never zero.
fn id_after(id: u16, steps: usize) -> u16 {
    let ids = usize::from(PACKET_ID_MAX);
    let ordinal = (usize::from(id) - 1 + steps) % ids;
    u16::try_from(ordinal + 1).expect("an ordinal below 65535 plus one is an identifier")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3]
    #[test]
    fn identifiers_are_never_zero_and_wrap() {
        let mut outbound = Outbound::default();
        for round in 0..200_000u32 {
            let id = outbound.begin(FlightState::AwaitPuback, round);
            assert_ne!(id, 0);
            assert_eq!(outbound.puback(id), Ok(round));
        }
    }

    // [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4]
    #[test]
    fn an_identifier_in_use_is_not_given_again() {
        let mut outbound = Outbound::default();
        outbound.recover(2, FlightState::AwaitPubcomp, 0);
        let given: Vec<u16> = (1..=3)
            .map(|item| outbound.begin(FlightState::AwaitPuback, item))
            .collect();
        assert_eq!(given, [1, 3, 4]);
        assert_eq!(outbound.pubcomp(2), Ok(0));
    }

    // [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1] [3.1.1 MQTT-4.6.0-1]
    #[test]
    fn everything_unfinished_is_sent_again_in_order() {
        let mut outbound = Outbound::default();
        let ids: Vec<u16> = (0..4)
            .map(|item| outbound.begin(FlightState::AwaitPubrec, item))
            .collect();
        outbound.pubrec(ids[1], false).expect("under way");
        outbound.pubrec(ids[2], true).expect("under way");
        outbound.connection_lost();
        let mut again = Vec::new();
        while let Some(flight) = outbound.next_unsent() {
            again.push((flight.item, flight.state));
        }
        assert_eq!(
            again,
            [
                (0, FlightState::AwaitPubrec),
                (1, FlightState::Releasing),
                (3, FlightState::AwaitPubrec)
            ]
        );
    }

    #[test]
    fn a_flight_never_acknowledged_stops_the_window_instead_of_growing_it() {
        let mut outbound = Outbound::default();
        outbound.begin(FlightState::AwaitPuback, 0);
        let mut begun = 0;
        while outbound.has_room(10) {
            let id = outbound.begin(FlightState::AwaitPuback, 1);
            outbound.puback(id).expect("just begun");
            begun += 1;
            assert!(begun < 1000, "the window must fill");
        }
        assert_eq!(outbound.len(), 1);
    }

    // [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4]
    #[test]
    fn an_identifier_that_waits_for_its_flight_is_not_given_either() {
        let mut outbound = Outbound::default();
        outbound.reserve(2);
        outbound.start_at(1);
        assert!(!outbound.is_idle());
        let mut given = || outbound.begin(FlightState::AwaitPuback, 0);
        assert_eq!([given(), given()], [1, 3]);
        outbound.recover(2, FlightState::AwaitPubrec, 7);
        assert_eq!(
            outbound.next_unsent().map(|flight| flight.packet_id),
            Some(2)
        );
    }

    // [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
    #[test]
    fn a_delivery_begins_again_under_its_identifier_unless_another_has_it() {
        let mut outbound = Outbound::default();
        assert!(outbound.begin_again(5, FlightState::AwaitPuback, 50));
        assert!(!outbound.begin_again(5, FlightState::AwaitPuback, 51));
        outbound.reserve(6);
        assert!(!outbound.begin_again(6, FlightState::AwaitPuback, 60));
        let first = outbound.begin(FlightState::AwaitPuback, 1);
        assert!(!outbound.begin_again(first, FlightState::AwaitPuback, 10));
        assert_eq!(outbound.puback(5), Ok(50));
        assert_eq!(outbound.puback(first), Ok(1));
    }

    proptest! {
        /// Any interleaving of beginnings, acknowledgements and reconnects agrees with a plain map.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0u8..4, any::<prop::sample::Index>()), 1..400)) {
            let mut outbound = Outbound::default();
            let mut model: Vec<(u16, u32)> = Vec::new();
            for (number, (action, pick)) in (0u32..).zip(steps) {
                match action {
                    0 | 1 if outbound.has_room(20) => {
                        let id = outbound.begin(FlightState::AwaitPuback, number);
                        prop_assert!(model.iter().all(|(used, _)| *used != id));
                        model.push((id, number));
                    }
                    2 if !model.is_empty() => {
                        let (id, item) = model.remove(pick.index(model.len()));
                        prop_assert_eq!(outbound.puback(id), Ok(item));
                        prop_assert_eq!(outbound.puback(id), Err(AckError::Unknown(id)));
                    }
                    _ => outbound.connection_lost(),
                }
                prop_assert_eq!(outbound.len(), model.len());
                let order: Vec<u32> = outbound.iter().map(|flight| flight.item).collect();
                let expected: Vec<u32> = model.iter().map(|(_, item)| *item).collect();
                prop_assert_eq!(order, expected);
            }
        }
    }
}
