//! `/api/v1`: statuses, bodies, and the one form of refusal.

use serde_json::json;
use server::handle::{AccountQuery, Which};

use crate::world::world;

const ADMIN: &str = "Authorization: Bearer mpt_admin\r\n";
const MEMBER: &str = "Authorization: bearer mpt_member\r\n";

#[tokio::test]
async fn the_server_says_who_it_is() {
    let world = world().await;
    let answer = world.get("/api/v1/server", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"name":"Magpie","version":env!("CARGO_PKG_VERSION"),"setup_required":true})
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn the_first_account_needs_the_link() {
    let world = world().await;
    let body = |token: &str| {
        json!({"token":token,"name":"alice","password":"p","display":"Alice"}).to_string()
    };
    let made = world.send("POST", "/api/v1/setup", "", &body("once")).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        made.json(),
        json!({"account":{"name":"alice","display":"ALICE","role":"admin"}})
    );
    world
        .send("POST", "/api/v1/setup", "", &body("guessed"))
        .await
        .check_refusal(403, "bad_setup_token");
}

#[tokio::test]
async fn a_login_gives_a_token_or_says_why_not() {
    let world = world().await;
    let body =
        |password: &str| json!({"name":"bob","password":password,"device":"test"}).to_string();
    let login = world
        .send("POST", "/api/v1/login", "", &body("right"))
        .await;
    assert_eq!(login.status, 200);
    assert_eq!(
        login.json(),
        json!({"token":"mpt_x","account":{"name":"bob","display":"BOB","role":"member"}})
    );
    assert_eq!(login.header("cache-control"), Some("no-store"));
    world
        .send("POST", "/api/v1/login", "", &body("wrong"))
        .await
        .check_refusal(401, "bad_credentials");
    let limited = world
        .send("POST", "/api/v1/login", "", &body("again"))
        .await;
    limited.check_refusal(429, "rate_limited");
    assert_eq!(limited.header("retry-after"), Some("3"), "rounded up");
}

#[tokio::test]
async fn a_logout_needs_a_token() {
    let world = world().await;
    assert_eq!(
        world
            .send("POST", "/api/v1/logout", MEMBER, "")
            .await
            .status,
        204
    );
    let refused = world.send("POST", "/api/v1/logout", "", "").await;
    refused.check_refusal(401, "bad_token");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    world
        .send(
            "POST",
            "/api/v1/logout",
            "Authorization: Basic bXB0OnB0\r\n",
            "",
        )
        .await
        .check_refusal(401, "bad_token");
}

#[tokio::test]
async fn accounts_are_listed_in_pages_that_are_searched_by_the_server() {
    let world = world().await;
    world
        .get("/api/v1/accounts", "")
        .await
        .check_refusal(401, "bad_token");
    // What the directory is asked for.
    let check = async |token: &str, parameters: &str, expected: &AccountQuery| {
        let path = format!("/api/v1/accounts{parameters}");
        let page = world.get(&path, token).await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let told = page.json();
        assert_eq!(told["accounts"][0]["name"], format!("{expected:?}"));
        assert_eq!(told["next"], "bob");
    };
    let query = AccountQuery::default;
    check(ADMIN, "", &query()).await;
    let enabled = query().which(Which::Enabled);
    check(MEMBER, "?", &enabled).await;
    check(MEMBER, "?which=all&disabled=1", &enabled).await;
    let full = enabled.search("김 B").unwrap().after("al").unwrap();
    let parameters = "?limit=200&q=%EA%B9%80+b&after=al";
    check(MEMBER, parameters, &full.limit(200).unwrap()).await;
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=",
        &format!("after={}", "x".repeat(65)),
        &format!("q={}", "%00".repeat(257)),
    ] {
        let path = format!("/api/v1/accounts?{wrong}");
        world.get(&path, MEMBER).await.check_refusal(422, "invalid");
    }
    let greedy = "Authorization: Bearer mpt_greedy\r\n";
    let refused = world.get("/api/v1/accounts", greedy).await;
    refused.check_refusal(429, "too_often");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn one_account_is_shown_unless_it_is_disabled() {
    let world = world().await;
    let bob = world.get("/api/v1/accounts/bob", MEMBER).await;
    let expected = json!({"account":{"name":"bob","display":"BOB","role":"member"}});
    assert_eq!((bob.status, bob.json()), (200, expected));
    assert_eq!(bob.header("cache-control"), Some("no-store"));
    let carol = world.get("/api/v1/accounts/carol", ADMIN).await;
    assert_eq!(carol.json()["account"]["disabled"], true);
    for (name, token, status, code) in [
        ("carol", MEMBER, 404, "no_such_account"),
        ("nobody", ADMIN, 404, "no_such_account"),
        ("%ff", ADMIN, 404, "not_found"),
        ("bob", "", 401, "bad_token"),
    ] {
        let path = format!("/api/v1/accounts/{name}");
        world.get(&path, token).await.check_refusal(status, code);
    }
    let greedy = "Authorization: Bearer mpt_greedy\r\n";
    world
        .get("/api/v1/accounts/bob", greedy)
        .await
        .check_refusal(429, "too_often");
}

#[tokio::test]
async fn accounts_are_changed_by_administrators() {
    let world = world().await;
    let new = json!({"name":"dave","password":"p"}).to_string();
    world
        .send("POST", "/api/v1/accounts", MEMBER, &new)
        .await
        .check_refusal(403, "not_allowed");
    let made = world.send("POST", "/api/v1/accounts", ADMIN, &new).await;
    assert_eq!(
        (made.status, made.json()["account"]["role"].clone()),
        (201, json!("member"))
    );
    let taken = json!({"name":"alice","password":"p"}).to_string();
    world
        .send("POST", "/api/v1/accounts", ADMIN, &taken)
        .await
        .check_refusal(409, "account_exists");

    world
        .send("DELETE", "/api/v1/accounts/bob", MEMBER, "")
        .await
        .check_refusal(403, "not_allowed");
    assert_eq!(
        world
            .send("DELETE", "/api/v1/accounts/bob", ADMIN, "")
            .await
            .status,
        204
    );
    world
        .send("DELETE", "/api/v1/accounts/nobody", ADMIN, "")
        .await
        .check_refusal(404, "no_such_account");
    world
        .send("DELETE", "/api/v1/accounts/%ff", ADMIN, "")
        .await
        .check_refusal(404, "not_found");
}

#[tokio::test]
async fn groups_are_deleted_by_administrators() {
    let world = world().await;
    let delete = async |slug: &str, token: &str| {
        let path = format!("/api/v1/groups/{slug}");
        world.send("DELETE", &path, token, "").await
    };
    delete("eng", "").await.check_refusal(401, "bad_token");
    delete("eng", MEMBER)
        .await
        .check_refusal(403, "not_allowed");
    delete("ops", ADMIN)
        .await
        .check_refusal(404, "no_such_group");
    delete("%ff", ADMIN).await.check_refusal(404, "not_found");
    assert_eq!(delete("eng", ADMIN).await.status, 204);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_meant_is_refused_in_one_form() {
    let world = world().await;
    world
        .get("/api/v1/nothing", "Accept: text/html\r\n")
        .await
        .check_refusal(404, "not_found");
    world
        .get("/api/v2", "")
        .await
        .check_refusal(404, "not_found");
    world.get("/api", "").await.check_refusal(404, "not_found");
    world
        .get("/api/v1/login", "")
        .await
        .check_refusal(405, "method_not_allowed");
    world
        .send("DELETE", "/api/v1/accounts", ADMIN, "")
        .await
        .check_refusal(405, "method_not_allowed");
    world
        .send("POST", "/healthz", "", "")
        .await
        .check_refusal(405, "method_not_allowed");
    world
        .send("POST", "/", "", "")
        .await
        .check_refusal(405, "method_not_allowed");
}

#[tokio::test]
async fn a_body_that_is_not_right_is_refused() {
    let world = world().await;
    for body in [
        "",
        "{",
        "[]",
        "{\"name\":\"bob\"}",
        "{\"name\":1,\"password\":\"p\"}",
        "\u{0}",
    ] {
        world
            .send("POST", "/api/v1/login", "", body)
            .await
            .check_refusal(400, "bad_body");
    }
    let host = world.address;
    let form = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    world.raw(form).await.check_refusal(415, "not_json");
}

#[tokio::test]
async fn a_wrong_password_is_not_repeated_in_the_answer() {
    let world = world().await;
    let answer = world
        .send(
            "POST",
            "/api/v1/login",
            "",
            "{\"name\":\"bob\",\"password\":{\"hunter2\":1}}",
        )
        .await;
    answer.check_refusal(400, "bad_body");
    assert!(!answer.text().contains("hunter2"), "{answer:?}");
}
