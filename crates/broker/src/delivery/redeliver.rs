//! Deliveries that may have been made before the server died or was stopped: they go again as repetitions.

use mqtt_codec::QoS;
use mqtt_session::FlightState;
use records::Millis;

use crate::delivery::waiting::Delivery;
use crate::shard::Shard;
use crate::stored::redelivery::Repeat;

impl Shard {
    /// Takes back what a session had been sent.
    pub(crate) fn recover_progress(&mut self, slot: u32, record: &records::Session, now: Millis) {
        let known = self.cursors.redeliveries.recover(slot, record);
        if known && record.disconnected_at.is_none() {
            // What is stored from here on, while it is offline, is not sent to it.
            self.mark_dirty(slot, now);
        }
    }

    /// Sends it again, under its identifier as far as that is known and free. [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
    pub(crate) fn redeliver(
        &mut self,
        slot: u32,
        delivery: &Delivery,
        repeat: Repeat,
        now: Millis,
    ) {
        // As it began, whatever its subscription has become since.
        let delivery = Delivery {
            qos: QoS::AtLeastOnce,
            ..delivery.clone()
        };
        let session = &mut self.sessions[slot];
        let connection = session.connection;
        let outbound = session.outbound();
        let state = FlightState::AwaitPuback;
        let packet_id = match repeat.packet_id() {
            Some(packet_id) if outbound.begin_again(packet_id, state, delivery.clone()) => {
                packet_id
            }
            Some(_) | None => outbound.begin(state, delivery.clone()),
        };
        self.send_publish(connection, &delivery, Some(packet_id), true, now);
    }
}
