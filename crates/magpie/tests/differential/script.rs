//! Exchanges as text, and back. A line at the margin is what a client does; indented lines are what arrives because of
//! it: `a: …` from both servers, `mosquitto a: …` or `magpie a: …` from one, with a `why: …` that names the clause.

use std::fmt::Write as _;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Mosquitto,
    Magpie,
}

/// Something that arrived at a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) client: String,
    pub(crate) text: String,
}

/// A line of what must arrive; `None` from both.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    from: Option<Which>,
    arrival: Arrival,
}

/// What a client does and what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) command: String,
    expected: Vec<Expected>,
    why: Option<String>,
    comments: Vec<String>,
}

/// Steps that begin with empty servers.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn parse(text: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut comments = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with('#') {
            comments.push(line.to_owned());
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            exchanges.push(Exchange {
                title: title.to_owned(),
                steps: Vec::new(),
            });
            continue;
        }
        let exchange = exchanges.last_mut().expect("a title comes first");
        if let Some(indented) = line.strip_prefix("  ") {
            let step = exchange.steps.last_mut().expect("a step comes first");
            step.add(indented.trim(), number);
        } else {
            exchange.steps.push(Step {
                line: number,
                command: line.to_owned(),
                comments: std::mem::take(&mut comments),
                ..Step::default()
            });
        }
    }
    exchanges
}

/// The file with these exchanges.
pub(crate) fn write(exchanges: &[Exchange]) -> String {
    let mut text = String::new();
    for exchange in exchanges {
        let _ = writeln!(text, "== {}", exchange.title);
        for step in &exchange.steps {
            for comment in &step.comments {
                let _ = writeln!(text, "{comment}");
            }
            let _ = writeln!(text, "{}", step.command);
            for expected in &step.expected {
                let from = match expected.from {
                    None => "",
                    Some(Which::Mosquitto) => "mosquitto ",
                    Some(Which::Magpie) => "magpie ",
                };
                let Arrival { client, text: told } = &expected.arrival;
                let _ = writeln!(text, "  {from}{client}: {told}");
            }
            if let Some(why) = &step.why {
                let _ = writeln!(text, "  why: {why}");
            }
        }
        text.push('\n');
    }
    text
}

impl Step {
    fn add(&mut self, line: &str, number: usize) {
        let (head, told) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("line {number}: who, then what: {line}"));
        if head == "why" {
            self.why = Some(told.to_owned());
            return;
        }
        let (from, client) = match head.split_once(' ') {
            None => (None, head),
            Some(("mosquitto", client)) => (Some(Which::Mosquitto), client),
            Some(("magpie", client)) => (Some(Which::Magpie), client),
            Some(_) => panic!("line {number}: no such server: {line}"),
        };
        self.expected.push(Expected {
            from,
            arrival: Arrival {
                client: client.to_owned(),
                text: told.to_owned(),
            },
        });
    }

    /// What must arrive from a server, client by client.
    pub(crate) fn expected(&self, which: Which) -> Vec<Arrival> {
        let those = self.expected.iter();
        let those = those.filter(|expected| expected.from.is_none_or(|from| from == which));
        those.map(|expected| expected.arrival.clone()).collect()
    }

    fn differs(&self) -> bool {
        self.expected.iter().any(|expected| expected.from.is_some())
    }

    /// What each server sent, written as what must arrive.
    fn merge(&mut self, mosquitto: &[Arrival], magpie: &[Arrival]) {
        self.expected.clear();
        let mut clients: Vec<&String> = mosquitto
            .iter()
            .chain(magpie)
            .map(|one| &one.client)
            .collect();
        clients.sort();
        clients.dedup();
        for client in clients {
            let of = |told: &[Arrival]| -> Vec<Arrival> {
                told.iter()
                    .filter(|one| one.client == *client)
                    .cloned()
                    .collect()
            };
            let (one, other) = (of(mosquitto), of(magpie));
            let sides = if one == other {
                vec![(None, one)]
            } else {
                vec![(Some(Which::Mosquitto), one), (Some(Which::Magpie), other)]
            };
            for (from, told) in sides {
                let told = told.into_iter();
                self.expected
                    .extend(told.map(|arrival| Expected { from, arrival }));
            }
        }
        match self.differs() {
            true => drop(self.why.get_or_insert_with(|| "?".to_owned())),
            false => self.why = None,
        }
    }
}

impl Exchange {
    /// Takes what the two servers sent in each step for what must arrive.
    pub(crate) fn merge(&mut self, told: [Vec<Vec<Arrival>>; 2]) {
        let [mosquitto, magpie] = told;
        for (step, (one, other)) in self.steps.iter_mut().zip(mosquitto.iter().zip(&magpie)) {
            step.merge(one, other);
        }
    }

    /// Differences without a clause, and clauses without a difference.
    pub(crate) fn check_declared(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for step in &self.steps {
            let at = format!("line {}: {}", step.line, step.command);
            let named = step.why.as_ref().map(|why| names_a_clause(why));
            match (step.differs(), named) {
                (true, Some(true)) | (false, None) => {}
                (true, _) => wrong.push(format!("{at}: the difference needs a clause")),
                (false, Some(_)) => wrong.push(format!("{at}: there is no difference")),
            }
            let same = step.expected(Which::Mosquitto) == step.expected(Which::Magpie);
            if step.differs() && same {
                wrong.push(format!("{at}: the difference is none"));
            }
        }
        wrong
    }
}

/// A statement such as `[5 MQTT-3.3.2-4]`, or a section of the specification such as `5 section 3.1.2.11`.
fn names_a_clause(why: &str) -> bool {
    why.contains("[5 MQTT-") || why.contains("[3.1.1 MQTT-") || why.contains(" section ")
}
