//! A full server that is killed, and ended in order: how long until it answers a CONNECT again, and that all is there.

use std::time::Instant;

use harness::Server;
use serde_json::{Value, json};

use crate::{fill, launch, process};

const MEGABYTE: f64 = 1_000_000.0;
/// Sessions that are looked at after each restart.
const LOOKED_AT: usize = 20;

pub(crate) fn measure(sessions: usize, messages_each: usize) -> Value {
    let mut server = launch().start();
    let begun = Instant::now();
    fill::sessions(server.mqtt(), sessions, topic);
    let sessions_s = begun.elapsed().as_secs_f64();
    let before = process::resident(server.program().pid());
    let messages = sessions * messages_each;
    let begun = Instant::now();
    fill::messages(server.mqtt(), messages, |number| topic(number % sessions));
    let messages_s = begun.elapsed().as_secs_f64();
    let full = process::resident(server.program().pid());

    server.kill();
    let killed_s = time_restart(&mut server);
    let killed_cpu_s = process::cpu_secs(server.program().pid());
    let restarted = process::resident(server.program().pid());
    check(&server, 1..=LOOKED_AT, messages_each);
    let (status, ending) = server.terminate();
    assert!(status.success(), "it ends in order: {status}");
    let terminated_s = time_restart(&mut server);
    check(&server, LOOKED_AT + 1..=2 * LOOKED_AT, messages_each);
    json!({
        "killed_s": killed_s,
        "killed_cpu_s": killed_cpu_s,
        "terminated_s": terminated_s,
        "ending_s": ending.as_secs_f64(),
        "rss_per_message": full.saturating_sub(before) as f64 / messages as f64,
        "rss_full_mb": full as f64 / MEGABYTE,
        "rss_restarted_mb": restarted as f64 / MEGABYTE,
        "fill_sessions_s": sessions_s,
        "fill_messages_s": messages_s,
    })
}

fn topic(session: usize) -> String {
    format!("inbox/{session}")
}

/// Seconds from the start of the program to the CONNACK of a session that was there before.
fn time_restart(server: &mut Server) -> f64 {
    let begun = Instant::now();
    server.restart();
    let client = fill::dial(server.mqtt(), 0)
        .connect()
        .expect("the server takes it");
    let took = begun.elapsed().as_secs_f64();
    assert!(client.session_present(), "the session is lost");
    took
}

/// These sessions get all that they were owed. They take it: each is looked at once.
fn check(server: &Server, numbers: impl Iterator<Item = usize>, messages_each: usize) {
    for number in numbers {
        let mut client = fill::dial(server.mqtt(), number)
            .connect()
            .expect("the server takes it");
        assert!(client.session_present(), "session {number} is lost");
        for _ in 0..messages_each {
            let message = client.receive().expect("the server stays");
            assert_eq!(message.topic, topic(number));
        }
        client.disconnect();
    }
}
