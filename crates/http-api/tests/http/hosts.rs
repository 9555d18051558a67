//! Which hosts a request may name: a page of another site whose name leads here reads nothing.

use server::config::HttpConfig;

use crate::world::{World, answer, metric, world, world_with};
use tokio::io::AsyncWriteExt;

const ROUTES: [&str; 8] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/mqtt",
    "/api/v1/server",
    "/api/v1/nothing",
    "/assets/nothing.js",
];
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n";

async fn check_unknown(world: &World, target: &str, host: &str) {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{UPGRADE}\r\n");
    world.raw(request).await.check_refusal(421, "unknown_host");
}

#[tokio::test]
async fn a_host_that_is_not_this_server_is_refused_on_every_route() {
    let world = world().await;
    let port = world.address.port();
    let mut expected = 0;
    for route in ROUTES {
        for host in [
            "evil.example".to_owned(),
            format!("evil.example:{port}"),
            "192.0.2.1.evil.example".to_owned(),
            "localhost.evil.example".to_owned(),
        ] {
            check_unknown(&world, route, &host).await;
            expected += 1;
        }
    }
    let mut observer = world.connect().await;
    let series = "magpie_http_refused_total{code=\"unknown_host\"}";
    assert_eq!(metric(&mut observer, series).await, expected);
}

/// A port of a container is asked for by an address that the server does not know. No name leads to such a host, only itself.
#[tokio::test]
async fn a_literal_address_is_this_server() {
    let world = world().await;
    for host in [
        "192.0.2.1",
        "192.0.2.1:8080",
        "[2001:db8::1]:8080",
        "0.0.0.0",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(world.raw(&request).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn the_host_of_a_whole_url_counts_too() {
    let world = world().await;
    check_unknown(&world, "http://evil.example/metrics", "localhost").await;
    let request = "GET http://magpie.test/healthz HTTP/1.1\r\nHost: magpie.test\r\n\r\n";
    assert_eq!(world.raw(request).await.status, 200);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_names_this_server_too() {
    let world = world_with(HttpConfig {
        connections_max: 1,
        ..HttpConfig::default()
    })
    .await;
    let mut first = world.connect().await;
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut first).await.status, 200);
    for route in ["/metrics", "/healthz", "/"] {
        check_unknown(&world, route, "evil.example").await;
    }
    assert_eq!(world.get("/metrics", "").await.status, 200);
}

#[tokio::test]
async fn every_name_is_taken_where_the_operator_says_so() {
    let world = world_with(HttpConfig {
        hosts: vec!["*".to_owned()],
        ..HttpConfig::default()
    })
    .await;
    let request = "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(world.raw(request).await.status, 200);
}
