//! `/metrics` in Prometheus' text format: who may read it, because counts say who is talking when. What is counted is decided
//! where it happens.

use axum::extract::{FromRequestParts as _, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use server::process;

use crate::answer::Refusal;
use crate::exposition;
use crate::peer::Peer;
use crate::rest::{Administrator, token};
use crate::state::{HttpState, MetricsReaders};

pub(crate) async fn show(
    State(state): State<HttpState>,
    peer: Peer,
    mut parts: Parts,
) -> Result<Response, Refusal> {
    if !is_reader(&state.metrics_readers, peer, &parts) {
        Administrator::from_request_parts(&mut parts, &state).await?;
    }
    let mut text = state.metrics.render();
    exposition::latencies(&mut text, &state.handle.latencies());
    let figures = tokio::task::spawn_blocking(process::figures);
    if let Ok(Some(figures)) = figures.await {
        exposition::process(&mut text, &figures);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok((
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    )
        .into_response())
}

/// Whether no account is needed.
fn is_reader(readers: &MetricsReaders, peer: Peer, parts: &Parts) -> bool {
    match readers {
        MetricsReaders::Administrators => false,
        MetricsReaders::ThisMachine { token: known } => {
            let given = token(parts).ok();
            let is_known = match (known, &given) {
                (Some(known), Some(given)) => known.is_same_as(given),
                (Some(_), None) | (None, _) => false,
            };
            is_known || peer.is_local(parts)
        }
        MetricsReaders::Anybody => true,
    }
}
