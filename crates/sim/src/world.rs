//! The loop: what happens next, by chance, until the seed's steps are used up; then fair weather until everything
//! is at rest, and the last checks. It holds no rule of MQTT: those are the clients' and the model's.

mod act;
mod calm;

use broker::Shard;
use records::Millis;

use crate::client::{Client, Phase};
use crate::dice::Dice;
use crate::link::Place;
use crate::log::Log;
use crate::model::{MessageNumber, Model, Verdict};
use crate::mutation::Mutation;
use crate::order::Order;
use crate::plan::Plan;
use crate::run::{Ran, Worlds, caught};
use crate::server::Server;
use crate::wire;

const START: Millis = Millis::new(1_766_000_000_000);
/// How often, in percent, the server does end when its turn to end comes.
const SERVER_ENDS: u32 = 20;

/// What may happen next.
#[derive(Clone, Copy)]
enum Event {
    ClientActs,
    ClientReads,
    LinkIsRead,
    LinkIsFlushed,
    /// What a shard has been sent by others.
    LettersOpened,
    Commit,
    /// What a shard has asked the readers for.
    PageBrought,
    LoginChecked,
    DeferredResumed,
    TimePasses,
    /// A shard's timers.
    TimeLookedAt,
    Trim,
    Crash,
    Restart,
}

impl Worlds for Mutation {
    const NAME: &'static str = "broker";

    fn run(order: Order<Self>, logged: bool) -> Ran {
        let mut world = World::new(order, logged);
        let verdict = caught(&mut world, World::run);
        Ran {
            verdict,
            steps: world.steps,
            log: world.log.into_lines(),
        }
    }
}

/// One seed's world.
pub(crate) struct World {
    dice: Dice,
    plan: Plan,
    server: Server,
    model: Model,
    clients: Vec<Client>,
    /// Connections that their clients have left without closing them.
    abandoned: Vec<usize>,
    /// Wills of connections that ended with a DISCONNECT.
    void_wills: Vec<(usize, MessageNumber)>,
    /// Wills of connections that broke while they were open, and how often the server had died before.
    due_wills: Vec<(MessageNumber, usize)>,
    /// The weather is fair.
    calm: bool,
    log: Log,
    steps: usize,
    steps_max: usize,
}

impl World {
    pub(crate) fn new(order: Order<Mutation>, logged: bool) -> Self {
        let mut dice = Dice::new(order.seed);
        let plan = Plan::draw(&mut dice);
        let seeds = [dice.word(), dice.word(), dice.word(), dice.word()];
        let server = Server::new(
            plan.shards,
            plan.settings.clone(),
            seeds,
            START,
            order.mutation,
        );
        let clients = (0..plan.clients)
            .map(|number| Client::new(number, dice.percent(plan.v5), dice.percent(plan.persistent)))
            .collect();
        let expiry_max = plan.settings.limits.session_expiry_max_secs;
        let mut log = Log::new(logged);
        log.note(|| format!("{plan:?}"));
        let mut model = Model::new(plan.clients, expiry_max);
        model.time = START.value();
        Self {
            model,
            steps_max: plan.steps.min(order.steps_max),
            dice,
            plan,
            server,
            clients,
            abandoned: Vec::new(),
            void_wills: Vec::new(),
            due_wills: Vec::new(),
            calm: false,
            log,
            steps: 0,
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Verdict {
        while self.steps < self.steps_max {
            self.steps += 1;
            self.step()?;
        }
        self.calm_down()
    }

    fn step(&mut self) -> Verdict {
        let plan = &self.plan;
        let events = [
            (Event::ClientActs, 40),
            (Event::ClientReads, 30),
            (Event::LinkIsRead, 40),
            (Event::LinkIsFlushed, 30),
            (Event::LettersOpened, 25),
            (Event::Commit, plan.disk),
            (Event::PageBrought, 10),
            (Event::LoginChecked, 8),
            (Event::DeferredResumed, 10),
            (Event::TimePasses, 4),
            (Event::TimeLookedAt, 4),
            (Event::Trim, 1),
            (Event::Crash, plan.crashes),
            (Event::Restart, plan.restarts),
        ];
        let choice = self.dice.weighted(&events.map(|(_, weight)| weight));
        match events[choice].0 {
            Event::ClientActs => return self.some_client_acts(),
            Event::ClientReads => return self.some_client_reads(),
            Event::LinkIsRead => self.some_link_is_read(),
            Event::LinkIsFlushed => self.some_link_is_flushed(),
            Event::LettersOpened => {
                let shard = self.some_shard();
                let count = self.dice.between(1, 5) as usize;
                self.server.open_letters(shard, count);
            }
            Event::Commit => self.some_appends_are_committed(),
            Event::PageBrought => {
                let (choice, count) = (self.dice.below(64), self.dice.between(1, 8) as usize);
                self.server.bring(choice, count);
            }
            Event::LoginChecked => {
                let choice = self.dice.below(64);
                self.server.check_login(choice);
            }
            Event::DeferredResumed => {
                let shard = self.some_shard();
                self.server.resume_deferred(shard);
            }
            Event::TimePasses => self.time_passes(),
            Event::TimeLookedAt => {
                let shard = self.some_shard();
                self.server.look_at_time(shard);
            }
            Event::Trim => {
                self.server.trim();
            }
            Event::Crash => self.crash_maybe(),
            Event::Restart => self.restart_maybe(),
        }
        Ok(())
    }

    /// A weight is a whole number, and one of them is too often.
    fn crash_maybe(&mut self) {
        if self.dice.percent(SERVER_ENDS) {
            let kept = self.dice.below(self.server.disk.waiting() + 1);
            self.log.note(|| format!("CRASH, {kept} appends kept"));
            self.server.crash(kept);
            self.after_restart();
        }
    }

    fn restart_maybe(&mut self) {
        if self.dice.percent(SERVER_ENDS) {
            self.log.note(|| "RESTART in good order".into());
            self.server.restart();
            self.after_restart();
        }
    }

    fn after_restart(&mut self) {
        self.model.crashed();
        for client in &mut self.clients {
            client.wire.may_end = Some("the server went down");
            client.wire.ended.get_or_insert(self.server.now.value());
        }
        self.abandoned.clear();
    }

    // Choices.

    fn some_shard(&mut self) -> usize {
        self.dice.below(self.server.shards.len())
    }

    fn some_appends_are_committed(&mut self) {
        let count = match self.server.disk.waiting() {
            0 => 0,
            waiting => 1 + self.dice.below(waiting),
        };
        if self.server.commit(count) {
            self.log.note(|| format!("disk: {count} committed"));
        }
    }

    fn time_passes(&mut self) {
        let millis = match self.dice.weighted(&[60, 30, 9, 1]) {
            0 => self.dice.between(1, 50),
            1 => self.dice.between(50, 1500),
            2 => self.dice.between(1500, 8000),
            _ => self.dice.between(8000, 100_000),
        };
        self.advance(millis);
        self.log.note(|| format!("time: {millis} ms"));
    }

    fn advance(&mut self, millis: u64) {
        self.server.now = self.server.now.saturating_add(millis);
        self.model.time = self.server.now.value();
    }

    /// A connection that the server still has.
    fn some_link(&mut self) -> Option<usize> {
        let links = self.server.links.len();
        if links == 0 {
            return None;
        }
        // The newest ones mostly: older ones are closed.
        let choice = links - 1 - self.dice.below(links.min(8));
        (self.server.links[choice].place != Place::Gone).then_some(choice)
    }

    fn some_link_is_read(&mut self) {
        let Some(link) = self.some_link() else { return };
        let bytes = match self.dice.below(3) {
            0 => self.dice.between(1, 12) as usize,
            1 => self.dice.between(10, 100) as usize,
            _ => usize::MAX,
        };
        let before = self.server.links[link].up.len();
        if self.server.read(link, bytes) {
            let read = before - self.server.links[link].up.len();
            let client = self.server.links[link].client;
            self.log
                .note(|| format!("server: reads {read} bytes of link {link} (client {client})"));
        }
    }

    fn some_link_is_flushed(&mut self) {
        let Some(link) = self.some_link() else { return };
        if self.server.flush(link) {
            self.log.note(|| format!("server: writes to link {link}"));
        }
    }

    // Reading.

    fn some_client_reads(&mut self) -> Verdict {
        let client = self.dice.below(self.clients.len());
        let bytes = match self.dice.below(3) {
            0 => self.dice.between(1, 20) as usize,
            _ => usize::MAX,
        };
        self.client_reads(client, bytes)
    }

    fn client_reads(&mut self, number: usize, bytes: usize) -> Verdict {
        let Some(link) = self.clients[number].link else {
            return Ok(());
        };
        let down = &mut self.server.links[link].down;
        let count = bytes.min(down.len());
        self.clients[number].wire.inbox.extend(down.drain(..count));
        let nothing_left = down.is_empty();
        let socket = &self.server.links[link];
        let closed = socket.place == Place::Gone || (socket.closing && self.is_written(link));
        let ended = nothing_left && closed;
        let time = self.server.now.value();
        loop {
            let client = &mut self.clients[number];
            let Some(length) = wire::whole(&client.wire.inbox) else {
                break;
            };
            let packet: Vec<u8> = client.wire.inbox.drain(..length).collect();
            let Some(packet) = wire::read(client.v5, &packet) else {
                return Err(format!("client {number} cannot read {packet:02x?}"));
            };
            self.log
                .note(|| format!("client {number}: got {}", brief(&packet)));
            // While this connection is there, whatever an older one asked for is refused or taken over.
            if matches!(packet, wire::Packet::Connack { .. }) && !self.is_over(link) {
                self.forget_decided(number);
            }
            let client = &mut self.clients[number];
            let bytes = client.got(packet, &mut self.model, time)?;
            self.server.links[link].up.extend(bytes);
        }
        if ended {
            self.connection_ended(number, link)?;
        }
        Ok(())
    }

    /// Whether the server is done with a connection.
    fn is_over(&self, link: usize) -> bool {
        self.server.links[link].closing || self.server.links[link].place == Place::Gone
    }

    fn is_written(&self, link: usize) -> bool {
        match self.server.links[link].place {
            Place::Shard(shard, id) => self.server.shards[shard].outgoing(id).is_empty(),
            Place::Moving | Place::Gone => true,
        }
    }

    fn connection_ended(&mut self, number: usize, link: usize) -> Verdict {
        let client = &self.clients[number];
        let waited = self.server.now.value() - client.wire.opened;
        let timeout = u64::from(self.plan.settings.limits.connect_timeout_secs) * 1000;
        let late = client.phase == Phase::Connecting && waited >= timeout;
        // [3.1.1 MQTT-3.1.2-24] [5 MQTT-3.1.2-22], and not before.
        let patience = u64::from(client.hello.keep_alive) * 1500;
        let silent = patience > 0 && self.server.links[link].silence() >= patience;
        let may_end = client.wire.may_end.is_some() || late || silent;
        self.log
            .note(|| format!("client {number}: sees that its connection has ended"));
        if !may_end {
            return Err(format!(
                "the server closed the connection of client {number}"
            ));
        }
        self.server.links[link].cut(0);
        self.lose(number);
        Ok(())
    }

    fn lose(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let at_once = client
            .hello
            .will
            .as_ref()
            .is_some_and(|will| will.delay == 0);
        if let Some(will) = client.will.take()
            && at_once
            && client.phase == Phase::Open
            && client.wire.may_end.is_none()
        {
            self.due_wills.push((will, self.model.crashes()));
        }
        let time = self.server.now.value();
        if let Some(link) = self.clients[number].link {
            if !self.is_over(link) {
                self.forget_decided(number);
            }
            // It may have closed it long ago.
            let ended = self.server.links[link].ended_at.map(Millis::value);
            let wire = &mut self.clients[number].wire;
            wire.ended = wire.ended.into_iter().chain(ended).min();
        }
        self.clients[number].lost(&mut self.model, time);
    }

    fn is_open(&self, number: usize) -> bool {
        self.clients[number].phase == Phase::Open
    }

    fn due(&self) -> Option<Millis> {
        self.server
            .shards
            .iter()
            .filter_map(Shard::poll_timeout)
            .min()
    }
}

fn brief(packet: &wire::Packet) -> String {
    match packet {
        wire::Packet::Publish(publish) => {
            let number = crate::model::number_in(&publish.payload);
            format!(
                "PUBLISH m{number:?} {} id {} QoS {} retain {} dup {}",
                publish.topic, publish.packet_id, publish.qos, publish.retain, publish.dup
            )
        }
        other => format!("{other:?}"),
    }
}
