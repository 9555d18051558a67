//! `/metrics` in Prometheus' text format. What is counted is decided where it happens.

use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use server::handle::AccountRole;

use crate::answer::Refusal;
use crate::doors::Doors;
use crate::peer::Peer;
use crate::rest::token;

/// For anybody on this machine; from elsewhere for administrators, because counts say who is talking when.
pub(crate) async fn show(
    State(doors): State<Doors>,
    peer: Peer,
    parts: Parts,
) -> Result<Response, Refusal> {
    if !peer.is_local(&parts) {
        let account = doors.handle.authenticate_token(token(&parts)?).await?;
        match account.role {
            AccountRole::Admin => {}
            AccountRole::Member => return Err(server::handle::RequestError::NotAllowed.into()),
        }
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok((
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "no-store"),
        ],
        doors.metrics.render(),
    )
        .into_response())
}
