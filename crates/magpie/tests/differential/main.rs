//! The same exchanges with Debian's mosquitto and with Magpie, packet by packet. What arrives is written in
//! `exchanges/*.txt`, and where the two differ, so is the clause of the specification that allows or demands it: a
//! difference that is not declared fails, and so does a declared one that is none.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod client;
mod command;
mod run;
mod script;
mod servers;
mod told;

use std::path::{Path, PathBuf};

use script::{Exchange, Which};
use servers::Peer;

/// With `UPDATE_EXCHANGES=1` the files are written anew from what arrives.
fn is_update() -> bool {
    std::env::var_os("UPDATE_EXCHANGES").is_some()
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/exchanges");
    folder.join(format!("{name}.txt"))
}

/// Every exchange of a file, each with new servers.
fn check(name: &str) {
    let path = file(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut exchanges = script::parse(&text);
    if !servers::are_there(&format!("differential: {name}")) {
        return;
    }
    if is_update() {
        for exchange in &mut exchanges {
            let told = [Which::Mosquitto, Which::Magpie].map(|which| {
                let peer = Peer::start(which);
                run::record(exchange, &peer)
            });
            exchange.merge(told);
        }
        std::fs::write(&path, script::write(&exchanges)).unwrap();
        return;
    }
    let mut wrong: Vec<String> = Vec::new();
    for exchange in &exchanges {
        wrong.extend(exchange.check_declared());
        for which in [Which::Mosquitto, Which::Magpie] {
            wrong.extend(check_with(exchange, which));
        }
    }
    assert!(wrong.is_empty(), "{name}.txt:\n{}", wrong.join("\n"));
}

fn check_with(exchange: &Exchange, which: Which) -> Option<String> {
    let peer = Peer::start(which);
    run::compare(exchange, which, &peer).err()
}

#[test]
fn connecting() {
    check("connecting");
}

#[test]
fn publishing() {
    check("publishing");
}

#[test]
fn subscribing() {
    check("subscribing");
}

#[test]
fn retained() {
    check("retained");
}

#[test]
fn sessions() {
    check("sessions");
}

#[test]
fn wills() {
    check("wills");
}

#[test]
fn refusals() {
    check("refusals");
}

#[test]
fn there_are_more_than_sixty_exchanges() {
    let folder = file("connecting").parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap();
    let exchanges: usize = files
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .map(|text| script::parse(&text).len())
        .sum();
    assert!(exchanges > 60, "{exchanges}");
}
