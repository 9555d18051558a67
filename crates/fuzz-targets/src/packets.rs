//! Looking at everything a decoded packet offers, and writing it back as far as the codec has an encoder for it.

use mqtt_codec::{
    Ack, Explanation, Packet, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, Version,
    ack, disconnect, publish, suback,
};

/// Looks at everything, so that what is decoded late cannot hide a panic.
pub(crate) fn look_at(packet: &Packet<'_>) {
    match packet {
        Packet::Publish(publish) => {
            publish.properties.user().iter().for_each(drop);
            publish.subscription_identifiers().for_each(drop);
            publish.properties.write_forwarded(&mut Vec::new());
        }
        Packet::Subscribe(subscribe) => {
            assert!(
                subscribe.filters().next().is_some(),
                "SUBSCRIBE without a filter"
            );
            subscribe.filters().for_each(drop);
        }
        Packet::Unsubscribe(unsubscribe) => {
            assert!(
                unsubscribe.filters().next().is_some(),
                "UNSUBSCRIBE without a filter"
            );
        }
        Packet::Auth(auth) => auth.user.iter().for_each(drop),
        Packet::Connect(connect) => {
            connect.properties.user.iter().for_each(drop);
            if let Some(will) = &connect.will {
                will.properties.write_forwarded(&mut Vec::new());
            }
        }
        _ => {}
    }
}

/// The packet as our encoders write it; `None` where they write another one or need more than the packet.
pub(crate) fn encode(version: Version, packet: &Packet<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match packet {
        Packet::Connect(connect) => connect.encode(&mut out),
        Packet::Publish(publish) => encode_publish(version, publish, &mut out),
        Packet::Puback(told) => {
            let explanation = explanation(told);
            ack::encode_puback(
                version,
                told.packet_id,
                told.reason,
                explanation,
                u32::MAX,
                &mut out,
            );
        }
        Packet::Pubrec(told) => {
            let explanation = explanation(told);
            ack::encode_pubrec(
                version,
                told.packet_id,
                told.reason,
                explanation,
                u32::MAX,
                &mut out,
            );
        }
        Packet::Pubrel(told) => {
            ack::encode_pubrel(version, told.packet_id, told.reason, &mut out);
        }
        Packet::Pubcomp(told) => {
            ack::encode_pubcomp(version, told.packet_id, told.reason, &mut out);
        }
        Packet::Subscribe(subscribe) => {
            let filters: Vec<(&str, SubscriptionOptions)> = subscribe.filters().collect();
            let identifier = subscribe.properties.subscription_identifier;
            Subscribe::encode(version, subscribe.packet_id, identifier, &filters, &mut out);
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<&str> = unsubscribe.filters().collect();
            Unsubscribe::encode(version, unsubscribe.packet_id, &filters, &mut out);
        }
        Packet::Suback(told) => {
            let codes: Vec<ReasonCode> = told.codes.iter().copied().map(ReasonCode).collect();
            suback::encode(version, told.packet_id, &codes, &mut out);
        }
        Packet::Unsuback(told) => {
            let codes: Vec<ReasonCode> = told.codes.iter().copied().map(ReasonCode).collect();
            suback::encode_unsuback(version, told.packet_id, &codes, &mut out);
        }
        Packet::Pingreq => ack::encode_pingreq(&mut out),
        Packet::Pingresp => ack::encode_pingresp(&mut out),
        Packet::Disconnect(told) => match told.properties.session_expiry {
            Some(secs) => disconnect::encode_with_expiry(told.reason, secs, &mut out),
            None => disconnect::encode(version, told.reason, &mut out),
        },
        Packet::Auth(auth) => auth.encode(u32::MAX, &mut out),
        Packet::Connack(_) => return None,
    }
    Some(out)
}

fn encode_publish(version: Version, publish: &mqtt_codec::Publish<'_>, out: &mut Vec<u8>) {
    let mut forwarded = Vec::new();
    publish.properties.write_forwarded(&mut forwarded);
    let identifiers: Vec<u32> = publish.subscription_identifiers().collect();
    let head = publish::PublishHead {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic,
        packet_id: publish.packet_id,
        expiry: publish.properties.message_expiry,
        alias: publish.properties.topic_alias,
        subscription_identifiers: &identifiers,
        forwarded: &forwarded,
    };
    let layout = publish::encode(version, head, publish.payload, out);
    let written = layout
        .packet_id_at
        .map(|at| u16::from_be_bytes([out[at], out[at + 1]]));
    assert_eq!(
        written, publish.packet_id,
        "the layout names the packet id's place"
    );
}

fn explanation<'a>(told: &Ack<'a>) -> Option<Explanation<'a>> {
    let user = told.user;
    let sentence = told.reason_string;
    sentence.map(|sentence| Explanation { sentence, user })
}
