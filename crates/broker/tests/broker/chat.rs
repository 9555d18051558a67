//! A messenger for tests: what it would deliver, answer, and read from its store.

use std::sync::Arc;

use broker::{ChatDelivery, ChatPublish, Input, Message, Recipients, Service};
use bytes::Bytes;
use mqtt_codec::{QoS, ReasonCode};
use records::{AccountId, ConversationId, Cursor, Millis, Moment, Pos, Seq, SessionRef};

use crate::packets::{Hello, hello};
use crate::world::{World, account, open_settings};

pub(crate) fn world() -> World {
    let mut settings = open_settings();
    settings.allow_anonymous = false;
    World::with(1, settings)
}

pub(crate) fn device(version: mqtt_codec::Version, client_id: &str, name: &str) -> Hello {
    hello(version, client_id).login(name)
}

pub(crate) fn packet(topic: &str, payload: &str, qos: QoS) -> Arc<Message> {
    Arc::new(Message {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: Bytes::new(),
        qos,
        retain: false,
        expires_at: None,
        at: Millis::ZERO,
        read_at: Moment::UNKNOWN,
    })
}

pub(crate) fn accounts(names: &[&str]) -> Recipients {
    let list: Vec<AccountId> = names.iter().filter_map(|name| account(name)).collect();
    Recipients::Accounts(list.into())
}

/// Message number `pos` of the conversation between alice and bob, as alice sees it.
pub(crate) fn entry(pos: u64) -> Arc<ChatDelivery> {
    Arc::new(ChatDelivery {
        recipients: accounts(&["alice"]),
        packets: vec![
            packet("im/in/@bob", &pos.to_string(), QoS::ExactlyOnce),
            packet("im/text/@bob", &format!("bob: {pos}"), QoS::ExactlyOnce),
        ],
        pos: Some(Pos::new(pos)),
        floor: Pos::new(pos),
        publisher: None,
        receipt: Some((ConversationId::new(1), Seq::new(pos))),
    })
}

pub(crate) fn live(recipients: Recipients, packets: Vec<Arc<Message>>) -> Arc<ChatDelivery> {
    Arc::new(ChatDelivery {
        recipients,
        packets,
        pos: None,
        floor: Pos::ZERO,
        publisher: None,
        receipt: None,
    })
}

pub(crate) fn deliver(world: &mut World, delivery: &Arc<ChatDelivery>) {
    for shard in 0..world.shards.len() {
        world.input(shard, Input::Deliver(delivery.clone()));
    }
}

pub(crate) fn take_publishes(world: &mut World) -> Vec<ChatPublish> {
    std::mem::take(&mut world.services)
        .into_iter()
        .filter_map(|service| match service {
            Service::Publish(publish) => Some(*publish),
            _ => None,
        })
        .collect()
}

pub(crate) fn answer(
    world: &mut World,
    publish: &ChatPublish,
    outcome: Result<(), (ReasonCode, Box<broker::Explanation>)>,
) {
    let input = Input::Acknowledged {
        session: publish.session,
        ack: publish.ack.expect("it waits for an answer"),
        outcome,
    };
    world.input(0, input);
}

/// The oldest question to the store.
pub(crate) fn question(world: &mut World) -> Option<(SessionRef, Cursor)> {
    let is_question = |service: &Service| matches!(service, Service::CatchUp { .. });
    let place = world.services.iter().position(is_question)?;
    match world.services.remove(place) {
        Service::CatchUp { session, since, .. } => Some((session, since)),
        _ => None,
    }
}

/// Answers every open request to catch up from a log of `upto` entries, `page` at a time.
pub(crate) fn catch_up(world: &mut World, upto: u64, page: u64) -> usize {
    let mut asked = 0;
    while let Some((session, since)) = question(world) {
        asked += 1;
        let since = since.floor().value();
        let last = upto.min(since + page);
        let entries = (since + 1..=last).map(entry).collect();
        let input = Input::CaughtUp {
            session,
            entries,
            upto: Cursor::at(Pos::new(last)),
            more: last < upto,
        };
        world.input(usize::from(session.shard), input);
    }
    asked
}
