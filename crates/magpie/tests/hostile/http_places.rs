//! HTTP connections of one address that ask and do not read, as many as it gets: others are served, and the health check answers.

use std::io::Write as _;
use std::time::{Duration, Instant};

use harness::{Launch, PATIENCE, connect_from, http_get, raise_descriptors};

use crate::crowd::turn;
use crate::pair::Pair;

/// Of which the server lets 300 in.
const CONNECTIONS: usize = 1_500;

#[test]
fn who_does_not_read_keeps_nobody_from_being_served() {
    let _turn = turn();
    raise_descriptors();
    let server = Launch::new()
        .config("[http]\nconnections_max = 600\nwrite_timeout_secs = 5\n")
        .start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let pair = Pair::start(&server);
    let question = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(60);
    let mut deaf = Vec::new();
    for number in 0..CONNECTIONS {
        let Ok(mut stream) = connect_from(9, server.http()) else {
            continue;
        };
        stream
            .set_write_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        // A part of it is as good.
        let _ = stream.write(&question);
        deaf.push(stream);
        if number % 150 == 0 {
            let begun = Instant::now();
            assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
            let answer = http_get(server.http(), "/api/v1/server").unwrap();
            assert_eq!(answer.status, 200, "another address is kept out");
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{:?}",
                begun.elapsed()
            );
        }
    }
    assert!(server.metric("magpie_http_connections_refused_total", "address") > 0);
    // The one who did not read is not asked to leave before its time, but then it goes.
    let begun = Instant::now();
    while server.metric("magpie_connection_descriptors", "") > 10 {
        assert!(begun.elapsed() < PATIENCE, "they are still there");
        std::thread::sleep(Duration::from_millis(100));
    }
    pair.check("1,500 HTTP connections that do not read");
}
