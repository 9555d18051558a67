//! Random walks of one device through its inbox: entries come live and from the store, the window is small, the
//! device vanishes and comes back, the process dies. Every entry arrives, in order, and once at QoS 2.

use broker::{Input, Service};
use mqtt_codec::Version::V5;
use proptest::prelude::*;
use records::{Cursor, Pos};

use crate::chat::{deliver, device, entry};
use crate::packets::{Hello, RECEIVE_MAXIMUM, options, subscribe, two};
use crate::walk::Reader;
use crate::world::{World, open_settings};

struct InboxWalk {
    world: World,
    reader: Reader,
    hello: Hello,
    /// Entries in the conversations, and those of them the messenger has delivered.
    stored: u64,
    delivered: u64,
    /// Whether every delivery is deferred, as one to very many accounts is, and anything may come before it.
    put_off: bool,
}

impl InboxWalk {
    fn new(window: u16, qos: u8, put_off: bool) -> Self {
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        if put_off {
            settings.limits.deliveries_at_once_max = 0;
        }
        let hello = device(V5, "phone", "alice")
            .persistent()
            .property(&two(RECEIVE_MAXIMUM, window));
        let mut walk = Self {
            world: World::with(1, settings),
            reader: Reader::new("phone", V5),
            hello,
            stored: 0,
            delivered: 0,
            put_off,
        };
        walk.connect();
        let client = walk.reader.client.expect("just connected");
        let packet = subscribe(V5, 9, &[("im/in/#", options(qos))]);
        walk.world.send(client, &packet);
        walk.reader.listen(&mut walk.world);
        walk
    }

    fn connect(&mut self) {
        if self.reader.client.is_none() {
            self.world.commit();
            self.reader.client = Some(self.world.connect(&self.hello));
            self.reader.replies.clear();
            self.reader.listen(&mut self.world);
        }
    }

    /// Answers the oldest question with at most `page` entries.
    fn answer(&mut self, page: u64) -> bool {
        let services = &mut self.world.services;
        let place = services
            .iter()
            .position(|service| matches!(service, Service::CatchUp { .. }));
        let Some(place) = place else { return false };
        let Service::CatchUp { session, since, .. } = services.remove(place) else {
            return false;
        };
        let last = self.stored.min(since.floor().value() + page);
        let input = Input::CaughtUp {
            session,
            entries: (since.floor().value() + 1..=last).map(entry).collect(),
            upto: Cursor::at(Pos::new(last)),
            more: last < self.stored,
        };
        self.world.input(0, input);
        true
    }

    fn deliver(&mut self) {
        if self.delivered < self.stored {
            self.delivered += 1;
            let delivery = entry(self.delivered);
            if self.put_off {
                self.world.shards[0].handle(Input::Deliver(delivery), self.world.now);
            } else {
                deliver(&mut self.world, &delivery);
            }
        }
    }

    fn step(&mut self, (action, pick): (u8, u8)) {
        match action {
            0..6 => {
                self.stored += 1;
                self.deliver();
            }
            // Stored, and read from the store perhaps, before it is delivered.
            6 => self.stored += 1,
            7..9 => self.deliver(),
            9..13 => {
                self.answer(1 + u64::from(pick) % 8);
            }
            13..19 => {
                self.reader.listen(&mut self.world);
                self.reader.reply(&mut self.world);
            }
            19 => {
                if let Some(client) = self.reader.client.take() {
                    self.world.cut(client);
                }
            }
            20..23 => self.connect(),
            23 => self.world.slow_disk = pick % 2 == 0,
            24 => self.world.commit(),
            25 => self.world.advance(u64::from(pick) * 20),
            _ => {
                self.world.restart();
                self.reader.client = None;
            }
        }
    }

    fn finish(&mut self) {
        self.world.slow_disk = false;
        self.world.commit();
        self.connect();
        while self.delivered < self.stored {
            self.deliver();
        }
        self.world.settle();
        for _ in 0..2000 {
            let asked = self.answer(5);
            self.reader.listen(&mut self.world);
            if !asked && self.reader.replies.is_empty() {
                return;
            }
            self.reader.reply(&mut self.world);
        }
        panic!("they are never done");
    }

    fn check(&self, qos: u8) {
        let mut seen = Vec::new();
        for payload in &self.reader.got {
            if !seen.contains(payload) {
                seen.push(payload.clone());
            } else {
                assert_eq!(qos, 1, "{payload} came again: {:?}", self.reader.got);
            }
        }
        let expected: Vec<String> = (1..=self.stored).map(|pos| pos.to_string()).collect();
        assert_eq!(seen, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_entry_arrives_in_order_and_exactly_once_is_once(
        window in 1u16..5,
        qos in 1u8..3,
        put_off in any::<bool>(),
        steps in proptest::collection::vec((0u8..27, any::<u8>()), 1..150),
    ) {
        let mut walk = InboxWalk::new(window, qos, put_off);
        for step in steps {
            walk.step(step);
        }
        walk.finish();
        walk.check(qos);
    }
}
