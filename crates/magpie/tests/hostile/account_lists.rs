//! A member who asks for the list of accounts as fast as it can, on a server with thousands of them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{PATIENCE, Server, connect_from, http_post, password};
use records::{Account, AccountId, AccountName, Millis, Role, Write, key};
use serde_json::{Value, json};
use store::{Batch, DataDir, EmbeddedStore, Holder, OpenOptions, Store as _};

use crate::crowd::turn;
use crate::pair::Pair;

/// Accounts beside those that talk.
const ACCOUNTS: u64 = 3_000;
/// Connections that ask, each again as soon as it is answered.
const CONNECTIONS: u8 = 16;
/// How long they do.
const FLOOD: Duration = Duration::from_secs(4);

/// Written where the server keeps them: hashing so many passwords would take minutes.
fn fill(server: &Server) {
    let directory = DataDir::open(&server.data(), Holder::this_process(Millis::ZERO)).unwrap();
    let store = EmbeddedStore::open(&directory, OpenOptions::default()).unwrap();
    let account = |number: u64| Account {
        name: AccountName::parse(&format!("member{number:05}")).unwrap(),
        display: format!("Member Number {number}"),
        role: Role::Member,
        password: None,
        disabled: false,
        removed: false,
        created: Millis::ZERO,
        profile_text: String::new(),
        scram: None,
    };
    let writes = (0..ACCOUNTS).map(|number| Write::Put {
        key: key::account(AccountId::new(1_000 + number)),
        value: account(number).encode(),
    });
    let batch = Batch {
        writes: writes.collect(),
        ..Batch::default()
    };
    store.commit(batch).unwrap();
}

/// Asks on a connection that is kept; the status of each answer.
fn ask_on(http: SocketAddr, number: u8) -> impl FnMut(&str, &str) -> (u16, Value) {
    let mut stream = BufReader::new(connect_from(number, http).unwrap());
    move |path, token| {
        let question = format!(
            "GET /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.get_mut().write_all(question.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn token(server: &Server, name: &str) -> String {
    let body = json!({"name": name, "password": password(name)});
    let login = http_post(server.http(), "/api/v1/login", &body).unwrap();
    let told: Value = serde_json::from_str(&login.body).unwrap();
    told["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_flood_of_lists_of_accounts_slows_nobody_and_is_refused() {
    let _turn = turn();
    let mut server = Server::start();
    for name in ["alice", "bob", "mallory"] {
        server.add_account(name);
    }
    assert!(server.terminate().0.success());
    fill(&server);
    server.restart();
    let greedy = token(&server, "mallory");
    let other = token(&server, "alice");
    // Everybody is found, page by page.
    let mut ask = ask_on(server.http(), 1);
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = ask(&format!("accounts?limit=200&after={after}"), &other);
        assert_eq!(status, 200, "{page}");
        let found = page["accounts"].as_array().unwrap();
        names.extend(
            found
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names.len() as u64, 3 + ACCOUNTS);
    assert!(names.is_sorted());

    let pair = Pair::start(&server);
    let stop = Arc::new(AtomicBool::new(false));
    let (answered, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let askers: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let mut ask = ask_on(server.http(), 10 + number);
            let (stop, token) = (stop.clone(), greedy.clone());
            let (answered, refused) = (answered.clone(), refused.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Nobody is found, so that all are looked at.
                    let (status, told) = ask("accounts?limit=200&q=number%20x", &token);
                    match status {
                        200 => answered.fetch_add(1, Ordering::Relaxed),
                        429 => refused.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{status} {told}"),
                    };
                }
            })
        })
        .collect();
    while begun.elapsed() < FLOOD || refused.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < PATIENCE, "nobody is refused");
        thread::sleep(Duration::from_millis(50));
    }
    // Somebody else is not kept from it.
    let (status, page) = ask("accounts?q=NUMBER%202999", &other);
    assert_eq!(
        (status, &page["accounts"][0]["name"]),
        (200, &json!("member02999"))
    );
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.join().unwrap();
    }
    // A hundred at once, and ten a second.
    let allowed = 101 + usize::try_from(begun.elapsed().as_millis()).unwrap() / 100;
    let (answered, refused) = (
        answered.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
    );
    pair.check(&format!(
        "{answered} searches through {ACCOUNTS} accounts and {refused} refused ones"
    ));
    assert!(
        answered <= allowed,
        "{answered} answered, {allowed} allowed"
    );
    assert_eq!(
        server.metric("magpie_account_lists_refused_total", ""),
        refused as u64
    );
}
