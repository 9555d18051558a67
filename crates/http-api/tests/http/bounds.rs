//! What an unauthenticated client may cost: bodies, headers, time, connections; and the end of the server.

use std::time::{Duration, Instant};

use server::config::HttpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{PATIENCE, answer, metric, whole, world, world_with};

#[tokio::test]
async fn a_body_too_large_is_refused_announced_or_not() {
    let world = world_with(HttpConfig {
        body_bytes_max: 1024,
        ..HttpConfig::default()
    })
    .await;
    let host = world.address;
    let start = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    );
    let announced = format!(
        "{start}Content-Length: 99999999\r\n\r\n{}",
        "x".repeat(2000)
    );
    world
        .raw(announced)
        .await
        .check_refusal(413, "body_too_large");
    let chunked = format!(
        "{start}Transfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n",
        "x".repeat(2000)
    );
    world
        .raw(chunked)
        .await
        .check_refusal(413, "body_too_large");
}

#[tokio::test]
async fn a_header_too_large_is_refused() {
    let world = world().await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let mut stream = world.connect().await;
    // The server may close before it has read all of it.
    let _ = stream.write_all(long.as_bytes()).await;
    assert_eq!(answer(&mut stream).await.status, 431);
    let many: String = (0..1000).map(|index| format!("X-{index}: 1\r\n")).collect();
    assert_eq!(
        world
            .raw(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"))
            .await
            .status,
        431
    );
    let series = "magpie_http_refused_total{code=\"header_too_large\"}";
    let mut observer = world.connect().await;
    assert_eq!(metric(&mut observer, series).await, 2);
}

/// A request whose header is exactly so many bytes long.
fn header_of(bytes: usize) -> String {
    let around = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: \r\n\r\n".len();
    let long = "x".repeat(bytes - around);
    format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n")
}

#[tokio::test]
async fn a_header_is_refused_from_the_first_byte_beyond_the_limit() {
    const MAXIMUM: usize = 32_768;
    let world = world().await;
    assert_eq!(HttpConfig::default().header_bytes_max, MAXIMUM);
    let series = "magpie_http_refused_total{code=\"header_too_large\"}";
    let mut observer = world.connect().await;
    // Also behind another request, and behind one with a body.
    for before in [
        "",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        for (bytes, status) in [
            (MAXIMUM, 200),
            (MAXIMUM + 1, 431),
            (MAXIMUM + 2, 431),
            (40_000, 431),
        ] {
            let refused = metric(&mut observer, series).await;
            let mut stream = world.connect().await;
            let request = before.to_owned() + &header_of(bytes);
            // The server may close before it has read all of it.
            let _ = stream.write_all(request.as_bytes()).await;
            if !before.is_empty() {
                answer(&mut stream).await;
            }
            let told = answer(&mut stream).await.status;
            assert_eq!(told, status, "{bytes} behind {before:?}");
            let counted = metric(&mut observer, series).await - refused;
            assert_eq!(counted, u64::from(status == 431), "{bytes}");
        }
    }
}

#[tokio::test]
async fn a_header_that_reaches_the_limit_without_an_end_is_refused_at_once() {
    let world = world().await;
    let mut stream = world.connect().await;
    let request = header_of(32_768);
    stream
        .write_all(&request.as_bytes()[..32_766])
        .await
        .unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut byte)).await;
    assert!(early.is_err(), "answered though the header may still end");
    // Two more that do not end it.
    stream.write_all(b"xx").await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 431);
}

#[tokio::test]
async fn a_request_that_does_not_name_one_host_is_refused() {
    let world = world().await;
    let series = "magpie_http_refused_total{code=\"bad_host\"}";
    let mut observer = world.connect().await;
    let mut expected = 0;
    for path in [
        "/",
        "/healthz",
        "/metrics",
        "/mqtt",
        "/api/v1/server",
        "/no/such",
    ] {
        for hosts in [
            "",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost\r\nHost: y\r\n",
            "Host: a b\r\n",
            "Host: root@x\r\n",
            "Host: x/y\r\n",
        ] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            world.raw(request).await.check_refusal(400, "bad_host");
            expected += 1;
        }
    }
    assert_eq!(metric(&mut observer, series).await, expected);
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(world.raw(old).await.status, 200);
    let old = "GET /healthz HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n";
    world.raw(old).await.check_refusal(400, "bad_host");
    for host in ["", "localhost", "magpie.test:8080", "[::1]:80", "127.0.0.1"] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(world.raw(request).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_header_may_be_as_large_as_the_operator_says() {
    let world = world_with(HttpConfig {
        header_bytes_max: 128 * 1024,
        ..HttpConfig::default()
    })
    .await;
    let long = format!("X-Long: {}\r\n", "x".repeat(64 * 1024));
    assert_eq!(world.get("/healthz", &long).await.status, 200);
}

#[tokio::test]
async fn a_header_that_does_not_end_ends_the_connection() {
    let world = world_with(HttpConfig {
        header_timeout: Duration::from_millis(200),
        ..HttpConfig::default()
    })
    .await;
    for begun in ["", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let started = Instant::now();
        let mut stream = world.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let said = whole(&mut stream).await;
        assert!(!said.contains("200"), "{said}");
        assert!(
            started.elapsed() >= Duration::from_millis(150),
            "closed before its time: {:?}",
            started.elapsed()
        );
    }
    // Between two requests of one connection the same holds.
    let mut stream = world.connect().await;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.status, 200);
    assert_eq!(whole(&mut stream).await, "");
    let mut observer = world.connect().await;
    for (waited_for, expected) in [("handshake", 0), ("first", 2), ("next", 1)] {
        let series = format!("magpie_http_header_timeouts_total{{waited_for=\"{waited_for}\"}}");
        assert_eq!(
            metric(&mut observer, &series).await,
            expected,
            "{waited_for}"
        );
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_the_health_check_is_answered() {
    let world = world_with(HttpConfig {
        connections_max: 2,
        connections_per_address_max: 2,
        ..HttpConfig::default()
    })
    .await;
    let health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (mut first, second) = (world.connect().await, world.connect().await);
    first.write_all(health).await.unwrap();
    assert_eq!(answer(&mut first).await.status, 200);

    let third = world.get("/healthz", "").await;
    assert_eq!(third.status, 200);
    let fourth = world.get("/api/v1/server", "").await;
    assert_eq!(fourth.header("retry-after"), Some("1"));
    fourth.check_refusal(503, "too_many_connections");
    let series = "magpie_http_connections_refused_total{limit=\"server\"}";
    assert_eq!(metric(&mut first, series).await, 2);

    // Those that say nothing give way to whoever comes.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(world.connect().await);
    }
    assert_eq!(world.get("/healthz", "").await.status, 200);
    drop(second);
    let deadline = Instant::now() + PATIENCE;
    while world.get("/api/v1/server", "").await.status != 200 {
        assert!(Instant::now() < deadline, "the place is not given again");
    }
}

#[tokio::test]
async fn one_address_has_half_of_the_places() {
    let world = world_with(HttpConfig {
        connections_max: 4,
        ..HttpConfig::default()
    })
    .await;
    let mut first = world.connect().await;
    let _second = world.connect().await;
    let refused = world.get("/api/v1/server", "").await;
    refused.check_refusal(503, "too_many_connections");
    let series = "magpie_http_connections_refused_total{limit=\"address\"}";
    assert_eq!(metric(&mut first, series).await, 1);
}

#[tokio::test]
async fn who_asks_and_does_not_read_loses_its_connection() {
    let world = world_with(HttpConfig {
        connections_max: 2,
        write_timeout: Duration::from_millis(300),
        ..HttpConfig::default()
    })
    .await;
    let mut deaf = world.connect().await;
    // What does not fit any more is not asked.
    let questions = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20_000);
    let asked = tokio::spawn(async move {
        let _ = deaf.write_all(questions.as_bytes()).await;
        deaf
    });
    let deadline = Instant::now() + PATIENCE;
    while world.get("/api/v1/server", "").await.status != 200 {
        assert!(Instant::now() < deadline, "it is not closed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _deaf = asked.await.unwrap();
    let mut observer = world.connect().await;
    assert_eq!(
        metric(&mut observer, "magpie_http_write_timeouts_total").await,
        1
    );
}

#[tokio::test]
async fn random_bytes_get_a_refusal_and_disturb_nobody() {
    let world = world().await;
    let mut bytes = Vec::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..4096 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.push(state.to_be_bytes()[0]);
    }
    let connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
    for start in [
        &bytes[..],
        connect,
        b"\x16\x03\x01\x02\x00\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\n",
    ] {
        let mut stream = world.connect().await;
        stream.write_all(start).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        // A connection reset is a clear answer to bytes that nobody has read.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said))
            .await
            .expect("the connection ends");
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 400"),
            "{said}"
        );
    }
    assert_eq!(world.get("/healthz", "").await.status, 200);
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_takes_no_new_ones() {
    let world = world().await;
    let mut idle = world.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut idle).await.status, 200);
    world.stop.send(()).unwrap();
    assert_eq!(whole(&mut idle).await, "");
    tokio::time::timeout(PATIENCE, world.ended)
        .await
        .expect("the server ends")
        .unwrap();
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
}
