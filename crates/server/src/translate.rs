//! The words of the shards in the words of the messenger and back: neither knows the other.

use std::sync::Arc;

use broker::{ChatDelivery, ChatPublish, Explanation, Message, Service};
use bytes::Bytes;
use chat::{Audience, Delivery, Input, MessageProperties, Packet, Publish, Refusal, RefusalKind};
use mqtt_codec::publish::write_user_property;
use mqtt_codec::{QoS, ReasonCode};
use records::{Millis, Moment};

use crate::post::{Post, ShardEvent};

/// What a shard asks of the messenger.
pub(crate) fn input(service: Service) -> Input {
    match service {
        Service::Publish(published) => Input::Publish(Box::new(publish(*published))),
        Service::Subscribed {
            session,
            account,
            filter,
            existed,
            retain_handling,
            resumed,
        } => Input::Subscribed {
            session,
            account,
            filter,
            existed,
            retain_handling,
            resumed,
        },
        Service::Unsubscribed {
            session,
            account,
            filter,
        } => Input::Unsubscribed {
            session,
            account,
            filter,
        },
        Service::SessionUp {
            session,
            account,
            device,
            since,
        } => Input::SessionUp {
            session,
            account,
            device,
            since,
        },
        Service::SessionDown { session, account } => Input::SessionDown { session, account },
        Service::Received {
            account,
            conversation,
            seq,
        } => Input::Received {
            account,
            conversation,
            seq,
        },
        Service::CatchUp {
            session,
            account,
            since,
        } => Input::CatchUp {
            session,
            account,
            since,
        },
    }
}

fn publish(publish: ChatPublish) -> Publish {
    let properties = publish.properties.map(|properties| {
        Box::new(MessageProperties {
            content_type: properties.content_type,
            user: properties.user,
            expiry_secs: properties.expiry_secs,
        })
    });
    Publish {
        session: publish.session,
        account: publish.account,
        device: publish.device,
        topic: publish.topic,
        payload: publish.payload,
        ack: publish.ack,
        response_topic: publish.response_topic,
        correlation: publish.correlation,
        properties,
        session_mid: publish.session_mid,
        read_at: publish.read_at,
    }
}

/// Sends a delivery to whom it concerns.
pub(crate) fn deliver(delivery: Delivery, post: &Post) {
    match delivery.audience {
        Audience::Session(session) => {
            let letter = ShardEvent::Deliver(Arc::new(self::delivery(delivery)));
            post.shard(session.shard).send(letter);
        }
        Audience::Accounts(_) => {
            let delivery = Arc::new(self::delivery(delivery));
            post.tell_shards(|| ShardEvent::Deliver(delivery.clone()));
        }
    }
}

/// A delivery as shards know it.
pub(crate) fn delivery(delivery: Delivery) -> ChatDelivery {
    ChatDelivery {
        recipients: match delivery.audience {
            Audience::Accounts(accounts) => broker::Recipients::Accounts(accounts),
            Audience::Session(session) => broker::Recipients::Session(session),
        },
        packets: delivery
            .packets
            .into_iter()
            .map(|packet| Arc::new(message(packet, delivery.read_at, delivery.expires_at)))
            .collect(),
        pos: delivery.pos,
        floor: delivery.floor,
        publisher: delivery.publisher,
        receipt: delivery.receipt,
    }
}

fn message(packet: Packet, read_at: Moment, expires_at: Option<Millis>) -> Message {
    let properties = packet.correlation.map_or_else(Bytes::new, |data| {
        let mut properties = Vec::new();
        mqtt_codec::publish::write_correlation(&mut properties, &data);
        properties.into()
    });
    Message {
        topic: packet.topic,
        payload: packet.payload,
        properties,
        qos: if packet.live_only {
            QoS::AtMostOnce
        } else {
            QoS::ExactlyOnce
        },
        retain: false,
        expires_at,
        at: Millis::ZERO,
        read_at,
    }
}

/// What MQTT makes of the messenger's word on a publish.
pub(crate) fn outcome(outcome: Result<(), Refusal>) -> Result<(), (ReasonCode, Box<Explanation>)> {
    outcome.map_err(|refusal| {
        let reason = match refusal.kind {
            RefusalKind::NotAuthorized => ReasonCode::NOT_AUTHORIZED,
            RefusalKind::Quota => ReasonCode::QUOTA_EXCEEDED,
            RefusalKind::PayloadFormat => ReasonCode::PAYLOAD_FORMAT_INVALID,
            RefusalKind::TopicName => ReasonCode::TOPIC_NAME_INVALID,
            RefusalKind::Unavailable => ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
        };
        let mut user = Vec::new();
        write_user_property(&mut user, "error", refusal.code);
        if let Some(field) = &refusal.field {
            write_user_property(&mut user, "field", cut(field));
        }
        if let Some(millis) = refusal.retry_millis {
            write_user_property(&mut user, "retry_ms", &millis.to_string());
        }
        let sentence = cut(&refusal.sentence).into();
        (reason, Box::new(Explanation { sentence, user }))
    })
}

/// As much of a text as certainly fits a property: none that the messenger writes is longer.
fn cut(text: &str) -> &str {
    const BYTES_MAX: usize = 1_024;
    &text[..text.floor_char_boundary(BYTES_MAX)]
}
