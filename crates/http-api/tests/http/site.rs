//! The web client's files: what is found, what is not, and the headers around both.

use crate::world::{whole, world};
use tokio::io::AsyncWriteExt;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml;q=0.9\r\n";

#[tokio::test]
async fn the_page_comes_with_strict_headers() {
    let world = world().await;
    let page = world.get("/", BROWSER).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(page.text().contains("<title>"), "{}", page.text());
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{part} is missing: {policy}");
    }
    let sockets = format!("connect-src 'self' ws://{0} wss://{0};", world.address);
    assert!(policy.contains(&sockets), "{policy}");
    let refused = world.get("/api/v1/nothing", "").await;
    assert_eq!(
        refused.header("x-content-type-options"),
        Some("nosniff"),
        "refusals have them too"
    );
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let world = world().await;
    let tag = world.get("/", "").await.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let again = world.get("/", &format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
    }
    assert_eq!(
        world.get("/", "If-None-Match: \"other\"\r\n").await.status,
        200
    );
}

#[tokio::test]
async fn a_head_request_gets_the_head() {
    let world = world().await;
    let mut stream = world.connect().await;
    stream
        .write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let all = whole(&mut stream).await;
    assert!(
        all.starts_with("HTTP/1.1 200 ") && all.contains("content-length: "),
        "{all}"
    );
    assert!(all.ends_with("\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn addresses_inside_the_client_lead_to_the_page_for_browsers_only() {
    let world = world().await;
    let page = world.get("/", BROWSER).await;
    for path in ["/setup", "/login", "/@bob", "/group/eng.team/", "/@a.b"] {
        assert_eq!(world.get(path, BROWSER).await.body, page.body, "{path}");
        world
            .get(path, "Accept: application/json\r\n")
            .await
            .check_refusal(404, "not_found");
        world.get(path, "").await.check_refusal(404, "not_found");
    }
    for path in [
        "/missing.js",
        "/assets/missing",
        "/assets/missing.js",
        "/favicon.png",
        "/index.html.gz",
        "/%61",
    ] {
        world
            .get(path, BROWSER)
            .await
            .check_refusal(404, "not_found");
    }
}

#[tokio::test]
async fn paths_that_climb_are_refused() {
    let world = world().await;
    for path in [
        "/../Cargo.toml",
        "/assets/../../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/%2E%2e%2fCargo.toml",
        "/..%5cCargo.toml",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/index.html%00.js",
        "/api/v1/accounts/..%2f..%2fserver",
        "/mqtt/../metrics",
    ] {
        for accept in [BROWSER, ""] {
            world.get(path, accept).await.check_refusal(400, "bad_path");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_no_path_is_refused_by_the_parser() {
    let world = world().await;
    for line in [
        "GET /\0 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET \u{7f} HTTP/1.1",
        "GET ../Cargo.toml HTTP/1.1",
    ] {
        let answer = world
            .raw(format!("{line}\r\nHost: localhost\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 400, "{line:?}: {answer:?}");
    }
}
