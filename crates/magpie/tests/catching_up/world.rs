//! Everybody and everything that happens to them, in the order that a seed chooses.

use std::time::{Duration, Instant};

use harness::proof::Random;
use harness::{Event, Launch, PATIENCE, QoS, Server, Version};
use serde_json::json;

use crate::device::{Device, Kind, Rules};
use crate::judge;
use crate::ledger::Ledger;

/// The first of them makes the groups that last, and stays in every group.
const ACCOUNTS: [&str; 5] = ["wit", "ann", "ben", "cho", "dan"];
/// Slug, whether it is open, and what whoever joins may read.
const LASTING: [(&str, bool, &str); 4] = [
    ("lasting-0", false, "all"),
    ("lasting-1", false, "joined"),
    ("lasting-2", true, "all"),
    ("lasting-3", true, "joined"),
];
/// Slugs of groups that come and go.
const PASSING: [&str; 3] = ["passing-0", "passing-1", "passing-2"];
/// Groups of somebody whom nobody else talks to. Together they take what the server may keep in memory of conversations.
const CROWD: usize = 120;
const CROWD_ACCOUNT: &str = "crowd";
const FORGOTTEN: &str = "magpie_chat_conversations_forgotten_total";
/// How long a device waits for what comes before the next step.
const TURN: Duration = Duration::from_millis(2);

/// See the file's header.
pub(crate) struct World {
    pub(crate) server: Server,
    random: Random,
    step: u64,
    devices: Vec<Device>,
    /// For each device, from which step on it connects again.
    wakes: Vec<u64>,
    ledger: Ledger,
    /// Conversations that the server has forgotten in earlier runs.
    forgotten: u64,
}

impl World {
    /// A server and devices that have not connected yet.
    pub(crate) fn new(seed: u64, rules: Rules) -> Self {
        let mut random = Random::new(seed);
        let server = Launch::new().keeps_addresses().config(&config(2)).start();
        for name in ACCOUNTS.into_iter().chain([CROWD_ACCOUNT]) {
            server.add_account(name);
        }
        make_groups(&server);
        let devices: Vec<_> = kinds()
            .into_iter()
            .map(|kind| Device::new(kind, rules, random.fork()))
            .collect();
        Self {
            server,
            random,
            step: 0,
            wakes: vec![0; devices.len()],
            devices,
            ledger: Ledger::default(),
            forgotten: 0,
        }
    }

    /// Much happens, and in the middle of it the server is killed and started again.
    pub(crate) fn round(&mut self) {
        let mut random = self.random.fork();
        let killed_at = 100 + random.below(200);
        let crowded_at = random.below(2 * killed_at);
        for step in 0..killed_at {
            if step == crowded_at {
                self.crowd_talks();
            }
            self.step(&mut random.fork());
        }
        self.forgotten += self.server.metric(FORGOTTEN, "");
        self.server.kill();
        let all_at_once = random.below(2) == 0;
        for (at, device) in self.devices.iter_mut().enumerate() {
            // What has come before the end may have been read, or not.
            if random.below(2) == 0 {
                device.turn(Instant::now(), &mut self.ledger);
            }
            device.cut();
            let absence = if all_at_once { 0 } else { absence(&mut random) };
            self.wakes[at] = self.step + absence;
        }
        std::fs::write(
            self.server.folder().join("magpie.toml"),
            config(1 + random.below(3)),
        )
        .unwrap();
        if random.below(6) == 0 {
            self.server.kill_while_starting(Some("store open"));
        }
        self.server.restart();
    }

    /// All devices come back, catch up and have everything sent; what is then not as it must be.
    pub(crate) fn judge(&mut self) -> Vec<String> {
        for device in &mut self.devices {
            device.is_unlucky = false;
        }
        self.settle();
        for device in &mut self.devices {
            device.sync();
        }
        self.settle();
        let findings = judge::findings(&self.server, &ACCOUNTS, &self.devices, &self.ledger);
        for device in &mut self.devices {
            device.is_unlucky = true;
        }
        findings
    }

    /// What has been done, for a line of the report.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} steps, {} messages, {} conversations forgotten by the server",
            self.step,
            self.ledger.sent.len(),
            self.forgotten
        )
    }

    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.devices.iter().all(Device::is_idle) {
            for device in &mut self.devices {
                if device.is_away() {
                    device.connect(&self.server);
                }
                device.turn(Instant::now() + TURN, &mut self.ledger);
            }
            assert!(
                Instant::now() < deadline,
                "not settled in {PATIENCE:?}: {:#?}",
                self.devices
                    .iter()
                    .filter(|device| !device.is_idle())
                    .collect::<Vec<_>>()
            );
        }
    }

    fn step(&mut self, random: &mut Random) {
        self.step += 1;
        let at = random.below(self.devices.len() as u64) as usize;
        if self.devices[at].is_away() {
            if self.step >= self.wakes[at] {
                self.devices[at].connect(&self.server);
            } else if random.below(3) == 0 {
                let (conv, draw) = conversation(random);
                self.devices[at].compose(&conv, draw, &mut self.ledger);
            }
        } else if self.devices[at].is_ready() {
            self.act(at, random);
        }
        for (other, device) in self.devices.iter_mut().enumerate() {
            let now = Instant::now();
            let deadline = if other == at { now + TURN } else { now };
            let was_away = device.is_away();
            device.turn(deadline, &mut self.ledger);
            if device.is_away() && !was_away {
                self.wakes[other] = self.step + absence(random);
            }
        }
    }

    /// A device that has caught up does something, or something happens to it.
    fn act(&mut self, at: usize, random: &mut Random) {
        let (what, draw) = (random.below(100), random.below(1 << 32));
        let device = &mut self.devices[at];
        let account = device.kind.account;
        let group = group(draw);
        let other = ACCOUNTS[(draw >> 8) as usize % ACCOUNTS.len()];
        match what {
            0..50 => {
                for _ in 0..=draw % 3 {
                    let (conv, draw) = conversation(random);
                    device.compose(&conv, draw, &mut self.ledger);
                }
            }
            50..60 => read(device, draw, &mut self.ledger),
            60..66 => device.ask("group.invite", &json!({"conv": group, "accounts": [other]})),
            66..70 if account != ACCOUNTS[0] => {
                device.ask("group.leave", &json!({ "conv": group }));
            }
            66..74 => device.ask("group.join", &json!({ "conv": group })),
            74..76 => {
                let slug = PASSING[draw as usize % PASSING.len()];
                let history = ["all", "joined"][(draw >> 20) as usize % 2];
                let members = json!([ACCOUNTS[0], other]);
                let body =
                    json!({"slug": slug, "accounts": members, "open": true, "history": history});
                device.ask("group.create", &body);
            }
            76 => {
                let slug = PASSING[draw as usize % PASSING.len()];
                self.ledger.deleted.insert(slug.to_owned());
                device.ask("group.delete", &json!({"conv": slug, "slug": slug}));
            }
            77..82 => device.sync(),
            82..86 => fill(device, draw),
            86..90 => device.commit(),
            90..94 => device.cut(),
            94..96 => device.cut_in_a_packet(),
            96..99 => device.die(),
            _ => device.lose_cursor(),
        }
        if device.is_away() {
            self.wakes[at] = self.step + absence(random);
        }
    }

    /// Enough conversations are used once for others to be forgotten.
    fn crowd_talks(&mut self) {
        let dial = self.server.dial(Version::V5, CROWD_ACCOUNT, "crowd");
        let mut client = dial.connect().unwrap();
        for number in 0..CROWD {
            let topic = format!("im/to/crowd-{number}");
            client.send(&topic, "hello", QoS::AtLeastOnce).unwrap();
        }
        let mut left = CROWD;
        while left > 0 {
            let event = client.event(Instant::now() + PATIENCE).unwrap();
            match event.expect("an acknowledgement comes in time") {
                Event::Acknowledged(_) => left -= 1,
                Event::Message
                | Event::Completed(_)
                | Event::Subscribed(..)
                | Event::Pong
                | Event::Flow => {}
            }
        }
    }
}

/// In steps.
fn absence(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => 0,
        1 | 2 => random.below(40),
        _ => random.below(300),
    }
}

/// Somewhere to write to, and a draw more.
fn conversation(random: &mut Random) -> (String, u64) {
    let draw = random.below(1 << 32);
    let peer = ACCOUNTS[(draw >> 8) as usize % ACCOUNTS.len()];
    let conv = if (draw >> 4).is_multiple_of(2) {
        format!("@{peer}")
    } else {
        group(draw).to_owned()
    };
    (conv, draw)
}

fn group(draw: u64) -> &'static str {
    let at = (draw >> 12) as usize % (LASTING.len() + PASSING.len());
    LASTING
        .get(at)
        .map_or_else(|| PASSING[at - LASTING.len()], |lasting| lasting.0)
}

fn read(device: &mut Device, draw: u64, ledger: &mut Ledger) {
    let unread = |(_, known): &(&String, &crate::cache::Conversation)| {
        known.is_member() && known.last > known.read
    };
    let conversations = device.memory.conversations.iter();
    let candidates: Vec<_> = conversations
        .filter(unread)
        .map(|(conv, known)| (conv.clone(), known.read, known.last))
        .collect();
    if let Some((conv, read, last)) = pick(&candidates, draw) {
        let seq = read + 1 + (draw >> 8) % (last - read);
        device.read(conv, seq, ledger);
    }
}

fn fill(device: &mut Device, draw: u64) {
    let conversations = device.memory.conversations.iter();
    let candidates: Vec<_> = conversations
        .flat_map(|(conv, known)| known.gaps.iter().map(|gap| (conv.clone(), *gap)))
        .collect();
    if let Some((conv, gap)) = pick(&candidates, draw) {
        device.fill(conv, *gap);
    }
}

fn pick<T>(candidates: &[T], draw: u64) -> Option<&T> {
    let count = candidates.len().max(1);
    candidates.get(draw as usize % count)
}

fn config(shards: u64) -> String {
    format!(
        "[mqtt]\nshards = {shards}\n\n[chat]\nloaded_bytes_max = 65536\nmessages_per_second_max = 500\n\
         messages_burst_max = 2000\ngroups_per_minute_max = 1000\n"
    )
}

fn kinds() -> Vec<Kind> {
    use QoS::{AtLeastOnce as Once, AtMostOnce as Live, ExactlyOnce as Exact};
    use Version::{V5, V311};
    let clean = false;
    let lasting = true;
    [
        ("wit", "wit-phone", V5, lasting, Once),
        ("wit", "wit-laptop", V311, clean, Once),
        ("ann", "ann-phone", V311, lasting, Once),
        ("ann", "ann-laptop", V5, clean, Once),
        ("ben", "ben-phone", V5, clean, Exact),
        ("ben", "ben-laptop", V311, clean, Live),
        ("cho", "cho-phone", V5, lasting, Once),
        ("cho", "cho-laptop", V311, lasting, Once),
        ("dan", "dan-phone", V311, lasting, Exact),
        ("dan", "dan-laptop", V5, clean, Once),
    ]
    .into_iter()
    .enumerate()
    .map(
        |(at, (account, client_id, version, is_persistent, qos))| Kind {
            account,
            client_id,
            version,
            is_persistent,
            qos,
            wants_about: at % 3 == 0,
        },
    )
    .collect()
}

fn make_groups(server: &Server) {
    let mut wit = server
        .dial(Version::V5, ACCOUNTS[0], "maker")
        .connect()
        .unwrap();
    wit.subscribe(&[("im/answer/+", QoS::AtLeastOnce)]).unwrap();
    for (slug, open, history) in LASTING {
        let members = &ACCOUNTS[1..];
        let body = json!({"slug": slug, "accounts": members, "open": open, "history": history});
        let answer = wit.ask("group.create", slug, &body).unwrap();
        assert_eq!(answer["conv"], slug, "{answer}");
    }
    let mut crowd = server
        .dial(Version::V5, CROWD_ACCOUNT, "maker")
        .connect()
        .unwrap();
    crowd
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    for number in 0..CROWD {
        let slug = format!("crowd-{number}");
        let answer = crowd
            .ask("group.create", &slug, &json!({ "slug": slug }))
            .unwrap();
        assert_eq!(answer["conv"], slug, "{answer}");
    }
}
