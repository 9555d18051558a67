//! Target `decoder`: a client's or server's byte stream in each version. A frame's extent must not depend on how many
//! bytes have come; what decodes must come back from our own encoders.

use mqtt_codec::{DecodeError, DecodeLimits, Packet, Version, decode, frame};

use crate::packets;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const PACKET_BYTES_MAX: u32 = 64 * 1024;
/// Bytes of the longest fixed header, and one more.
const HEADER_BYTES: usize = 6;

/// The first byte chooses the version and the limit of user properties; the rest is the stream.
pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut version = VERSIONS[usize::from(choice % 3)];
    let limits = DecodeLimits {
        user_properties_max: if choice & 0x40 == 0 { 256 } else { 1 },
    };
    while let Ok(Some(length)) = check_extent(version, rest) {
        let (packet, behind) = rest.split_at(length.total);
        rest = behind;
        let decoded = decode(version, packet, &limits);
        assert_eq!(decoded, decode(version, packet, &limits));
        let Ok(decoded) = decoded else { return };
        if let Packet::Connect(connect) = &decoded {
            version = connect.version;
        }
        packets::look_at(&decoded);
        check_comes_back(version, &decoded, packet.len());
        check_cut(version, packet, &limits);
    }
}

/// The extent of the first packet, which every beginning of it either does not tell yet or tells alike.
fn check_extent(version: Version, bytes: &[u8]) -> Result<Option<frame::FrameLength>, DecodeError> {
    let whole = frame::length(version, bytes, PACKET_BYTES_MAX);
    for end in 0..bytes.len().min(HEADER_BYTES) {
        let part = frame::length(version, &bytes[..end], PACKET_BYTES_MAX);
        assert!(
            part == Ok(None) || part == whole,
            "{part:?} after {end} bytes, then {whole:?}"
        );
    }
    match whole {
        Ok(Some(length)) if length.total > bytes.len() => Ok(None),
        told => told,
    }
}

/// What our encoders write is decoded to the same packet and written alike again.
fn check_comes_back(version: Version, packet: &Packet<'_>, bytes: usize) {
    let Some(written) = packets::encode(version, packet) else {
        return;
    };
    assert!(
        written.len() <= bytes.max(2) + 4,
        "{} bytes out of {bytes}",
        written.len()
    );
    let limits = DecodeLimits::default();
    let again = decode(version, &written, &limits);
    let again = again.unwrap_or_else(|error| panic!("{error}: {written:02x?} from {packet:?}"));
    assert_eq!(packets::encode(version, &again).as_ref(), Some(&written));
    assert_eq!(essence(&again), essence(packet));
}

/// A packet without what the encoders leave out: user properties, and sentences they have no place for.
fn essence(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => {
            let mut forwarded = Vec::new();
            let will = connect.will.as_ref();
            if let Some(will) = will {
                will.properties.write_forwarded(&mut forwarded);
            }
            let will = will.map(|will| {
                let times = (will.properties.will_delay, will.properties.message_expiry);
                (will.topic, will.payload, will.qos, will.retain, times)
            });
            let login = (connect.username, connect.password);
            let properties = mqtt_codec::ConnectProperties {
                user: mqtt_codec::UserProperties::default(),
                ..connect.properties.clone()
            };
            let head = (
                connect.version,
                connect.client_id,
                connect.clean_start,
                connect.keep_alive,
            );
            format!("{head:?} {login:?} {properties:?} {will:?} {forwarded:?}")
        }
        Packet::Publish(publish) => {
            let mut forwarded = Vec::new();
            publish.properties.write_forwarded(&mut forwarded);
            let identifiers: Vec<u32> = publish.subscription_identifiers().collect();
            let flags = (publish.dup, publish.qos, publish.retain, publish.packet_id);
            let times = (
                publish.properties.message_expiry,
                publish.properties.topic_alias,
            );
            let topic = publish.topic;
            format!(
                "{flags:?} {topic} {times:?} {forwarded:?} {identifiers:?} {:?}",
                publish.payload
            )
        }
        Packet::Puback(told) | Packet::Pubrec(told) => format!("{told:?}"),
        Packet::Pubrel(told) | Packet::Pubcomp(told) => {
            format!("{} {:?}", told.packet_id, told.reason)
        }
        Packet::Subscribe(subscribe) => {
            let filters: Vec<_> = subscribe.filters().collect();
            let identifier = subscribe.properties.subscription_identifier;
            format!("{} {identifier:?} {filters:?}", subscribe.packet_id)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<_> = unsubscribe.filters().collect();
            format!("{} {filters:?}", unsubscribe.packet_id)
        }
        Packet::Suback(told) | Packet::Unsuback(told) => {
            format!("{} {}", told.packet_id, told.codes.len())
        }
        Packet::Disconnect(told) => {
            format!("{:?} {:?}", told.reason, told.properties.session_expiry)
        }
        Packet::Auth(auth) => {
            let words: Vec<_> = auth.user.iter().collect();
            let said = (auth.method, auth.data, auth.reason_string);
            format!("{:?} {said:?} {words:?}", auth.reason)
        }
        Packet::Connack(_) | Packet::Pingreq | Packet::Pingresp => format!("{packet:?}"),
    }
}

/// A packet that ends too early is refused: its length says what it must hold.
fn check_cut(version: Version, packet: &[u8], limits: &DecodeLimits) {
    let middle = packet.len() / 2;
    assert!(
        decode(version, &packet[..middle], limits).is_err(),
        "half of {packet:02x?}"
    );
}
