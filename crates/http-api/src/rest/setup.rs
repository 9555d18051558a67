//! `GET server`, and `POST setup`: the first account, with the token of the link that the server prints.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use server::handle::{AccountRole, NewAccount, Secret};

use super::OneAccount;
use crate::answer::Refusal;
use crate::body::JsonBody;
use crate::peer::Peer;
use crate::state::HttpState;

pub(crate) async fn server(State(state): State<HttpState>) -> Result<impl IntoResponse, Refusal> {
    let info = state.handle.server_info()?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(info)))
}

#[derive(Deserialize)]
pub(crate) struct FirstAccount {
    token: Secret,
    name: String,
    password: Secret,
    #[serde(default)]
    display: String,
}

pub(crate) async fn setup(
    State(state): State<HttpState>,
    peer: Peer,
    JsonBody(first): JsonBody<FirstAccount>,
) -> Result<impl IntoResponse, Refusal> {
    let FirstAccount {
        token,
        name,
        password,
        display,
    } = first;
    let account = NewAccount {
        name,
        display,
        password,
        role: AccountRole::Admin,
        similar: false,
    };
    let account = state
        .handle
        .create_first_account(token, account, peer.address.ip())
        .await?;
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(OneAccount { account }),
    ))
}
