//! From bytes to packets, and from a packet to the function that acts on it. A malformed packet, or one that
//! must not come here or now, closes its connection with the specified reason and is counted.

use mqtt_codec::{
    Connect, DecodeError, DecodeLimits, Packet, ReasonCode, VERSION_BYTES_MAX, Version, ack,
    connack, disconnect, frame,
};
use records::Millis;

use crate::connections::connection::Fault;
use crate::connections::connection::Stage;
use crate::io::ConnectionId;
use crate::shard::Shard;

impl Shard {
    /// Acts on the packet at the beginning of `bytes` and returns its length; `None` when it is not all
    /// there, or the connection is over.
    pub(crate) fn process_packet(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        now: Millis,
    ) -> Option<usize> {
        let connection = self.connections.get(id)?;
        let limits = &self.settings.limits;
        let packet_bytes_max = self.settings.listener(connection.listener).packet_bytes_max;
        let maximum = match connection.stage {
            Stage::AwaitConnect | Stage::Authenticating(_) => {
                limits.connect_bytes_max.min(packet_bytes_max)
            }
            Stage::Leaving(_) | Stage::Storing { .. } | Stage::Open { .. } | Stage::Closing => {
                packet_bytes_max
            }
        };
        let decode_limits = DecodeLimits {
            user_properties_max: limits.user_properties_max,
        };
        let version = connection.version;
        let total = match frame::length(version, bytes, maximum) {
            Ok(Some(length)) => length.total,
            Ok(None) => return None,
            Err(error) => {
                self.reject(id, bytes, &error, now);
                return None;
            }
        };
        if bytes.len() < total {
            return None;
        }
        self.metrics.counters.packets_received += 1;
        let under_way = self.under_way();
        match mqtt_codec::decode(version, &bytes[..total], &decode_limits) {
            Ok(packet) => {
                if let Err(reason) = self.on_packet(id, &packet, now) {
                    self.metrics.counters.protocol_errors += 1;
                    self.disconnect(id, reason, now);
                }
            }
            Err(error) => self.reject(id, &bytes[..total], &error, now),
        }
        if self.under_way() > under_way && self.congested() {
            self.stall(id);
        }
        Some(total)
    }

    fn on_packet(
        &mut self,
        id: ConnectionId,
        packet: &Packet<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        let Some(connection) = self.connections.get(id) else {
            return Ok(());
        };
        let session = match connection.stage {
            Stage::Open { session } => session,
            Stage::AwaitConnect => {
                return match packet {
                    Packet::Connect(connect) => self.on_connect(id, connect, now),
                    // [3.1.1 MQTT-3.1.0-1] [5 MQTT-3.1.0-1]
                    _ => Err(ReasonCode::PROTOCOL_ERROR),
                };
            }
            Stage::Authenticating(_) => {
                self.on_packet_in_exchange(id, packet, now);
                return Ok(());
            }
            Stage::Leaving(_) | Stage::Storing { .. } | Stage::Closing => return Ok(()),
        };
        match packet {
            Packet::Publish(publish) => self.on_publish(id, session, publish, now),
            Packet::Puback(ack) => self.on_puback(session, ack.packet_id, now),
            Packet::Pubrec(ack) => self.on_pubrec(id, session, ack.packet_id, ack.reason, now),
            Packet::Pubrel(ack) => {
                self.on_pubrel(id, session, ack.packet_id, now);
                Ok(())
            }
            Packet::Pubcomp(ack) => self.on_pubcomp(session, ack.packet_id, now),
            Packet::Subscribe(subscribe) => self.on_subscribe(id, session, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(id, session, unsubscribe, now),
            Packet::Pingreq => {
                // [3.1.1 MQTT-3.12.4-1] [5 MQTT-3.12.4-1]
                ack::encode_pingresp(self.connections.buffer(id.slot));
                Ok(())
            }
            Packet::Disconnect(disconnect) => {
                let expiry = disconnect.properties.session_expiry;
                self.on_disconnect(id, session, disconnect.reason, expiry, now)
            }
            Packet::Auth(auth) => self.on_auth(id, auth, now),
            // A second CONNECT [3.1.1 MQTT-3.1.0-2] [5 MQTT-3.1.0-2], and packets only a server sends.
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp => Err(ReasonCode::PROTOCOL_ERROR),
        }
    }

    /// A packet that can't be decoded, or whose rest is not waited for. [3.1.1 MQTT-4.8.0-1] [5 MQTT-4.13.1-1]
    fn reject(&mut self, id: ConnectionId, bytes: &[u8], error: &DecodeError, now: Millis) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let (awaiting, in_exchange) = match connection.stage {
            Stage::AwaitConnect => (true, false),
            Stage::Authenticating(_) => (false, true),
            Stage::Leaving(_) | Stage::Storing { .. } | Stage::Open { .. } | Stage::Closing => {
                (false, false)
            }
        };
        let beyond_a_limit = error.is_limit();
        if awaiting && beyond_a_limit && is_connect(bytes) {
            // MQTT 5 has words for it, and the version stands in front of what is too much.
            match Connect::version(bytes) {
                Ok(Some(version)) => self.connections[id.slot].version = version,
                Ok(None) => {
                    assert!(
                        bytes.len() < VERSION_BYTES_MAX,
                        "a few bytes are waited for"
                    );
                    return;
                }
                Err(error) => return self.reject_malformed(id, &error, now),
            }
        }
        let has_words = self.connections.version(id.slot) == Version::V5;
        if (awaiting || in_exchange) && beyond_a_limit && has_words {
            self.count_rejected(error);
            self.refuse_connect(id, error.reason_code(), now);
            return;
        }
        self.reject_malformed(id, error, now);
    }

    fn reject_malformed(&mut self, id: ConnectionId, error: &DecodeError, now: Millis) {
        self.count_rejected(error);
        let awaiting = self
            .connections
            .get(id)
            .is_some_and(|connection| matches!(connection.stage, Stage::AwaitConnect));
        if awaiting && let DecodeError::UnsupportedVersion { level } = error {
            // [3.1.1 MQTT-3.1.2-2] [5 MQTT-3.1.2-2]
            self.refuse_version(id, *level, now);
            return;
        }
        // [3.1.1 MQTT-3.1.4-1]: a malformed CONNECT gets no CONNACK.
        self.disconnect(id, error.reason_code(), now);
    }

    fn count_rejected(&mut self, error: &DecodeError) {
        match error {
            DecodeError::TooLarge { .. } => self.metrics.counters.packets_too_large += 1,
            _ => self.metrics.counters.protocol_errors += 1,
        }
    }

    /// A protocol level we do not speak: each client is answered in the words of its own generation.
    fn refuse_version(&mut self, id: ConnectionId, level: u8, now: Millis) {
        const FIRST_WITH_REASONS: u8 = 5;
        self.metrics.counters.connects_refused += 1;
        let version = if level > FIRST_WITH_REASONS {
            Version::V5
        } else {
            Version::V311
        };
        let out = self.connections.buffer(id.slot);
        let reason = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
        connack::encode_refused(version, reason, u32::MAX, out);
        self.lose_connection(id, now);
    }

    /// DISCONNECT from the server, MQTT 5 only.
    pub(crate) fn send_disconnect(&mut self, connection: u32, reason: ReasonCode) {
        let reason = disconnect::reason_for(reason);
        disconnect::encode(Version::V5, reason, self.connections.buffer(connection));
    }
}

/// Whether a packet says of itself that it is a CONNECT.
pub(crate) fn is_connect(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 4 == 1)
}
