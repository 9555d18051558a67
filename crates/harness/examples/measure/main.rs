//! Measures what a load generator cannot, because the server has to be filled, killed and started again, or looked at from
//! outside. Starts servers of its own on core 0 (`MAGPIE_BIN` names the program) and prints one JSON object.
//!
//!     measure once
//!     measure restart [--sessions 100000] [--msgs 10]
//!     measure garbage [--connections 10000] [--secs 10]

mod fill;
mod garbage;
mod once;
mod process;
mod restart;

use std::collections::BTreeMap;

use harness::Launch;

fn main() {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_default();
    let mut options = Options::read(words);
    let report = match what.as_str() {
        "once" => once::measure(),
        "restart" => restart::measure(
            options.take("--sessions", 100_000),
            options.take("--msgs", 10),
        ),
        "garbage" => garbage::measure(
            options.take("--connections", 10_000),
            options.take("--secs", 10),
        ),
        other => panic!("once, restart or garbage, not {other:?}"),
    };
    options.end();
    println!("{report}");
}

/// The server as it comes, with ordinary topics open to all, on a core that the generator leaves alone.
fn launch() -> Launch {
    Launch::new()
        .argument("--allow-anonymous")
        .keeps_addresses()
        .under(&["taskset", "-c", "0"])
}

/// `--name number`, each at most once.
struct Options(BTreeMap<String, usize>);

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Self {
        let mut options = BTreeMap::new();
        while let Some(name) = words.next() {
            let value = words
                .next()
                .unwrap_or_else(|| panic!("{name} needs a value"));
            let number = value.parse();
            options.insert(
                name,
                number.unwrap_or_else(|_| panic!("not a number: {value}")),
            );
        }
        Self(options)
    }

    fn take(&mut self, name: &str, default: usize) -> usize {
        self.0.remove(name).unwrap_or(default)
    }

    fn end(self) {
        assert!(self.0.is_empty(), "unknown: {:?}", self.0);
    }
}
