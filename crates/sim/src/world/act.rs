//! What clients do, by chance: come, go, publish, subscribe, answer.

use records::Millis;

use super::World;
use crate::client::{Asked, Awaits, Flight, Phase};
use crate::model::{Message, Verdict};
use crate::mutation::Mutation;
use crate::wire::{self, Hello, Publish, Will, Wish};

const TOPICS: [&str; 7] = ["a", "a/b", "a/c", "a/b/c", "b", "b/c", "own"];

impl World {
    pub(super) fn some_client_acts(&mut self) -> Verdict {
        let number = self.dice.below(self.clients.len());
        match self.clients[number].phase {
            Phase::Offline => {
                if self.dice.percent(40) {
                    self.connect(number);
                }
            }
            Phase::Connecting => {
                if self.dice.percent(self.plan.cuts) {
                    self.cut(number);
                }
            }
            Phase::Open => self.act(number),
        }
        Ok(())
    }

    fn act(&mut self, number: usize) {
        let cuts = self.plan.cuts;
        let weights = [50, 60, 12, 7, 4, cuts * 2, cuts, cuts];
        match self.dice.weighted(&weights) {
            0 => self.publish(number),
            1 => {
                let count = self.dice.between(1, 4);
                for _ in 0..count {
                    self.answer(number);
                }
            }
            2 => self.subscribe(number),
            3 => self.unsubscribe(number),
            4 => self.ping(number),
            5 => self.cut(number),
            6 => self.say_goodbye(number),
            _ => self.come_again(number),
        }
    }

    pub(super) fn send(&mut self, number: usize, bytes: &[u8]) {
        if let Some(link) = self.clients[number].link {
            self.server.links[link].up.extend_from_slice(bytes);
        }
    }

    // Coming and going.

    pub(super) fn connect(&mut self, number: usize) {
        if !self.may_come(number) {
            return;
        }
        self.forget_decided(number);
        let time = self.server.now.value();
        self.clients[number].must_clean |= self.model.must_begin_anew(number, time);
        let mut hello = self.hello(number);
        if !self.calm {
            self.leave_will(number, &mut hello);
        }
        let disconnected_at = self.disconnected_at(number);
        let shard = self.some_shard();
        let room = self.plan.socket_room;
        let link = self.server.accept(number, hello.v5, shard, room);
        self.log
            .note(|| format!("client {number}: connects on link {link} with {hello:?}"));
        self.model.connect_sent(number, &hello, disconnected_at);
        let client = &mut self.clients[number];
        if hello.clean {
            client.forget_session();
        }
        client.link = Some(link);
        client.phase = Phase::Connecting;
        client.wire.receive_maximum = self.plan.settings.limits.receive_maximum;
        client.wire.opened = self.server.now.value();
        client.hello = hello.clone();
        let mut said = hello;
        match self.server.mutation {
            Mutation::IgnoreReceiveMaximum => said.receive_maximum = None,
            Mutation::IgnorePacketSize => said.packet_max = None,
            Mutation::IgnoreWill => said.will = None,
            _ => {}
        }
        self.send(number, &wire::connect(&said));
    }

    /// A CONNECT that was never answered may still be acted upon. The server has to have read it, or it would come after the
    /// new one; and where it might make another session, because the client's has expired, nobody could tell which is which.
    fn may_come(&self, number: usize) -> bool {
        const EXPIRY_FAR_MS: u64 = 1_000_000;
        let later = self.server.now.value() + EXPIRY_FAR_MS;
        self.clients[number].ghosts.iter().all(|ghost| {
            let is_read = self.server.links[*ghost].up.is_empty();
            self.is_over(*ghost) || (is_read && !self.model.must_begin_anew(number, later))
        })
    }

    /// Forgets which CONNECTs of a client were never answered, as far as the server is done with their connections.
    pub(super) fn forget_decided(&mut self, number: usize) {
        let mut ghosts = std::mem::take(&mut self.clients[number].ghosts);
        ghosts.retain(|ghost| !self.is_over(*ghost));
        self.clients[number].ghosts = ghosts;
    }

    /// Since when the server has known that every connection of a client has ended.
    fn disconnected_at(&self, number: usize) -> Option<u64> {
        let links = self.server.links.iter();
        let ends: Option<Vec<u64>> = links
            .filter(|link| link.client == number)
            .map(|link| link.known_at.map(Millis::value))
            .collect();
        ends?.into_iter().max()
    }

    fn hello(&mut self, number: usize) -> Hello {
        let client = &self.clients[number];
        let (v5, persistent, must_clean) = (client.v5, client.persistent, client.must_clean);
        let clean = if v5 || persistent {
            must_clean || self.dice.percent(self.plan.clean)
        } else {
            true
        };
        // An MQTT 3.1.1 client that must begin anew does so with a session that ends, and then comes again.
        let expiry = if persistent {
            *self.dice.pick(&[30, 3600, 3600, u32::MAX])
        } else {
            0
        };
        let tight = v5 && self.dice.percent(50);
        Hello {
            v5,
            client_id: format!("c{number}"),
            username: number.is_multiple_of(3).then(|| crate::client::USER.into()),
            clean,
            keep_alive: if self.plan.keeps_alive {
                *self.dice.pick(&[0, 1, 5, 60])
            } else {
                0
            },
            expiry: if v5 { expiry } else { 0 },
            receive_maximum: tight.then(|| *self.dice.pick(&[1, 2, 10])),
            packet_max: (tight && self.dice.percent(20)).then_some(150),
            alias_max: if tight { 3 } else { 0 },
            will: None,
        }
    }

    /// What the client leaves behind if this connection ends badly.
    fn leave_will(&mut self, number: usize, hello: &mut Hello) {
        self.clients[number].will = None;
        if !self.dice.percent(25) {
            return;
        }
        let (topic, qos) = (*self.dice.pick(&TOPICS), self.dice.below(3) as u8);
        let retain = self.dice.percent(20);
        let message = Message {
            publisher: number,
            session: 0,
            topic: topic.into(),
            qos,
            retain,
            payload: vec![0; 1],
            expiry: None,
            sends: 1,
            sent: 0,
            done: 0,
            sent_at: 0,
            done_at: 0,
            refused: false,
            will: true,
        };
        let will = self.model.publish_sent(message);
        let delay = if hello.v5 {
            *self.dice.pick(&[0, 0, 2, 30])
        } else {
            0
        };
        hello.will = Some(Will {
            topic: topic.into(),
            payload: self.model.messages[will].payload.clone(),
            qos,
            retain,
            delay,
        });
        self.clients[number].will = Some(will);
    }

    pub(super) fn cut(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else {
            return;
        };
        let written = self.server.links[link].up.len();
        let arriving = self.dice.below(written + 1);
        self.log.note(|| {
            format!("client {number}: its connection breaks, {arriving} of {written} bytes arrive")
        });
        self.server.links[link].cut(arriving);
        self.lose(number);
    }

    fn say_goodbye(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else {
            return;
        };
        let v5 = self.clients[number].v5;
        let reason = match self.dice.below(6) {
            0 if v5 => wire::WITH_WILL,
            1 if v5 => wire::QUOTA_EXCEEDED,
            _ => 0,
        };
        let bytes = wire::disconnect(v5, reason, None);
        self.log
            .note(|| format!("client {number}: disconnects with {reason:#04x}"));
        if self.server.mutation != Mutation::IgnoreDisconnect {
            self.send(number, &bytes);
        }
        // Any other reason leaves the will as due as a broken connection does.
        if reason == 0
            && let Some(will) = self.clients[number].will.take()
        {
            self.void_wills.push((link, will));
        }
        let written = self.server.links[link].up.len();
        self.server.links[link].cut(written);
        self.lose(number);
    }

    /// A second connection, while the server believes in the first.
    fn come_again(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else {
            return;
        };
        self.log
            .note(|| format!("client {number}: leaves link {link} as it is"));
        self.abandoned.push(link);
        self.lose(number);
        self.connect(number);
    }

    // Publishing.

    fn publish(&mut self, number: usize) {
        if !self.clients[number].may_publish() {
            return;
        }
        let topic = *self.dice.pick(&TOPICS);
        let qos = match self.plan.qos {
            Some(qos) => qos,
            None => self.dice.below(3) as u8,
        };
        let retain = self.dice.percent(12);
        let bytes = self.dice.between(1, self.plan.payload_max) as usize;
        let clears = retain && self.dice.percent(20);
        let expires = self.clients[number].v5 && self.dice.percent(self.plan.expires);
        let expiry = expires.then(|| *self.dice.pick(&[1, 3, 30, 1_000_000]));
        let message = Message {
            publisher: number,
            session: 0,
            topic: topic.into(),
            qos,
            retain,
            payload: vec![0; if clears { 0 } else { bytes }],
            expiry,
            sends: 1,
            sent: 0,
            done: 0,
            sent_at: 0,
            done_at: 0,
            refused: false,
            will: false,
        };
        let message_number = self.model.publish_sent(message);
        let client = &self.clients[number];
        let mut publish = Publish {
            qos,
            retain,
            topic: topic.into(),
            packet_id: if qos > 0 { client.packet_id() } else { 0 },
            payload: self.model.messages[message_number].payload.clone(),
            expiry: expiry.filter(|_| self.server.mutation != Mutation::IgnoreExpiry),
            ..Publish::default()
        };
        let v5 = client.v5;
        let plain = publish.clone();
        self.choose_alias(number, &mut publish);
        self.log.note(|| {
            format!(
                "client {number}: publishes m{message_number} on {topic} id {} QoS {qos} retain {retain} alias {:?}",
                publish.packet_id, publish.alias
            )
        });
        self.send(number, &wire::publish(v5, &publish));
        let client = &mut self.clients[number];
        let awaits = match qos {
            0 => {
                client.wire.unpinged.push(message_number);
                return;
            }
            1 => Awaits::Puback,
            _ => Awaits::Pubrec,
        };
        client.wire.due[usize::from(qos == 2)].push_back(plain.packet_id);
        client.flights.push(Flight {
            message: message_number,
            publish: plain,
            awaits,
        });
    }

    fn choose_alias(&mut self, number: usize, publish: &mut Publish) {
        let maximum = self.clients[number].wire.alias_max;
        if !self.clients[number].v5 || maximum == 0 || self.dice.percent(50) {
            return;
        }
        let alias = self.dice.between(1, u64::from(maximum.min(3))) as u16;
        let aliases = &mut self.clients[number].wire.own_aliases;
        let known = aliases.get(&alias) == Some(&publish.topic);
        publish.alias = Some(alias);
        if known {
            publish.topic.clear();
        } else {
            aliases.insert(alias, publish.topic.clone());
        }
    }

    pub(super) fn answer(&mut self, number: usize) -> bool {
        let Some(bytes) = self.clients[number].answer() else {
            return false;
        };
        self.log
            .note(|| format!("client {number}: answers {bytes:02x?}"));
        self.send(number, &bytes);
        true
    }

    pub(super) fn ping(&mut self, number: usize) {
        let wire = &mut self.clients[number].wire;
        let unpinged = std::mem::take(&mut wire.unpinged);
        wire.pinged.push_back(unpinged);
        self.log.note(|| format!("client {number}: pings"));
        self.send(number, &wire::PINGREQ);
    }

    // Subscribing.

    fn subscribe(&mut self, number: usize) {
        if self.clients[number].wire.asked.is_some() {
            return;
        }
        let v5 = self.clients[number].v5;
        let mut wishes: Vec<Wish> = Vec::new();
        for _ in 0..self.dice.between(1, 3) {
            let filter = *self.dice.pick(&self.plan.filters);
            if wishes.iter().any(|wish| wish.filter == filter) {
                continue;
            }
            let shared = filter.starts_with("$share/");
            wishes.push(Wish {
                filter: filter.into(),
                qos: self.dice.below(3) as u8,
                no_local: v5 && !shared && self.dice.percent(20),
                as_published: v5 && self.dice.percent(30),
                handling: if v5 && self.dice.percent(40) {
                    self.dice.below(3) as u8
                } else {
                    0
                },
            });
        }
        let identifier = if v5 && self.dice.percent(50) {
            self.dice.between(1, 300) as u32
        } else {
            0
        };
        let packet_id = self.clients[number].packet_id();
        self.log
            .note(|| format!("client {number}: subscribes ({packet_id}, {identifier}) {wishes:?}"));
        self.model.subscribe_sent(number, identifier, &wishes);
        let mut said = wishes.clone();
        if self.server.mutation == Mutation::Unshare {
            for wish in &mut said {
                wish.filter = wish
                    .filter
                    .replace("$share/g/", "")
                    .replace("$share/h/", "");
            }
        }
        let bytes = wire::subscribe(v5, packet_id, identifier, &said);
        self.send(number, &bytes);
        self.clients[number].wire.asked = Some(Asked::Subscribe(packet_id, wishes));
    }

    fn unsubscribe(&mut self, number: usize) {
        if self.clients[number].wire.asked.is_some() {
            return;
        }
        let filters: Vec<String> = self
            .model
            .session(number)
            .into_iter()
            .flat_map(|session| &session.subscriptions)
            .map(|known| known.filter.clone())
            .collect();
        if filters.is_empty() {
            return;
        }
        let filter = self.dice.pick(&filters).clone();
        let client = &self.clients[number];
        let packet_id = client.packet_id();
        let bytes = wire::unsubscribe(client.v5, packet_id, &filter);
        self.log
            .note(|| format!("client {number}: unsubscribes from {filter}"));
        self.model.unsubscribe_sent(number, &filter);
        self.send(number, &bytes);
        self.clients[number].wire.asked = Some(Asked::Unsubscribe(packet_id, filter));
    }
}
