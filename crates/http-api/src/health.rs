//! `/healthz`: whether the process works, or another would do better; `/readyz`: whether it may be sent clients. Both say in
//! `status` how the server is.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use server::handle::Health;

use crate::state::HttpState;

/// Whoever supervises the process ends it if this is not 200. So it is, while that would gain nothing: a new process finds the same
/// full disk, and meanwhile everybody is disconnected.
pub(crate) async fn healthz(State(state): State<HttpState>) -> Response {
    let health = state.handle.health();
    let works = match &health {
        Health::Starting | Health::Ready | Health::DiskFull(_) | Health::Draining => true,
        Health::Stalled(_) | Health::Failed(_) => false,
    };
    answer(works, health)
}

/// Whoever spreads clients sends none while this is not 200.
pub(crate) async fn readyz(State(state): State<HttpState>) -> Response {
    let health = state.handle.health();
    answer(health == Health::Ready, health)
}

fn answer(well: bool, health: Health) -> Response {
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let (word, detail) = match health {
        Health::Starting => ("starting", None),
        Health::Ready => ("ready", None),
        Health::Stalled(what) => ("stalled", Some(what)),
        Health::DiskFull(what) => ("disk_full", Some(what)),
        Health::Draining => ("draining", None),
        Health::Failed(_) => ("failed", None),
    };
    let mut body = serde_json::json!({ "status": word });
    if let Some(detail) = detail {
        body["detail"] = detail.into();
    }
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
