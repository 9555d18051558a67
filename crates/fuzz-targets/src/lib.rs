//! What each fuzz target does with its bytes: one function per target, which panics when something that must hold does
//! not. libFuzzer calls them from `fuzz/`, the tests here with the committed corpora; neither knows what is in them.

mod allocations;
mod feed;
mod naive;
mod packets;

mod decoder;
mod session;

mod retained;
mod shared;
mod subscriptions;
mod topics;

mod shards;

#[cfg(feature = "configuration")]
mod configuration;
mod messenger;

mod wire;

mod proxy;
mod websocket;

mod login;

mod values;

mod stored;

mod seeds;

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its corpus folder and of its program.
    pub name: &'static str,
    /// Tries one input; a panic is a finding.
    pub run: fn(&[u8]),
    /// Inputs written by hand, from which the corpus grew.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("decoder", decoder::run, seeds::decoder),
    target("session", session::run, seeds::decisions),
    target("topics", topics::run, seeds::topics),
    target("subscriptions", subscriptions::run, seeds::decisions),
    target("shared", shared::run, seeds::decisions),
    target("retained", retained::run, seeds::decisions),
    target("shards", shards::run, seeds::shards),
    target("damage", shards::damage::run, seeds::damage),
    target("messenger", messenger::run, seeds::messenger),
    target("losses", messenger::damage::run, seeds::losses),
    target(
        "websocket",
        websocket::run,
        seeds::unauthenticated::websocket,
    ),
    target("proxy", proxy::run, seeds::unauthenticated::proxy),
    target("scram", login::run, seeds::unauthenticated::scram),
    target("records", values::run, seeds::rows::records),
    target("stored", stored::run, stored::seeds),
    #[cfg(feature = "configuration")]
    target("configuration", configuration::run, seeds::configuration),
];

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// Tries one input with the target of this name.
///
/// # Panics
/// When the input is a finding, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no target is named {name}"));
    (target.run)(bytes);
}
