//! `groups`: administrators delete them. Everything else about groups goes over MQTT.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Administrator;
use crate::answer::Refusal;
use crate::peer::Peer;
use crate::state::HttpState;

pub(crate) async fn delete(
    State(state): State<HttpState>,
    administrator: Administrator,
    peer: Peer,
    slug: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(slug) = slug.map_err(|_| Refusal::not_found())?;
    let by = administrator.actor(peer);
    state.handle.delete_group(slug, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
