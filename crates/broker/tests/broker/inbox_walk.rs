//! Random walks of one device through its inbox: entries come live and from the store, the window is small, the
//! device vanishes and comes back, the process dies. Every entry arrives, in order, and once at QoS 2.

use broker::Input;
use mqtt_codec::Version::V5;
use proptest::prelude::*;
use records::{Cursor, Pos};

use crate::chat::{deliver, device, entry, question};
use crate::packets::{Hello, RECEIVE_MAXIMUM, options, subscribe, two};
use crate::walk::Reader;
use crate::world::{World, open_settings};

/// Alice's phone, which listens to everything.
pub(crate) struct Phone {
    pub(crate) world: World,
    pub(crate) reader: Reader,
    hello: Hello,
}

impl Phone {
    /// `put_off`: every delivery is deferred, as one to very many accounts is, and anything may come before it.
    pub(crate) fn new(window: u16, qos: u8, put_off: bool) -> Self {
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        if put_off {
            settings.limits.deliveries_at_once_max = 0;
        }
        let hello = device(V5, "phone", "alice")
            .persistent()
            .property(&two(RECEIVE_MAXIMUM, window));
        let mut phone = Self {
            world: World::with(1, settings),
            reader: Reader::new("phone", V5),
            hello,
        };
        phone.connect();
        let client = phone.reader.client.expect("just connected");
        let packet = subscribe(V5, 9, &[("im/in/#", options(qos))]);
        phone.world.send(client, &packet);
        phone.reader.listen(&mut phone.world);
        phone
    }

    pub(crate) fn connect(&mut self) {
        if self.reader.client.is_none() {
            self.world.commit();
            self.reader.client = Some(self.world.connect(&self.hello));
            self.reader.replies.clear();
            self.reader.listen(&mut self.world);
        }
    }

    pub(crate) fn vanish(&mut self) {
        if let Some(client) = self.reader.client.take() {
            self.world.cut(client);
        }
    }

    pub(crate) fn reply(&mut self) {
        self.reader.listen(&mut self.world);
        self.reader.reply(&mut self.world);
    }

    /// The disk is well, and the phone there to stay.
    pub(crate) fn recover(&mut self) {
        self.world.slow_disk = false;
        self.world.commit();
        self.connect();
    }

    /// Goes on until nothing is asked or replied any more; `answer` answers a question, if there is one.
    pub(crate) fn finish(&mut self, mut answer: impl FnMut(&mut World) -> bool) {
        self.world.settle();
        for _ in 0..2000 {
            let asked = answer(&mut self.world);
            self.reader.listen(&mut self.world);
            if !asked && self.reader.replies.is_empty() {
                return;
            }
            self.reader.reply(&mut self.world);
        }
        panic!("they are never done");
    }
}

struct InboxWalk {
    phone: Phone,
    /// Entries in the conversations, and those of them the messenger has delivered.
    stored: u64,
    delivered: u64,
    put_off: bool,
}

impl InboxWalk {
    fn deliver(&mut self) {
        if self.delivered < self.stored {
            self.delivered += 1;
            let delivery = entry(self.delivered);
            if self.put_off {
                self.phone.world.shards[0].handle(Input::Deliver(delivery), self.phone.world.now);
            } else {
                deliver(&mut self.phone.world, &delivery);
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
                answer(&mut self.phone.world, self.stored, 1 + u64::from(pick) % 8);
            }
            13..19 => self.phone.reply(),
            19 => self.phone.vanish(),
            20..23 => self.phone.connect(),
            23 => self.phone.world.slow_disk = pick % 2 == 0,
            24 => self.phone.world.commit(),
            25 => self.phone.world.advance(u64::from(pick) * 20),
            _ => {
                self.phone.world.restart();
                self.phone.reader.client = None;
            }
        }
    }

    fn finish(&mut self) {
        self.phone.recover();
        while self.delivered < self.stored {
            self.deliver();
        }
        let stored = self.stored;
        self.phone.finish(|world| answer(world, stored, 5));
    }

    fn check(&self, qos: u8) {
        let mut seen = Vec::new();
        for payload in &self.phone.reader.got {
            if !seen.contains(payload) {
                seen.push(payload.clone());
            } else {
                assert_eq!(qos, 1, "{payload} came again: {:?}", self.phone.reader.got);
            }
        }
        let expected: Vec<String> = (1..=self.stored).map(|pos| pos.to_string()).collect();
        assert_eq!(seen, expected);
    }
}

/// Answers the oldest question with at most `page` of so many entries.
fn answer(world: &mut World, stored: u64, page: u64) -> bool {
    let Some((session, since)) = question(world) else {
        return false;
    };
    let since = since.floor().value();
    let last = stored.min(since + page);
    let input = Input::CaughtUp {
        session,
        entries: (since + 1..=last).map(entry).collect(),
        upto: Cursor::at(Pos::new(last)),
        more: last < stored,
    };
    world.input(0, input);
    true
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
        let mut walk = InboxWalk {
            phone: Phone::new(window, qos, put_off),
            stored: 0,
            delivered: 0,
            put_off,
        };
        for step in steps {
            walk.step(step);
        }
        walk.finish();
        walk.check(qos);
    }
}
