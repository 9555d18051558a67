//! The proof that nothing acknowledged is lost: real clients write to conversations and ordinary topics while the server
//! is killed with SIGKILL again and again; afterwards everything is counted. `MAGPIE_CRASH_ROUNDS` sets how often,
//! `MAGPIE_CRASH_SEED` replays a choice of moments.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod ledger;
mod reader;
mod stage;
mod verdict;
mod writer;

mod random;

use std::io::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use harness::{Launch, QoS, Server, Version};
use serde_json::json;

use ledger::{Ledger, Place};
use random::Random;
use reader::Reader;
use stage::{Round, Stage};
use writer::{Session, Writer};

const ROUNDS: u64 = 60;
/// Members of the group `eng`; alice and carol are in `ops` as well.
const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const TOPICS: [&str; 2] = ["plant/1", "plant/2"];

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let rounds = number("MAGPIE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("MAGPIE_CRASH_SEED").unwrap_or_else(random::seed);
    say(&format!(
        "seed {seed}; again: MAGPIE_CRASH_SEED={seed} MAGPIE_CRASH_ROUNDS={rounds} cargo test -p magpie --test crash"
    ));
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut server = Launch::new()
        .stable_ports()
        .argument("--allow-anonymous")
        .start();
    people(&server);

    let stage = Arc::new(Stage::new());
    let ledger = Arc::new(Ledger::default());
    let readers = readers(&server, &mut random);
    let readers: Vec<_> = readers
        .into_iter()
        .map(|(reader, ends)| reader.spawn(&stage, ends))
        .collect();
    let writers: Vec<JoinHandle<()>> = writers(&server)
        .into_iter()
        .map(|writer| writer.spawn(&stage, &ledger))
        .collect();

    for round in 1..=rounds {
        stage.open(Round::Busy(round));
        // Fewer than the writers have to write: it is killed in the middle of things.
        let acknowledgements = 1 + random.below(4 * writer::ROUND_MAX as u64);
        if !stage.acknowledged(acknowledgements) {
            panic!(
                "round {round}: {acknowledgements} acknowledgements did not come: {}",
                stage.describe()
            );
        }
        server.kill();
        stage.close();
        // The next machine may have more cores or fewer.
        let shards = 1 + random.below(3);
        std::fs::write(
            server.folder().join("magpie.toml"),
            format!("[mqtt]\nshards = {shards}\n"),
        )
        .unwrap();
        // A recovery may be cut off, too.
        match random.below(6) {
            0 => server.kill_while_starting(None),
            1 => server.kill_while_starting(Some("store open")),
            _ => {}
        }
        server.restart();
    }
    stage.open(Round::Last(rounds + 1));
    for writer in writers {
        writer
            .join()
            .expect("a writer saw what it must not see; its message stands above");
    }
    verdict::write_ends(&server);
    let seen: Vec<_> = readers
        .into_iter()
        .map(|reader| {
            reader
                .join()
                .expect("a reader saw what it must not see; its message stands above")
        })
        .collect();

    let ledger = ledger.close();
    let lengths = verdict::conversations(&server, &ledger);
    verdict::readers(&ledger, &lengths, &seen);
    say(&format!(
        "{rounds} rounds, {} messages acknowledged, {} sent, {} s",
        ledger.acknowledged.len(),
        ledger.sent.len(),
        begun.elapsed().as_secs()
    ));
}

/// Accounts, and the conversations between them.
fn people(server: &Server) {
    for name in ACCOUNTS {
        server.add_account(name);
    }
    let mut alice = server
        .dial(Version::V5, "alice", "setup")
        .connect()
        .unwrap();
    alice
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    for (slug, members) in [("eng", &ACCOUNTS[1..]), ("ops", &["carol"])] {
        let group = json!({"slug": slug, "title": slug, "members": members});
        let answer = alice.ask("group.create", slug, &group).unwrap();
        assert_eq!(answer["conv"], slug, "{answer}");
    }
    alice.disconnect();
}

/// Every version, QoS and kind of session that promises something.
fn writers(server: &Server) -> Vec<Writer> {
    let (eng, ops) = (Place::group("eng"), Place::group("ops"));
    let chat = |version, name: &str, qos, session, places: Vec<Place>| Writer {
        name: name.to_owned(),
        dial: server.dial(version, name, "writer"),
        qos,
        session,
        places,
    };
    let plant = |version, name: &str, qos| Writer {
        name: name.to_owned(),
        dial: server.dial(version, "dave", name),
        qos,
        session: Session::Persistent,
        places: TOPICS.map(Place::topic).to_vec(),
    };
    let direct = Place::direct;
    vec![
        chat(
            Version::V311,
            "alice",
            QoS::AtLeastOnce,
            Session::Clean,
            vec![direct("alice", "bob"), eng.clone(), ops.clone()],
        ),
        chat(
            Version::V5,
            "bob",
            QoS::ExactlyOnce,
            Session::Persistent,
            vec![direct("bob", "alice"), eng.clone()],
        ),
        chat(
            Version::V5,
            "carol",
            QoS::AtLeastOnce,
            Session::Clean,
            vec![direct("carol", "dave"), ops],
        ),
        chat(
            Version::V311,
            "dave",
            QoS::ExactlyOnce,
            Session::Persistent,
            vec![direct("dave", "carol"), eng],
        ),
        plant(Version::V311, "meter-3-1", QoS::AtLeastOnce),
        plant(Version::V311, "meter-3-2", QoS::ExactlyOnce),
        plant(Version::V5, "meter-5-1", QoS::AtLeastOnce),
        plant(Version::V5, "meter-5-2", QoS::ExactlyOnce),
    ]
}

/// Persistent sessions, made before anything is written, and how many places each reads.
fn readers(server: &Server, random: &mut Random) -> Vec<(Reader, usize)> {
    let plan = [
        (Version::V311, "bob", "plant-1", "plant/#", QoS::AtLeastOnce),
        (Version::V5, "bob", "plant-2", "plant/#", QoS::ExactlyOnce),
        (
            Version::V311,
            "carol",
            "inbox-1",
            "im/in/+",
            QoS::AtLeastOnce,
        ),
        (Version::V5, "dave", "inbox-2", "im/in/+", QoS::ExactlyOnce),
    ];
    plan.into_iter()
        .map(|(version, account, device, filter, qos)| {
            let dial = server.dial(version, account, device).persistent();
            let reader = Reader::subscribe(dial, account, filter, qos, random.fork());
            (reader, verdict::ends_of(account, filter))
        })
        .collect()
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is not a number")),
    )
}

/// Straight to standard error: a seed that the test runner keeps to itself helps nobody.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "crash: {text}");
}
