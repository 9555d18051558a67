//! Whose request a proxy passes on: the address that logins and WebSockets count for.

use serde_json::json;
use server::config::HttpConfig;
use tokio::io::AsyncWriteExt;

use crate::world::{World, answer, metric, world, world_with};

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n";

/// Behind proxies, of which the test's client is one.
async fn proxied() -> World {
    world_with(HttpConfig {
        proxy_from: ["127.0.0.1", "10.0.0.0/24"]
            .map(|network| network.parse().unwrap())
            .to_vec(),
        ..HttpConfig::default()
    })
    .await
}

/// The address that a login with these headers counts for.
async fn login_from(world: &mut World, headers: &str) -> String {
    let body = json!({"name":"bob","password":"right"}).to_string();
    let login = world.send("POST", "/api/v1/login", headers, &body).await;
    assert_eq!(login.status, 200, "{login:?}");
    world.logins.recv().await.unwrap().to_string()
}

#[tokio::test]
async fn a_login_counts_for_the_address_that_a_named_proxy_says() {
    let mut world = proxied().await;
    for (headers, expected) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        (
            "X-Forwarded-For: 203.0.113.5, 192.0.2.1, 10.0.0.7\r\n",
            "192.0.2.1",
        ),
        (
            "Forwarded: for=\"[2001:db8::17]:4711\";proto=https\r\n",
            "2001:db8::17",
        ),
        ("X-Forwarded-For: 10.0.0.7\r\n", "127.0.0.1"),
        ("X-Real-IP: 192.0.2.1\r\n", "127.0.0.1"),
    ] {
        assert_eq!(login_from(&mut world, headers).await, expected, "{headers}");
    }
    let mut observer = world.connect().await;
    let series = "magpie_http_forwarded_invalid_total";
    assert_eq!(metric(&mut observer, series).await, 0);
    for headers in [
        "X-Forwarded-For: 192.0.2.1, unknown\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n",
        "Forwarded: for=\"192.0.2.1\r\n",
    ] {
        assert_eq!(
            login_from(&mut world, headers).await,
            "127.0.0.1",
            "{headers}"
        );
    }
    assert_eq!(metric(&mut observer, series).await, 3);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let mut world = world().await;
    for headers in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1\r\n",
        "Forwarded: nonsense\r\n",
    ] {
        assert_eq!(
            login_from(&mut world, headers).await,
            "127.0.0.1",
            "{headers}"
        );
    }
    let mut observer = world.connect().await;
    let series = "magpie_http_forwarded_invalid_total";
    assert_eq!(metric(&mut observer, series).await, 0);
}

#[tokio::test]
async fn a_websocket_is_handed_over_with_the_address_that_a_named_proxy_says() {
    let mut world = proxied().await;
    let mut client = world.connect().await;
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n{UPGRADE}\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut client).await.status, 101);
    let adopted = world.adopted.recv().await.unwrap();
    assert_eq!(adopted.peer, "192.0.2.1:0".parse().unwrap());
}

#[tokio::test]
async fn the_connections_of_a_named_proxy_are_not_limited_by_address() {
    let limits = HttpConfig {
        connections_max: 4,
        connections_per_address_max: 1,
        ..HttpConfig::default()
    };
    for (proxy_from, second) in [(vec![], 503), (vec!["127.0.0.0/8".parse().unwrap()], 200)] {
        let world = world_with(HttpConfig {
            proxy_from,
            ..limits.clone()
        })
        .await;
        let mut first = world.connect().await;
        first
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(answer(&mut first).await.status, 200);
        assert_eq!(world.get("/api/v1/server", "").await.status, second);
    }
}
