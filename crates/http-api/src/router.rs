//! Which address leads where. Everything that is refused is refused in one form.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};

use crate::answer::Refusal;
use crate::rest::{accounts, groups, login, setup};
use crate::state::HttpState;
use crate::{health, metrics, security, web, websocket};

pub(crate) fn router(state: HttpState) -> Router {
    let api = Router::new()
        .route("/server", get(setup::server))
        .route("/setup", post(setup::setup))
        .route("/login", post(login::login))
        .route("/logout", post(login::logout))
        .route("/accounts", get(accounts::list).post(accounts::add))
        .route(
            "/accounts/{name}",
            get(accounts::one).delete(accounts::remove),
        )
        .route("/groups/{slug}", delete(groups::delete))
        .fallback(|| async { Refusal::not_found() });
    Router::new()
        .nest("/api/v1", api)
        .route("/mqtt", any(websocket::hand_over))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::show))
        .fallback(elsewhere)
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(middleware::from_fn_with_state(
            state.clone(),
            security::guard,
        ))
        .with_state(state)
}

/// What an address that is only for monitoring answers.
pub(crate) fn monitoring(state: HttpState) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::show))
        .fallback(|| async { Refusal::not_found() })
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(middleware::from_fn_with_state(
            state.clone(),
            security::guard,
        ))
        .with_state(state)
}

/// What connections beyond a limit are answered: monitoring goes on.
pub(crate) fn surplus(state: HttpState) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::show))
        .fallback(|| async { Refusal::too_many_connections() })
        .layer(middleware::from_fn_with_state(
            state.clone(),
            security::guard,
        ))
        .with_state(state)
}

async fn elsewhere(request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Refusal::not_found().into_response();
    }
    web::answer(request.method(), path, request.headers())
}
