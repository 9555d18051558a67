//! Devices of the world: they connect, subscribe, publish, ask and acknowledge.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chat::{Input, Publish, Refusal};
use records::{ConversationId, Cursor, Pos, SessionRef};
use serde_json::Value;

use sha2::{Digest, Sha256};

use super::{CaughtUp, Device, World, parse};

impl World {
    // Devices.

    /// Another device of an account; returns its number.
    pub(crate) fn connect(&mut self, name: &str) -> usize {
        let account = self.id(name);
        let number = self.devices.len();
        let session = SessionRef {
            shard: (number % 3) as u16,
            slot: number as u32,
            generation: 1,
        };
        let device: Arc<str> = format!("{name}-{number}").into();
        self.devices.push(Device {
            session,
            account,
            name: device.clone(),
            filters: Vec::new(),
            up: true,
            inbox: Vec::new(),
            acks: BTreeMap::new(),
        });
        self.handle(Input::SessionUp {
            session,
            account,
            device,
            since: None,
        });
        number
    }

    /// What others see of the device of this client id.
    pub(crate) fn device_id(&self, client_id: &str) -> String {
        let (name, _) = client_id.rsplit_once('-').unwrap();
        let mut hash = Sha256::new();
        hash.update(self.id(name).value().to_be_bytes());
        hash.update(client_id);
        let hash = hash.finalize();
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn disconnect(&mut self, device: usize) {
        let known = &mut self.devices[device];
        known.up = false;
        let (session, account) = (known.session, known.account);
        self.handle(Input::SessionDown { session, account });
    }

    pub(crate) fn reconnect(&mut self, device: usize) {
        self.resume(device, None);
    }

    /// A device is back, which has everything that was stored up to a position.
    pub(crate) fn resume(&mut self, device: usize, since: Option<Pos>) {
        let known = &mut self.devices[device];
        known.up = true;
        // What is still being read for its last connection is not for this one.
        known.session.generation += 1;
        let (session, account, name) = (known.session, known.account, known.name.clone());
        self.handle(Input::SessionUp {
            session,
            account,
            device: name,
            since: since.map(Cursor::at),
        });
    }

    pub(crate) fn subscribe(&mut self, device: usize, filter: &str) {
        self.subscribe_with(device, filter, false, 0, false);
    }

    pub(crate) fn subscribe_with(
        &mut self,
        device: usize,
        filter: &str,
        existed: bool,
        retain_handling: u8,
        resumed: bool,
    ) {
        let known = &mut self.devices[device];
        known.filters.push(filter.to_owned());
        let (session, account) = (known.session, known.account);
        self.handle(Input::Subscribed {
            session,
            account,
            filter: filter.into(),
            existed,
            retain_handling,
            resumed,
        });
    }

    pub(crate) fn unsubscribe(&mut self, device: usize, filter: &str) {
        let known = &mut self.devices[device];
        known.filters.retain(|known| known != filter);
        let (session, account) = (known.session, known.account);
        self.handle(Input::Unsubscribed {
            session,
            account,
            filter: filter.into(),
        });
    }

    /// The first device of an account.
    pub(crate) fn device(&self, name: &str) -> usize {
        let account = self.id(name);
        let found = self
            .devices
            .iter()
            .position(|known| known.account == account);
        found.unwrap_or_else(|| panic!("{name} has no device"))
    }

    // Publishing.

    pub(crate) fn publish_raw(&mut self, device: usize, publish: impl FnOnce(&mut Publish)) -> u64 {
        self.last_ack += 1;
        let known = &self.devices[device];
        let mut built = Publish {
            session: known.session,
            account: known.account,
            device: known.name.clone(),
            topic: "".into(),
            payload: Bytes::new(),
            ack: Some(self.last_ack),
            response_topic: None,
            correlation: None,
            properties: None,
            session_mid: None,
            read_at: records::Moment::UNKNOWN,
        };
        publish(&mut built);
        let ack = self.last_ack;
        self.handle(Input::Publish(Box::new(built)));
        ack
    }

    /// Publishes and says what became of it, `None` while that is open.
    pub(crate) fn publish(
        &mut self,
        device: usize,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> Option<Result<(), Refusal>> {
        let payload = payload.into();
        let ack = self.publish_raw(device, |publish| {
            publish.topic = topic.into();
            publish.payload = payload;
        });
        self.devices[device].acks.get(&ack).cloned()
    }

    /// Publishes as the first device of an account, which must be accepted.
    pub(crate) fn say(&mut self, name: &str, topic: &str, payload: &str) {
        let device = self.device(name);
        let said = self.publish(device, topic, payload.to_owned());
        assert_eq!(said, Some(Ok(())), "{name} {topic} {payload}");
    }

    /// Publishes as the first device of an account, which must be refused; returns the code.
    pub(crate) fn refused(
        &mut self,
        name: &str,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> Refusal {
        let device = self.device(name);
        match self.publish(device, topic, payload) {
            Some(Err(refusal)) => refusal,
            other => panic!("{name} {topic}: {other:?}"),
        }
    }

    /// Asks as the first device of an account and returns the answer.
    pub(crate) fn ask(&mut self, name: &str, method: &str, payload: &str) -> Value {
        let device = self.device(name);
        let before = self.devices[device].inbox.len();
        let asked = self.publish(device, &format!("im/ask/{method}/q"), payload.to_owned());
        assert_eq!(asked, Some(Ok(())), "{name} {method} {payload}");
        let answers: Vec<_> = self.devices[device].inbox[before..]
            .iter()
            .filter(|(topic, _, _)| topic == "im/answer/q")
            .collect();
        assert_eq!(answers.len(), 1, "{method} {payload}");
        parse(&answers[0].1)
    }

    /// A device acknowledges the messages it has received.
    pub(crate) fn acknowledge(&mut self, name: &str) {
        let account = self.id(name);
        let receivable = std::mem::take(&mut self.receivable);
        let is_own = |(receiver, _, _): &_| *receiver == account;
        let (own, others) = receivable.into_iter().partition::<Vec<_>, _>(is_own);
        self.receivable = others;
        for (_, conversation, seq) in own {
            self.handle(Input::Received {
                account,
                conversation,
                seq,
            });
        }
    }

    pub(crate) fn catch_up(&mut self, device: usize, since: Pos) -> CaughtUp {
        self.want_catch_up(device, Cursor::at(since));
        self.caught_up.pop().expect("no answer")
    }

    /// A device wants what is stored and its cursor does not cover.
    pub(crate) fn want_catch_up(&mut self, device: usize, since: Cursor) {
        let known = &self.devices[device];
        let (session, account) = (known.session, known.account);
        self.handle(Input::CatchUp {
            session,
            account,
            since,
        });
    }

    /// The id of a group.
    pub(crate) fn conversation(&self, slug: &str) -> ConversationId {
        self.at(&records::key::group_address(slug))
    }

    /// The id of a direct chat.
    pub(crate) fn chat_of(&self, one: &str, other: &str) -> ConversationId {
        self.at(&records::key::pair_address(self.id(one), self.id(other)))
    }

    fn at(&self, address: &[u8]) -> ConversationId {
        let id = &self.disk.keys[address];
        let id = records::key::decode_number(records::Table::Address, id);
        ConversationId::new(id.unwrap())
    }
}
