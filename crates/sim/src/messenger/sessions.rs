//! Devices connect to nodes, go, and catch up with what they have missed, as a broker sees to it.

use chat::{Delivery, Input};
use records::{Cursor, SessionRef};
use serde_json::Value;

use crate::messenger::device::{Connected, Keeps, conv_of};
use crate::messenger::mistake::Mistake;
use crate::messenger::world::World;

impl World {
    /// A device connects to a node.
    pub(super) fn connect(&mut self, device: usize, node: usize) {
        let of = &mut self.nodes[node];
        of.sessions += 1;
        let session = SessionRef {
            shard: 0,
            slot: of.sessions,
            generation: 1,
        };
        let known = &mut self.devices[device];
        known.connect(
            Connected { node, session },
            self.store.journal.entries.len(),
        );
        let since = match &mut known.keeps {
            Keeps::Session(session) => {
                if self.mistake == Mistake::ForgetCursor && self.dice.percent(30) {
                    let floor = self.nodes[node]
                        .chat
                        .as_ref()
                        .map(chat::Chat::committed_pos);
                    session.cursor.raise(floor.unwrap_or_default());
                }
                Some(session.cursor.clone())
            }
            Keeps::Cache(_) => None,
        };
        let (account, filters) = (self.accounts[known.who], known.filters());
        let is_back = since.is_some();
        self.log
            .note(|| format!("device {device}: connects to node {node}, since {since:?}"));
        self.handle(
            node,
            Input::SessionUp {
                session,
                account,
                device: format!("d{device}").into(),
                since,
            },
        );
        for filter in filters {
            self.handle(
                node,
                Input::Subscribed {
                    session,
                    account,
                    filter: (*filter).into(),
                    existed: is_back,
                    retain_handling: 0,
                    resumed: is_back,
                },
            );
        }
        // Its node may have said meanwhile that something was missed.
        self.catch_up_after(device);
    }

    /// A device goes, in good order.
    pub(super) fn disconnect(&mut self, device: usize) {
        let Some(connected) = self.devices[device].connected else {
            return;
        };
        let account = self.accounts[self.devices[device].who];
        self.lose_connection(device);
        let session = connected.session;
        self.handle(connected.node, Input::SessionDown { session, account });
    }

    /// A device goes without its node hearing of it.
    pub(super) fn disconnect_unheard(&mut self, device: usize) {
        let known = &self.devices[device];
        if let Some(connected) = known.connected {
            let account = self.accounts[known.who];
            let ended = &mut self.nodes[connected.node].ended;
            ended.push((connected.session, account));
        }
        self.lose_connection(device);
    }

    /// A node goes on, if it was paused.
    pub(super) fn go_on(&mut self, node: usize) {
        self.nodes[node].is_paused = false;
        for (session, account) in std::mem::take(&mut self.nodes[node].ended) {
            self.handle(node, Input::SessionDown { session, account });
        }
    }

    pub(super) fn lose_connection(&mut self, device: usize) {
        self.looks.retain(|_, (known, _)| *known != device);
        self.log
            .note(|| format!("device {device}: is disconnected"));
        self.devices[device].disconnect();
        for sent in self.sent.iter_mut().filter(|sent| sent.device == device) {
            sent.is_lost |= !sent.open.is_empty();
            sent.open.clear();
        }
    }

    /// A session asks for what it has missed.
    pub(super) fn catch_up(&mut self, device: usize) {
        let known = &mut self.devices[device];
        let (Keeps::Session(session), Some(connected)) = (&mut known.keeps, known.connected) else {
            return;
        };
        session.catching_up.get_or_insert_default();
        let input = Input::CatchUp {
            session: connected.session,
            account: self.accounts[known.who],
            since: session.cursor.clone(),
        };
        self.handle(connected.node, input);
    }

    pub(super) fn missed(&mut self, node: usize) {
        self.log
            .note(|| format!("node {node}: sessions may have missed something"));
        for device in 0..self.devices.len() {
            let connected = self.devices[device].connected;
            if connected.is_some_and(|connected| connected.node == node) {
                self.catch_up_after(device);
            }
        }
    }

    /// A session asks for what it has missed, once it has got what it has asked for: it takes an answer for the last one.
    fn catch_up_after(&mut self, device: usize) {
        match &mut self.devices[device].keeps {
            Keeps::Session(session) if session.catching_up.is_some() => session.again = true,
            Keeps::Session(_) => self.catch_up(device),
            Keeps::Cache(_) => {}
        }
    }

    pub(super) fn caught_up(
        &mut self,
        node: usize,
        session: SessionRef,
        entries: &[Delivery],
        upto: &Cursor,
        more: bool,
    ) {
        let connected = Some(Connected { node, session });
        let found = self
            .devices
            .iter()
            .position(|device| device.connected == connected);
        let Some(device) = found else {
            return;
        };
        let packets = entries.iter().flat_map(|entry| &entry.packets);
        for packet in packets {
            let json: Option<Value> = serde_json::from_slice(&packet.payload).ok();
            if let (Some(conv), Some(json)) = (conv_of(&packet.topic), json) {
                self.devices[device].accept(conv, &json);
            }
        }
        self.log
            .note(|| format!("device {device}: has caught up to {upto}, more: {more}"));
        let Keeps::Session(known) = &mut self.devices[device].keeps else {
            return;
        };
        known.cursor.merge(upto);
        if more || std::mem::take(&mut known.again) {
            self.catch_up(device);
            return;
        }
        for (conv, json) in known.catching_up.take().unwrap_or_default() {
            self.devices[device].accept(&conv, &json);
        }
    }
}
