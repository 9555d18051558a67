//! Random walks: sound clients publish, subscribe, vanish and come back, the disk is slow, the process dies.
//! At the end everything that was acknowledged has arrived, and exactly once where that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_codec::Version::{self, V5, V311};
use proptest::prelude::*;

use crate::got::Got;
use crate::packets::{again, message, options, puback, pubcomp, pubrec, pubrel, subscribe};
use crate::world::{Client, World, open_settings, resident};

const PUBLISHERS: usize = 2;
const SUBSCRIBERS: usize = 3;

/// A subscriber as the specification wants it.
pub(crate) struct Reader {
    name: String,
    version: Version,
    pub(crate) client: Option<Client>,
    /// Received at QoS 2 and not released.
    unreleased: BTreeSet<u16>,
    pub(crate) got: Vec<String>,
    pub(crate) replies: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(name: &str, version: Version) -> Self {
        Self {
            name: name.into(),
            version,
            client: None,
            unreleased: BTreeSet::new(),
            got: Vec::new(),
            replies: Vec::new(),
        }
    }

    pub(crate) fn listen(&mut self, world: &mut World) {
        let Some(client) = self.client else { return };
        for got in world.take(client) {
            match got {
                Got::Publish(message) => {
                    let id = message.packet_id.expect("QoS 1 or 2");
                    if message.qos == 1 {
                        self.got.push(message.payload);
                        self.replies.extend(puback(id));
                    } else {
                        if self.unreleased.insert(id) {
                            self.got.push(message.payload);
                        }
                        self.replies.extend(pubrec(id));
                    }
                }
                Got::Pubrel(id, _) => {
                    self.unreleased.remove(&id);
                    self.replies.extend(pubcomp(id));
                }
                Got::Connack { code: 0, .. } | Got::Suback(..) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// One at QoS 1, the others at QoS 2. Repeated, it changes nothing.
    fn subscribe(&mut self, world: &mut World, number: usize) {
        let Some(client) = self.client else { return };
        let qos = if number == 1 { 1 } else { 2 };
        world.send(client, &subscribe(self.version, 9, &[("t", options(qos))]));
    }

    pub(crate) fn reply(&mut self, world: &mut World) {
        if let Some(client) = self.client {
            let replies = std::mem::take(&mut self.replies);
            world.send(client, &replies);
            self.listen(world);
        }
    }
}

/// A publisher as the specification wants it.
struct Writer {
    name: String,
    version: Version,
    client: Option<Client>,
    next_id: u16,
    /// Under way: payload and QoS, or `None` once the server owns it and PUBREL is due.
    flows: BTreeMap<u16, Option<(String, u8)>>,
    /// Acknowledged by the server.
    owned: Vec<(String, u8)>,
}

impl Writer {
    fn publish(&mut self, world: &mut World, payload: String, qos: u8) {
        let Some(client) = self.client else { return };
        self.next_id += 1;
        let packet = message(self.version, "t", &payload, qos, self.next_id, false);
        self.flows.insert(self.next_id, Some((payload, qos)));
        world.send(client, &packet);
    }

    fn listen(&mut self, world: &mut World) {
        let Some(client) = self.client else { return };
        for got in world.take(client) {
            match got {
                Got::Puback(id, 0) => {
                    let flow = self.flows.remove(&id).expect("under way");
                    self.owned.extend(flow);
                }
                Got::Pubrec(id, 0) => {
                    let flow = self.flows.insert(id, None).expect("under way");
                    self.owned.extend(flow);
                    world.send(client, &pubrel(id));
                }
                Got::Pubcomp(id, _) => {
                    self.flows.remove(&id);
                }
                Got::Connack { code: 0, .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn resume(&mut self, world: &mut World) {
        let Some(client) = self.client else { return };
        for (id, flow) in self.flows.clone() {
            let packet = match flow {
                Some((payload, qos)) => again(message(self.version, "t", &payload, qos, id, false)),
                None => pubrel(id),
            };
            world.send(client, &packet);
        }
    }
}

struct Walk {
    world: World,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    count: u32,
}

impl Walk {
    fn new(shards: u16) -> Self {
        let mut settings = open_settings();
        settings.limits.inflight_max = 4;
        settings.limits.outgoing_bytes_max = 600;
        let mut walk = Self {
            world: World::with(shards, settings),
            readers: Vec::new(),
            writers: Vec::new(),
            count: 0,
        };
        for number in 0..SUBSCRIBERS {
            let version = if number == 0 { V311 } else { V5 };
            let name = format!("reader-{number}");
            walk.readers.push(Reader::new(&name, version));
            walk.connect(number);
            walk.readers[number].subscribe(&mut walk.world, number);
        }
        for number in 0..PUBLISHERS {
            let version = if number == 0 { V311 } else { V5 };
            walk.writers.push(Writer {
                name: format!("writer-{number}"),
                version,
                client: None,
                next_id: 0,
                flows: BTreeMap::new(),
                owned: Vec::new(),
            });
            walk.connect(SUBSCRIBERS + number);
        }
        walk
    }

    fn connect(&mut self, who: usize) {
        self.catch_up_disk();
        if let Some(reader) = self.readers.get_mut(who) {
            if reader.client.is_none() {
                let hello = resident(reader.version, &reader.name);
                reader.client = Some(self.world.connect(&hello));
                reader.replies.clear();
                reader.listen(&mut self.world);
            }
            return;
        }
        let writer = &mut self.writers[who - SUBSCRIBERS];
        if writer.client.is_none() {
            let hello = resident(writer.version, &writer.name);
            writer.client = Some(self.world.connect(&hello));
            writer.listen(&mut self.world);
            writer.resume(&mut self.world);
        }
    }

    fn cut(&mut self, who: usize) {
        let client = match self.readers.get_mut(who) {
            Some(reader) => reader.client.take(),
            None => self.writers[who - SUBSCRIBERS].client.take(),
        };
        if let Some(client) = client {
            self.world.cut(client);
        }
    }

    fn catch_up_disk(&mut self) {
        while !self.world.appends.is_empty() {
            self.world.commit();
        }
    }

    fn step(&mut self, (action, pick): (u8, u8)) {
        let anyone = usize::from(pick) % (SUBSCRIBERS + PUBLISHERS);
        let reader = usize::from(pick) % SUBSCRIBERS;
        let writer = usize::from(pick) % PUBLISHERS;
        match action {
            0..8 => {
                self.count += 1;
                let payload = format!("{writer}:{}", self.count);
                let qos = 1 + pick / 128;
                self.writers[writer].publish(&mut self.world, payload, qos);
            }
            8..12 => self.writers[writer].listen(&mut self.world),
            12..18 => {
                self.readers[reader].listen(&mut self.world);
                self.readers[reader].reply(&mut self.world);
            }
            18 => self.cut(anyone),
            19..22 => self.connect(anyone),
            22 => self.world.slow_disk = pick % 2 == 0,
            23..25 => self.world.commit(),
            25 => self.world.advance(u64::from(pick) * 20),
            27 => self.readers[reader].subscribe(&mut self.world, reader),
            28 => self.world.trim(),
            _ => {
                self.world.restart();
                self.readers
                    .iter_mut()
                    .for_each(|reader| reader.client = None);
                self.writers
                    .iter_mut()
                    .for_each(|writer| writer.client = None);
            }
        }
    }

    /// Everybody comes back and stays until nothing happens any more.
    fn finish(&mut self) {
        self.world.slow_disk = false;
        for who in 0..SUBSCRIBERS + PUBLISHERS {
            self.connect(who);
        }
        for _ in 0..2000 {
            for writer in &mut self.writers {
                writer.listen(&mut self.world);
            }
            for reader in &mut self.readers {
                reader.listen(&mut self.world);
                reader.reply(&mut self.world);
            }
            let idle = self.readers.iter().all(|reader| reader.replies.is_empty())
                && self.writers.iter().all(|writer| writer.flows.is_empty());
            if idle {
                return;
            }
        }
        panic!("they are never done");
    }

    fn check(&self) {
        for reader in &self.readers {
            for writer in &self.writers {
                for (payload, qos) in &writer.owned {
                    let times = reader.got.iter().filter(|got| *got == payload).count();
                    assert!(times >= 1, "{} never got {payload}", reader.name);
                    if *qos == 2 && reader.name != "reader-1" {
                        assert_eq!(times, 1, "{} got {payload} again", reader.name);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_acknowledged_is_lost_and_exactly_once_is_once(
        shards in 1u16..4,
        steps in proptest::collection::vec((0u8..30, any::<u8>()), 1..150),
    ) {
        let mut walk = Walk::new(shards);
        for step in steps {
            walk.step(step);
        }
        walk.finish();
        walk.check();
    }
}

/// Found by the walk: a finished delivery that was still remembered held back everything after a restart.
#[test]
fn what_is_only_remembered_holds_nothing_back() {
    let mut walk = Walk::new(1);
    for step in [
        (0, 128),
        (0, 0),
        (22, 74),
        (0, 0),
        (8, 0),
        (12, 3),
        (19, 0),
        (12, 69),
        (18, 145),
        (19, 40),
        (19, 0),
        (8, 0),
        (0, 0),
        (0, 0),
        (26, 0),
    ] {
        walk.step(step);
    }
    walk.finish();
    walk.check();
}

/// Found by the walk: a stamp that was remembered of a message long gone was given again.
#[test]
fn what_is_remembered_keeps_its_stamp() {
    let mut walk = Walk::new(1);
    for step in [
        (0, 128),
        (0, 127),
        (0, 61),
        (0, 13),
        (12, 3),
        (12, 169),
        (12, 32),
        (8, 0),
        (12, 32),
        (12, 129),
        (28, 0),
        (28, 0),
        (26, 0),
        (19, 38),
        (0, 126),
        (0, 0),
        (0, 0),
    ] {
        walk.step(step);
    }
    walk.finish();
    walk.check();
}
