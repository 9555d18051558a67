//! What happens next, by chance.

use chat::{Input, Owner};
use records::PartitionId;
use serde_json::{Value, json};

use crate::messenger::device::Keeps;
use crate::messenger::world::{GROUPS, NAMES, Sent, World};
use crate::run::Verdict;

/// What may happen.
#[derive(Clone, Copy)]
enum Event {
    DeviceActs,
    FrameArrives,
    AppendIsStored,
    OutcomeIsHeard,
    SomethingIsRead,
    TimePasses,
    TimeIsLookedAt,
    ViewIsLearned,
    PartitionMoves,
    NodePauses,
    NodeGoesOn,
    NodeIsFenced,
    NodeDies,
    NodeComesBack,
}

impl World {
    /// Runs to the end.
    pub(super) fn run(&mut self) -> Verdict {
        for device in 0..self.devices.len() {
            self.some_connect(device);
        }
        while self.steps < self.steps_max {
            self.steps += 1;
            self.step();
            self.verdict.clone()?;
            self.check_store()?;
        }
        self.calm_down()?;
        self.check_presences()?;
        self.check()
    }

    fn step(&mut self) {
        let events = [
            (Event::DeviceActs, 40),
            (Event::FrameArrives, 60),
            (Event::AppendIsStored, 40),
            (Event::OutcomeIsHeard, 40),
            (Event::SomethingIsRead, 40),
            (Event::TimePasses, 15),
            (Event::TimeIsLookedAt, 25),
            (Event::ViewIsLearned, 10),
            (Event::PartitionMoves, 3),
            (Event::NodePauses, 1),
            (Event::NodeGoesOn, 3),
            (Event::NodeIsFenced, 1),
            (Event::NodeDies, 1),
            (Event::NodeComesBack, 3),
        ];
        let choice = self.dice.weighted(&events.map(|(_, weight)| weight));
        let node = self.dice.below(self.nodes.len());
        let runs = self.nodes[node].runs();
        match events[choice].0 {
            Event::DeviceActs => self.some_device_acts(),
            Event::FrameArrives => self.some_frame_arrives(),
            // What a node has sent gets to the store, whatever has become of it.
            Event::AppendIsStored => {
                let waiting = self.nodes[node].appends.len();
                if waiting > 0 {
                    let choice = self.dice.below(waiting);
                    self.commit(node, choice);
                }
            }
            Event::OutcomeIsHeard if runs => self.tell_outcome(node),
            Event::SomethingIsRead if runs => self.something_is_read(node),
            Event::TimePasses => {
                let millis = match self.dice.percent(90) {
                    true => self.dice.between(1, 400),
                    false => self.dice.between(400, 7_000),
                };
                self.now = self.now.saturating_add(millis);
            }
            Event::TimeIsLookedAt if runs => self.look_at_time(node),
            Event::ViewIsLearned if runs => self.learn(node),
            Event::PartitionMoves => self.some_partition_moves(),
            Event::NodePauses if self.nodes.len() > 1 => {
                self.log.note(|| format!("node {node}: pauses"));
                self.nodes[node].is_paused = self.nodes[node].chat.is_some();
            }
            Event::NodeGoesOn => self.go_on(node),
            Event::NodeIsFenced => self.some_node_is_fenced(node),
            Event::NodeDies => {
                self.log.note(|| format!("node {node}: dies"));
                self.end(node);
            }
            Event::NodeComesBack if self.nodes[node].chat.is_none() => {
                self.log.note(|| format!("node {node}: comes back"));
                self.begin(node);
            }
            _ => {}
        }
    }

    fn some_frame_arrives(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let choice = match self.dice.percent(60) {
            true => 0,
            false => self.dice.below(self.network.len()),
        };
        match self.dice.below(20) {
            0 => drop(self.network.swap_remove(choice)),
            1 => {
                let frame = self.network[choice].clone();
                self.frame_arrives(frame);
            }
            _ => {
                let frame = self.network.remove(choice);
                self.frame_arrives(frame);
            }
        }
    }

    /// Whoever is paused reads it later, which is as good as late.
    pub(super) fn frame_arrives(&mut self, frame: chat::Frame) {
        let node = usize::from(frame.to().node.0);
        if self.nodes[node].is_paused {
            self.network.push(frame);
        } else if self.nodes[node].chat.is_some() {
            self.handle(node, Input::Frame(frame));
        }
    }

    fn something_is_read(&mut self, node: usize) {
        let of = &mut self.nodes[node];
        if !of.read.is_empty() && self.dice.percent(50) {
            let read = of.read.remove(0);
            self.arrive(node, read);
            return;
        }
        if of.readings.is_empty() {
            return;
        }
        let choice = self.dice.below(of.readings.len());
        let query = of.readings.remove(choice);
        let read = match self.dice.percent(3) {
            true => query.refuse(),
            false => query.run(&self.store),
        };
        if self.dice.percent(70) {
            self.arrive(node, read);
        } else {
            self.nodes[node].read.push(read);
        }
    }

    fn some_partition_moves(&mut self) {
        let members = self.store.view.members.clone();
        if members.is_empty() {
            return;
        }
        let partition = self.some_partition();
        if self.links.is_none() {
            return self.refuse_appends(partition);
        }
        let to = *self.dice.pick(&members);
        self.store.hand_over(partition, to);
        self.log
            .note(|| format!("partition {} is node {}'s", partition.number(), to.node.0));
    }

    /// A node that is alone loses what it has under way in a partition, for whatever reason.
    fn refuse_appends(&mut self, partition: PartitionId) {
        let owner = Owner::Partition(partition);
        let waiting = &mut self.nodes[0].appends;
        let first = waiting.iter().find(|append| append.owner == owner);
        let Some(ticket) = first.map(|append| append.ticket) else {
            return;
        };
        waiting.retain(|append| append.owner != owner);
        while !self.nodes[0].outcomes.is_empty() {
            self.tell_outcome(0);
        }
        self.handle(0, Input::Fenced { owner, ticket });
    }

    /// One in which something is said.
    fn some_partition(&mut self) -> PartitionId {
        match self.dice.below(NAMES.len() + GROUPS.len()) {
            group @ 0..=1 => PartitionId::of_group(GROUPS[group]),
            _ => {
                let one = *self.dice.pick(&self.accounts);
                let other = *self.dice.pick(&self.accounts);
                PartitionId::of_pair(one, other)
            }
        }
    }

    /// Somebody thinks that a node is dead; it may be.
    fn some_node_is_fenced(&mut self, node: usize) {
        let own = self.nodes[node].own;
        if !self.store.is_member(own) || self.store.view.members.len() < 2 {
            return;
        }
        self.log.note(|| format!("node {node}: is fenced"));
        let dice = &mut self.dice;
        self.store.fence(own, |members| Some(*dice.pick(members)));
    }

    // Devices.

    pub(super) fn some_connect(&mut self, device: usize) {
        let running: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].runs())
            .collect();
        if !running.is_empty() {
            let node = *self.dice.pick(&running);
            self.connect(device, node);
        }
    }

    fn some_device_acts(&mut self) {
        let device = self.dice.below(self.devices.len());
        let Some(connected) = self.devices[device].connected else {
            return self.some_connect(device);
        };
        // A node that is paused does not answer, and at some time its devices go elsewhere.
        if self.nodes[connected.node].is_paused {
            if self.dice.percent(10) {
                self.disconnect_unheard(device);
            }
            return;
        }
        if self.dice.percent(5) {
            let is_inactive = self.dice.percent(50);
            return self.look(device, is_inactive);
        }
        if matches!(self.devices[device].keeps, Keeps::Session(_)) {
            if self.dice.percent(20) {
                self.disconnect(device);
            }
            return;
        }
        let choice = self.dice.weighted(&[40, 8, 8, 6, 8, 6, 2, 10, 8, 12, 4]);
        match choice {
            0 => self.send_new(device),
            1 => self.send_again(device),
            2 => {
                let slug = *self.dice.pick(&GROUPS);
                let asked = json!({"slug": slug, "open": true, "history": slug});
                self.ask(device, "group.create", &asked);
            }
            3 => {
                let (slug, whom) = (*self.dice.pick(&GROUPS), *self.dice.pick(&NAMES));
                self.ask(
                    device,
                    "group.invite",
                    &json!({"conv": slug, "accounts": [whom]}),
                );
            }
            4 => {
                let slug = *self.dice.pick(&GROUPS);
                self.ask(device, "group.join", &json!({"conv": slug}));
            }
            5 => {
                let slug = *self.dice.pick(&GROUPS);
                self.ask(device, "group.leave", &json!({"conv": slug}));
            }
            6 => {
                let slug = *self.dice.pick(&GROUPS);
                self.ask(device, "group.delete", &json!({"conv": slug, "slug": slug}));
            }
            7 => {
                let (conv, seq) = (self.some_conv(), self.dice.between(1, 6));
                let topic = format!("im/to/{conv}/read");
                self.publish(device, &topic, json!({"seq": seq}).to_string());
            }
            8 => self.some_message_is_acknowledged(),
            9 => self.sync(device),
            _ => self.disconnect(device),
        }
    }

    /// Somebody looks at a device, or no longer.
    pub(super) fn look(&mut self, device: usize, is_inactive: bool) {
        self.looks.insert(self.acks + 1, (device, is_inactive));
        let payload = if is_inactive { "0" } else { "1" };
        if self
            .publish(device, "im/me/active", payload.to_owned())
            .is_none()
        {
            self.looks.remove(&(self.acks + 1));
        }
    }

    fn some_conv(&mut self) -> String {
        match self.dice.below(NAMES.len() + GROUPS.len()) {
            who @ 0..3 => format!("@{}", NAMES[who]),
            group => GROUPS[group - NAMES.len()].to_owned(),
        }
    }

    fn send_new(&mut self, device: usize) {
        let conv = self.some_conv();
        self.send_to(device, &conv);
    }

    pub(super) fn send_to(&mut self, device: usize, conv: &str) {
        let number = self.sent.len();
        let text = format!("t{number}");
        let payload = json!({"mid": format!("m{number}"), "text": text}).to_string();
        self.sent.push(Sent {
            device,
            topic: format!("im/to/{conv}"),
            text,
            payload,
            is_taken: false,
            is_refused: false,
            open: Vec::new(),
            is_lost: false,
        });
        self.send_message(number);
    }

    /// A message that was sent before, as it was.
    fn send_again(&mut self, device: usize) {
        let own = self.sent.iter().enumerate();
        let own = own.filter(|(_, sent)| sent.device == device);
        let numbers: Vec<usize> = own.map(|(number, _)| number).collect();
        if let Some(newest) = numbers.len().checked_sub(1) {
            let back = self.dice.below(numbers.len().min(4));
            self.send_message(numbers[newest - back]);
        }
    }

    /// The number comes first: the word on it may come at once.
    pub(super) fn send_message(&mut self, number: usize) {
        let ack = self.acks + 1;
        let sent = &mut self.sent[number];
        sent.open.push(ack);
        let (device, topic, payload) = (sent.device, sent.topic.clone(), sent.payload.clone());
        if self.publish(device, &topic, payload).is_none() {
            self.sent[number].open.retain(|open| *open != ack);
        }
    }

    fn ask(&mut self, device: usize, method: &str, asked: &Value) {
        let topic = format!("im/ask/{method}/other");
        self.publish(device, &topic, asked.to_string());
    }

    fn some_message_is_acknowledged(&mut self) {
        if self.received.is_empty() {
            return;
        }
        let choice = self.dice.below(self.received.len());
        let (node, account, conversation, seq) = self.received.swap_remove(choice);
        if self.nodes[node].runs() {
            self.handle(
                node,
                Input::Received {
                    account,
                    conversation,
                    seq,
                },
            );
        }
    }
}
