//! `/healthz`: whether the server may be sent clients.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use server::handle::Health;

use crate::doors::Doors;

pub(crate) async fn healthz(State(doors): State<Doors>) -> Response {
    const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    let (status, word, detail) = match doors.handle.health() {
        Health::Ready => (StatusCode::OK, "ready", None),
        Health::Starting => (UNAVAILABLE, "starting", None),
        Health::Stalled(what) => (UNAVAILABLE, "stalled", Some(what)),
        Health::DiskFull(what) => (UNAVAILABLE, "disk_full", Some(what)),
        Health::Draining => (UNAVAILABLE, "draining", None),
        Health::Failed(_) => (UNAVAILABLE, "failed", None),
    };
    let mut body = serde_json::json!({ "status": word });
    if let Some(detail) = detail {
        body["detail"] = detail.into();
    }
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
