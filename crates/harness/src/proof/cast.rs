//! Who takes part: accounts, conversations and topics, and writers and readers of every version, QoS and kind of session
//! that promises something.

use serde_json::json;

use super::ledger::{Place, TOPICS};
use super::random::Random;
use super::reader::Reader;
use super::writer::{Session, Writer};
use crate::{QoS, Server, Version};

/// Members of the group `eng`; alice and carol are in `ops` as well.
const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Accounts, and the conversations between them.
pub fn people(server: &Server) {
    for name in ACCOUNTS {
        server.add_account(name);
    }
    let mut alice = server
        .dial(Version::V5, "alice", "setup")
        .connect()
        .expect("the server stays");
    alice
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .expect("the server stays");
    for (slug, members) in [("eng", &ACCOUNTS[1..]), ("ops", &["carol"])] {
        let group = json!({"slug": slug, "title": slug, "accounts": members});
        let answer = alice
            .ask("group.create", slug, &group)
            .expect("the server stays");
        assert_eq!(answer["conv"], slug, "{answer}");
    }
    alice.disconnect();
}

/// Every version, QoS and kind of session that promises something.
pub fn writers(server: &Server) -> Vec<Writer> {
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
pub fn readers(server: &Server, random: &mut Random) -> Vec<(Reader, usize)> {
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
            (reader, ends_of(account, filter))
        })
        .collect()
}

/// How many ends a reader has to come to.
fn ends_of(account: &str, filter: &str) -> usize {
    if filter.starts_with("plant/") {
        return TOPICS.len();
    }
    match account {
        "alice" | "carol" => 3,
        _ => 2,
    }
}
