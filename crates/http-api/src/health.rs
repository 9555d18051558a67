//! `/healthz`: whether the server may be sent clients.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use server::handle::Health;

use crate::doors::Doors;

pub(crate) async fn healthz(State(doors): State<Doors>) -> Response {
    let (status, word) = match doors.handle.health() {
        Health::Ready => (StatusCode::OK, "ready"),
        Health::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Health::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Health::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
    };
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        Json(serde_json::json!({ "status": word })),
    )
        .into_response()
}
