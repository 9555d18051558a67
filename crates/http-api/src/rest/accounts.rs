//! `accounts`: everybody logged in may see who there is; administrators add and remove.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use server::handle::{AccountInfo, AccountRole, NewAccount, Secret};

use super::{Administrator, Caller, OneAccount};
use crate::answer::Refusal;
use crate::body::JsonBody;
use crate::doors::Doors;
use crate::peer::Peer;

#[derive(Serialize)]
struct Listed {
    accounts: Vec<AccountInfo>,
}

pub(crate) async fn list(
    State(doors): State<Doors>,
    Caller(caller): Caller,
) -> Result<impl IntoResponse, Refusal> {
    let mut accounts = doors.handle.accounts().await?;
    match caller.role {
        AccountRole::Admin => {}
        AccountRole::Member => accounts.retain(|account| !account.disabled),
    }
    Ok((
        [(header::CACHE_CONTROL, "no-store")],
        Json(Listed { accounts }),
    ))
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    name: String,
    password: Secret,
    #[serde(default)]
    display: String,
    #[serde(default = "member")]
    role: AccountRole,
}

fn member() -> AccountRole {
    AccountRole::Member
}

pub(crate) async fn add(
    State(doors): State<Doors>,
    administrator: Administrator,
    peer: Peer,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<impl IntoResponse, Refusal> {
    let Wanted {
        name,
        password,
        display,
        role,
    } = wanted;
    let account = NewAccount {
        name,
        display,
        password,
        role,
    };
    let by = administrator.actor(peer);
    let account = doors.handle.add_account(account, by).await?;
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(OneAccount { account }),
    ))
}

pub(crate) async fn remove(
    State(doors): State<Doors>,
    administrator: Administrator,
    peer: Peer,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::not_found())?;
    let by = administrator.actor(peer);
    doors.handle.remove_account(name, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
