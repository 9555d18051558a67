//! `/healthz`, `/readyz` and `/metrics`: what they say, and to whom.

use serde_json::json;
use server::config::HttpConfig;
use server::handle::{Health, Secret};
use tokio::io::AsyncWriteExt;

use crate::world::{World, answer, monitoring_world_with, world, world_with};

const ADMIN: &str = "Authorization: Bearer mpt_admin\r\n";
const MEMBER: &str = "Authorization: bearer mpt_member\r\n";
const STATIC: &str = "Authorization: Bearer a-token-of-the-scraper\r\n";
/// What makes a request one of another machine.
const FORWARDED: &str = "X-Forwarded-For: 192.0.2.1\r\n";

/// With the static token that is in `STATIC`.
fn with_token() -> HttpConfig {
    HttpConfig {
        metrics_token: Some(Secret::new("a-token-of-the-scraper")),
        ..HttpConfig::default()
    }
}

async fn metrics_status(world: &World, headers: &[&str]) -> u16 {
    world.get("/metrics", &headers.concat()).await.status
}

#[tokio::test]
async fn health_and_readiness_follow_the_server() {
    let world = world().await;
    let full = "1 MB are free".to_owned();
    let stalled = "a commit has not returned for 10 s".to_owned();
    for (health, healthz, readyz, told) in [
        (Health::Starting, 200, 503, json!({ "status": "starting" })),
        (Health::Ready, 200, 200, json!({ "status": "ready" })),
        (
            Health::DiskFull(full.clone()),
            200,
            503,
            json!({ "status": "disk_full", "detail": full }),
        ),
        (
            Health::Stalled(stalled.clone()),
            503,
            503,
            json!({ "status": "stalled", "detail": stalled }),
        ),
        (Health::Draining, 200, 503, json!({ "status": "draining" })),
        (
            Health::Failed("disk".to_owned()),
            503,
            503,
            json!({ "status": "failed" }),
        ),
    ] {
        world.health.send_replace(health);
        for (path, status) in [("/healthz", healthz), ("/readyz", readyz)] {
            let answer = world.get(path, "").await;
            assert_eq!(
                (answer.status, answer.json()),
                (status, told.clone()),
                "{path}"
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    world
        .get("/api/v1/server", "")
        .await
        .check_refusal(503, "draining");
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_administrators() {
    let world = world().await;
    let local = world.get("/metrics", "").await;
    assert_eq!(local.status, 200);
    assert_eq!(
        local.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\n";
    world
        .get("/metrics", forwarded)
        .await
        .check_refusal(401, "bad_token");
    world
        .get("/metrics", &format!("{forwarded}{MEMBER}"))
        .await
        .check_refusal(403, "not_allowed");
    assert_eq!(
        world
            .get("/metrics", &format!("{forwarded}{ADMIN}"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_static_token_opens_the_metrics_and_nothing_else() {
    let world = world_with(with_token()).await;
    assert_eq!(metrics_status(&world, &[]).await, 200);
    assert_eq!(metrics_status(&world, &[FORWARDED]).await, 401);
    assert_eq!(metrics_status(&world, &[FORWARDED, STATIC]).await, 200);
    assert_eq!(metrics_status(&world, &[FORWARDED, ADMIN]).await, 200);
    assert_eq!(metrics_status(&world, &[FORWARDED, MEMBER]).await, 403);
    for wrong in [
        "a-token-of-the-scrape",
        "a-token-of-the-scraper2",
        "",
        "\"\"",
    ] {
        let wrong = format!("Authorization: Bearer {wrong}\r\n");
        world
            .get("/metrics", &format!("{FORWARDED}{wrong}"))
            .await
            .check_refusal(401, "bad_token");
    }
    world
        .get("/api/v1/accounts", STATIC)
        .await
        .check_refusal(401, "bad_token");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_needs_the_token_for_the_metrics_too() {
    let world = world_with(HttpConfig {
        connections_max: 1,
        ..with_token()
    })
    .await;
    let mut first = world.connect().await;
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut first).await.status, 200);
    assert_eq!(world.get("/api/v1/server", "").await.status, 503);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(path, "").await.status, 200, "{path}");
    }
    assert_eq!(metrics_status(&world, &[FORWARDED]).await, 401);
    assert_eq!(metrics_status(&world, &[FORWARDED, STATIC]).await, 200);
    assert_eq!(metrics_status(&world, &[]).await, 200);
}

#[tokio::test]
async fn where_metrics_have_an_address_of_their_own_the_other_shows_them_to_administrators_only() {
    let config = HttpConfig {
        metrics_address: Some("127.0.0.1:0".parse().unwrap()),
        ..with_token()
    };
    let main = world_with(config).await;
    for headers in [&[][..], &[STATIC], &[FORWARDED, STATIC]] {
        assert_eq!(metrics_status(&main, headers).await, 401, "{headers:?}");
    }
    assert_eq!(metrics_status(&main, &[MEMBER]).await, 403);
    assert_eq!(metrics_status(&main, &[ADMIN]).await, 200);
    assert_eq!(main.get("/healthz", "").await.status, 200);
}

#[tokio::test]
async fn the_address_of_the_metrics_serves_nothing_else() {
    let world = monitoring_world_with(HttpConfig::default()).await;
    for headers in [&[][..], &[FORWARDED]] {
        assert_eq!(metrics_status(&world, headers).await, 200, "{headers:?}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(path, "").await.status, 200, "{path}");
    }
    for path in ["/", "/api/v1/server", "/mqtt", "/setup"] {
        world
            .get(path, "Accept: text/html\r\n")
            .await
            .check_refusal(404, "not_found");
    }
    world
        .send("POST", "/metrics", "", "")
        .await
        .check_refusal(405, "method_not_allowed");
    let rebound = "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    world.raw(rebound).await.check_refusal(421, "unknown_host");
}

#[tokio::test]
async fn the_address_of_the_metrics_asks_for_the_token_where_there_is_one() {
    let world = monitoring_world_with(with_token()).await;
    assert_eq!(metrics_status(&world, &[]).await, 200);
    assert_eq!(metrics_status(&world, &[FORWARDED]).await, 401);
    assert_eq!(metrics_status(&world, &[FORWARDED, STATIC]).await, 200);
}

#[tokio::test]
async fn the_address_of_the_metrics_answers_beyond_its_limit_too() {
    let world = monitoring_world_with(HttpConfig::default()).await;
    let mut kept = Vec::new();
    // One address has half of 64 places.
    for _ in 0..32 {
        kept.push(world.connect().await);
    }
    assert_eq!(metrics_status(&world, &[]).await, 200);
    let mut first = kept.remove(0);
    let series = "magpie_http_connections_refused_total{limit=\"address\"}";
    assert_eq!(crate::world::metric(&mut first, series).await, 1);
}
