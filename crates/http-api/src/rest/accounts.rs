//! `accounts`: everybody logged in may see who there is; administrators add and remove.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use server::handle::{AccountQuery, AccountRole, NewAccount, RequestError, Secret, Which};

use super::{Administrator, Caller, OneAccount};
use crate::answer::Refusal;
use crate::body::JsonBody;
use crate::parameters::Parameters;
use crate::peer::Peer;
use crate::state::HttpState;

/// `?q=…&after=NAME&limit=N`, each of which may be left out.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    Parameters(parameters): Parameters,
) -> Result<impl IntoResponse, Refusal> {
    let mut query = AccountQuery::default().which(match caller.role {
        AccountRole::Admin => Which::All,
        AccountRole::Member => Which::Enabled,
    });
    for (name, value) in parameters {
        query = match &*name {
            "q" => query.search(&value)?,
            "after" => query.after(&value)?,
            "limit" => query.limit(value.parse().map_err(|_| bad_parameter("limit"))?)?,
            // A parameter of a later version changes nothing here.
            _ => query,
        };
    }
    state.handle.admit_list(&caller.name)?;
    let page = state.handle.accounts(&query)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)))
}

pub(crate) async fn one(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    name: Result<Path<String>, PathRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::not_found())?;
    state.handle.admit_list(&caller.name)?;
    let account = state.handle.account(&name)?;
    match caller.role {
        AccountRole::Member if account.disabled => {
            return Err(RequestError::NoSuchAccount { name }.into());
        }
        AccountRole::Member | AccountRole::Admin => {}
    }
    Ok((
        [(header::CACHE_CONTROL, "no-store")],
        Json(OneAccount { account }),
    ))
}

fn bad_parameter(name: &str) -> RequestError {
    RequestError::Invalid {
        sentence: format!("the parameter {name} is not right"),
    }
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    name: String,
    password: Secret,
    #[serde(default)]
    display: String,
    #[serde(default = "member")]
    role: AccountRole,
    #[serde(default)]
    similar: bool,
}

fn member() -> AccountRole {
    AccountRole::Member
}

pub(crate) async fn add(
    State(state): State<HttpState>,
    administrator: Administrator,
    peer: Peer,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<impl IntoResponse, Refusal> {
    let Wanted {
        name,
        password,
        display,
        role,
        similar,
    } = wanted;
    let account = NewAccount {
        name,
        display,
        password,
        role,
        similar,
    };
    let by = administrator.actor(peer);
    let account = state.handle.add_account(account, by).await?;
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(OneAccount { account }),
    ))
}

pub(crate) async fn remove(
    State(state): State<HttpState>,
    administrator: Administrator,
    peer: Peer,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::not_found())?;
    let by = administrator.actor(peer);
    state.handle.remove_account(name, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
