//! An account that takes whatever the server gives: lasting sessions, filters, retained messages, room in conversations. It comes to
//! the end of its own share, and everybody else finds room.

use harness::{Client, ClientError, Launch, QoS, Server, Version};

use crate::crowd::turn;
use crate::pair::Pair;

const CONFIG: &str = r##"
[mqtt]
sessions_per_account_max = 20
filter_bytes_per_account_max = 262144
retained_messages_max = 4000
retained_bytes_max = 4194304
[chat]
messages_per_second_max = 1000
messages_burst_max = 10000
stored_bytes_per_account_max = 1048576
[[acl]]
allow = "all"
who = "mallory"
filter = "#"
[[acl]]
allow = "all"
who = "carol"
filter = "#"
"##;

/// One filter of 4 KB, each time another.
fn filter(number: usize) -> String {
    format!("{number:08}/{}", "f".repeat(4_000))
}

/// As many filters as it is granted, in as many lasting sessions as it is given; how many.
fn take_filters(server: &Server) -> (Vec<Client>, usize) {
    let (mut sessions, mut filters) = (Vec::new(), 0);
    loop {
        let client_id = format!("session{}", sessions.len());
        let dial = server.dial(Version::V5, "mallory", &client_id).persistent();
        let mut client = match dial.connect() {
            Ok(client) => client,
            Err(ClientError::Refused(0x97)) => return (sessions, filters),
            Err(other) => panic!("{other:?}"),
        };
        for number in 0..100 {
            let text = filter(100 * sessions.len() + number);
            match client
                .subscribe(&[(text.as_str(), QoS::AtLeastOnce)])
                .unwrap()[..]
            {
                [1] => filters += 1,
                [0x97] => break,
                ref other => panic!("{other:?}"),
            }
        }
        sessions.push(client);
    }
}

/// Publishes retained messages until one is refused; how many were taken.
fn retain(client: &mut Client, bytes: usize) -> usize {
    for number in 0.. {
        let topic = format!("retained/{number}");
        match client.retain(&topic, "x".repeat(bytes), QoS::AtLeastOnce) {
            Ok(0 | 0x10) => {}
            Ok(0x97) => return number,
            other => panic!("{other:?}"),
        }
    }
    unreachable!("there is a limit")
}

#[test]
fn a_greedy_account_comes_to_the_end_of_its_share_and_takes_nobody_elses() {
    let _turn = turn();
    let mut server = Launch::new().config(CONFIG).start();
    for name in ["alice", "bob", "carol", "mallory"] {
        server.add_account(name);
    }
    let pair = Pair::start(&server);
    // Connected sessions are not ended for more: the next is refused.
    let (sessions, filters) = take_filters(&server);
    assert_eq!(sessions.len(), 20);
    // 256 KiB, and 4 KiB of each session beside them.
    assert!((60..=85).contains(&filters), "{filters}");
    let mut greedy = server
        .dial(Version::V5, "mallory", "greedy")
        .connect()
        .unwrap();
    let retained = retain(&mut greedy, 1_000);
    assert!(
        (1_700..=1_900).contains(&retained),
        "{retained}: half of 4 MiB"
    );
    let mut sent = 0;
    let refused = loop {
        let reason = greedy.publish("im/to/@carol", "x".repeat(10_000), QoS::AtLeastOnce);
        match reason {
            Ok(0) => sent += 1,
            other => break other,
        }
    };
    assert_eq!(
        (sent, refused),
        (102, Ok(0x97)),
        "1 MiB of 10,256 bytes each"
    );

    check_others(&server, &mut greedy, "before");
    pair.check("an account that takes all it is given");
    // What everybody has is known after a restart.
    drop((greedy, sessions));
    assert!(server.terminate().0.success());
    server.restart();
    let mut greedy = server
        .dial(Version::V5, "mallory", "greedy")
        .connect()
        .unwrap();
    check_others(&server, &mut greedy, "after");
}

/// The greedy account gets no more, and another all it needs.
fn check_others(server: &Server, greedy: &mut Client, name: &str) {
    let large = "x".repeat(10_000);
    let said = greedy.publish("im/to/@carol", large, QoS::AtLeastOnce);
    assert_eq!(said, Ok(0x97));
    let kept = greedy.retain("one more", "x".repeat(1_000), QoS::AtLeastOnce);
    assert_eq!(kept, Ok(0x97));

    let mut carol = server
        .dial(Version::V5, "carol", name)
        .persistent()
        .connect()
        .unwrap();
    let long = filter(1);
    let granted = carol.subscribe(&[(long.as_str(), QoS::AtLeastOnce)]);
    assert_eq!(granted.unwrap(), [1]);
    let topic = format!("carol/{name}");
    let kept = carol.retain(&topic, "x".repeat(1_000), QoS::AtLeastOnce);
    assert!(matches!(kept, Ok(0 | 0x10)), "{kept:?}");
    let said = carol.publish("im/to/@mallory", "mine", QoS::AtLeastOnce);
    assert_eq!(said, Ok(0));
}
