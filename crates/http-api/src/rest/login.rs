//! `POST login`: a password for a token, and `POST logout`: the token's end.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use server::handle::{AccountInfo, Secret};

use super::token;
use crate::answer::Refusal;
use crate::body::JsonBody;
use crate::peer::Peer;
use crate::state::HttpState;

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: Secret,
    #[serde(default = "browser")]
    device: String,
}

fn browser() -> String {
    "browser".to_owned()
}

#[derive(Serialize)]
struct LoggedIn<'a> {
    token: &'a str,
    account: &'a AccountInfo,
}

pub(crate) async fn login(
    State(state): State<HttpState>,
    peer: Peer,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<impl IntoResponse, Refusal> {
    let Credentials {
        name,
        password,
        device,
    } = credentials;
    let login = state
        .handle
        .login(name, password, device, peer.address.ip())
        .await?;
    let answer = Json(LoggedIn {
        token: login.token.expose(),
        account: &login.account,
    })
    .into_response();
    Ok(([(header::CACHE_CONTROL, "no-store")], answer))
}

pub(crate) async fn logout(
    State(state): State<HttpState>,
    peer: Peer,
    parts: Parts,
) -> Result<StatusCode, Refusal> {
    let address = peer.address.ip();
    state.handle.logout(token(&parts)?, address).await?;
    Ok(StatusCode::NO_CONTENT)
}
