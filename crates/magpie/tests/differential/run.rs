//! An exchange with one server: carries out each step and gathers what arrives, either as far as the script says (and
//! whether more came), or, to write the script, until nothing comes any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::PATIENCE;
use mqtt_codec::ack;

use crate::client::{Came, Client};
use crate::command::{self, Command};
use crate::script::{Arrival, Exchange, Which};
use crate::servers::Peer;
use crate::told::Labels;

/// When a script is written, silence for this long is taken for the end of a step.
const SILENCE: Duration = Duration::from_millis(300);
const GLANCE: Duration = Duration::from_millis(10);

struct Run {
    address: SocketAddr,
    clients: BTreeMap<String, Client>,
    labels: BTreeMap<String, Labels>,
}

/// Everything that arrives, step by step.
pub(crate) fn record(exchange: &Exchange, peer: &Peer) -> Vec<Vec<Arrival>> {
    let mut run = Run::new(peer);
    let steps = exchange.steps.iter();
    steps
        .map(|step| {
            let awaited = run.carry_out(&step.command);
            run.gather(awaited.as_ref())
        })
        .collect()
}

/// Whether what arrives is what the script says.
pub(crate) fn compare(exchange: &Exchange, which: Which, peer: &Peer) -> Result<(), String> {
    let mut run = Run::new(peer);
    for step in &exchange.steps {
        run.carry_out(&step.command);
        let expected = step.expected(which);
        let told = run.gather_expected(&expected);
        let sorted = sorted(expected);
        if told != sorted {
            let (line, command) = (step.line, &step.command);
            let title = &exchange.title;
            return Err(format!(
                "{title}, line {line}, {which:?}: {command}\n  expected {sorted:?}\n  arrived  {told:?}"
            ));
        }
    }
    Ok(())
}

impl Run {
    fn new(peer: &Peer) -> Self {
        Self {
            address: peer.address(),
            clients: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Does what the line says; the client at which something must arrive for the script to go on.
    fn carry_out(&mut self, line: &str) -> Option<String> {
        let Command {
            client: name,
            verb,
            mut words,
        } = Command::parse(line);
        let connects = verb == "connect" || verb == "open";
        if connects {
            let version = words.version();
            let client = Client::connect(self.address, version);
            self.clients.insert(name.clone(), client);
            self.labels.entry(name.clone()).or_default();
        }
        let client = self.clients.get_mut(&name);
        let client = client.unwrap_or_else(|| panic!("who is {name} in: {line}"));
        let labels = &self.labels[&name];
        let version = client.version;
        let acknowledged = |first: u8, words: &mut command::Words| {
            let word = words.next().expect("an identifier or a label");
            let id = labels.packet_id(&word).or_else(|| word.parse().ok());
            command::acknowledge(
                first,
                id.unwrap_or_else(|| panic!("no {word}: {line}")),
                words,
            )
        };
        let bytes = match &*verb {
            "connect" => command::connect(version, &mut words),
            "publish" => command::publish(version, &mut words),
            "subscribe" => command::subscribe(version, &mut words),
            "unsubscribe" => command::unsubscribe(version, &mut words),
            "disconnect" => command::disconnect(version, &mut words),
            "puback" => acknowledged(0x40, &mut words),
            "pubrec" => acknowledged(0x50, &mut words),
            "pubrel" => acknowledged(0x62, &mut words),
            "pubcomp" => acknowledged(0x70, &mut words),
            "raw" => command::raw(&mut words),
            "packet" => command::sized(&mut words),
            "hold" | "release" => {
                client.holding = verb == "hold";
                Vec::new()
            }
            "cut" => {
                self.clients.remove(&name);
                return None;
            }
            "open" => Vec::new(),
            "awaits" => return Some(name),
            other => panic!("what is {other} in: {line}"),
        };
        words.end(line);
        client.send(&bytes);
        None
    }

    /// Reads until nothing comes any more, and at least until something has come at the client that waits for it.
    fn gather(&mut self, awaited: Option<&String>) -> Vec<Arrival> {
        let mut told: Vec<Arrival> = Vec::new();
        let (began, mut last) = (Instant::now(), Instant::now());
        loop {
            for (name, client) in &mut self.clients {
                let labels = self.labels.entry(name.clone()).or_default();
                while let Came::Told(text) = client.next(labels, GLANCE) {
                    last = Instant::now();
                    told.push(Arrival {
                        client: name.clone(),
                        text,
                    });
                }
            }
            let came = |name: &String| told.iter().any(|one| one.client == *name);
            let enough = awaited.is_none_or(came) || began.elapsed() > PATIENCE;
            if enough && last.elapsed() > SILENCE {
                return sorted(told);
            }
        }
    }

    /// Reads as much as must come at each client, and what came besides.
    fn gather_expected(&mut self, expected: &[Arrival]) -> Vec<Arrival> {
        let mut told = Vec::new();
        for (name, client) in &mut self.clients {
            let labels = self.labels.entry(name.clone()).or_default();
            let mut wanted = expected.iter().filter(|one| one.client == *name).count();
            while wanted > 0 {
                let Came::Told(text) = client.next(labels, PATIENCE) else {
                    break;
                };
                wanted -= 1;
                told.push(Arrival {
                    client: name.clone(),
                    text,
                });
            }
        }
        for (name, client) in &mut self.clients {
            if client.closed || !client.accepted {
                continue;
            }
            // Whatever was under way comes before the answer.
            let labels = self.labels.entry(name.clone()).or_default();
            let mut ping = Vec::new();
            ack::encode_pingreq(&mut ping);
            client.send(&ping);
            while let Came::Told(text) = client.next(labels, PATIENCE) {
                told.push(Arrival {
                    client: name.clone(),
                    text,
                });
            }
        }
        sorted(told)
    }
}

/// Client by client; answers before messages, which may come in either order, and each in its own.
fn sorted(mut told: Vec<Arrival>) -> Vec<Arrival> {
    let rank = |text: &str| match text.split(' ').next() {
        Some("closed") => 2,
        Some("PUBLISH" | "PUBREL") => 1,
        _ => 0,
    };
    told.sort_by(|one, other| {
        let (left, right) = (rank(&one.text), rank(&other.text));
        (&one.client, left).cmp(&(&other.client, right))
    });
    told
}
