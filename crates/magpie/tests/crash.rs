//! The proof that nothing acknowledged is lost: real clients write to conversations and ordinary topics while the server
//! is killed with SIGKILL again and again; afterwards everything is counted. `MAGPIE_CRASH_ROUNDS` sets how often,
//! `MAGPIE_CRASH_SEED` replays a choice of moments.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use harness::Launch;
use harness::proof::{self, Crew, Ledger, Random, Round, Stage, Wills};

const ROUNDS: u64 = 60;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let rounds = proof::number("MAGPIE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = proof::number("MAGPIE_CRASH_SEED").unwrap_or_else(proof::seed);
    say(&format!(
        "seed {seed}; again: MAGPIE_CRASH_SEED={seed} MAGPIE_CRASH_ROUNDS={rounds} cargo test -p magpie --test crash"
    ));
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut server = Launch::new()
        .keeps_addresses()
        .argument("--allow-anonymous")
        .start();
    proof::people(&server);

    let stage = Arc::new(Stage::new());
    let ledger = Arc::new(Ledger::default());
    let readers = proof::readers(&server, &mut random);
    let readers: Vec<_> = readers
        .into_iter()
        .map(|(reader, ends)| reader.spawn(&stage, ends))
        .collect();
    let crews: Vec<_> = Crew::gather(&server, &mut random)
        .into_iter()
        .map(|crew| crew.spawn(&stage))
        .collect();
    let mut wills = Wills::watch(&server);
    let writers: Vec<JoinHandle<()>> = proof::writers(&server)
        .into_iter()
        .map(|writer| writer.spawn(&stage, &ledger))
        .collect();

    for round in 1..=rounds {
        stage.open(Round::Busy(round));
        let mortals = wills.leave(&server, round);
        // Fewer than the writers have to write: it is killed in the middle of things.
        let acknowledgements = 1 + random.below(4 * proof::ROUND_MAX as u64);
        if !stage.acknowledged(acknowledgements) {
            panic!(
                "round {round}: {acknowledgements} acknowledgements did not come: {}",
                stage.describe()
            );
        }
        server.kill();
        stage.close();
        drop(mortals);
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
    proof::write_ends(&server);
    let seen: Vec<_> = readers
        .into_iter()
        .map(|reader| {
            reader
                .join()
                .expect("a reader saw what it must not see; its message stands above")
        })
        .collect();

    let ledger = ledger.close();
    let lengths = proof::conversations(&server, &ledger);
    proof::judge_readers(&ledger, &lengths, &seen);
    for crew in crews {
        crew.judge(&ledger);
    }
    wills.judge();
    say(&format!(
        "{rounds} rounds, {} messages acknowledged, {} sent, {} s",
        ledger.acknowledged.len(),
        ledger.sent.len(),
        begun.elapsed().as_secs()
    ));
}

/// Straight to standard error: a seed that the test runner keeps to itself helps nobody.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "crash: {text}");
}
