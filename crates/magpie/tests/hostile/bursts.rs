//! What a burst takes of memory comes back when it is over.

use harness::{Burst, Launch, Version};

use crate::crowd::turn;

#[test]
fn what_a_burst_took_comes_back_within_a_minute() {
    let _turn = turn();
    let server = Launch::new().argument("--allow-anonymous").start();
    server.add_account("alice");
    let burst = Burst::measure(&server, server.dial(Version::V5, "alice", "p"));
    println!("hostile  a burst: {burst}");
}
