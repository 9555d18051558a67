//! REST under `/api/v1`: JSON in, JSON out, a bearer token between. Which account may do what is asked of the server.

pub(crate) mod accounts;
pub(crate) mod groups;
pub(crate) mod login;
pub(crate) mod setup;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use serde::Serialize;
use server::handle::{AccountInfo, AccountRole, Actor, RequestError, Secret};

use crate::answer::Refusal;
use crate::peer::Peer;
use crate::state::HttpState;

/// Bytes of a token; ours are shorter.
const TOKEN_BYTES_MAX: usize = 512;

/// `{"account":{…}}`
#[derive(Serialize)]
struct OneAccount {
    account: AccountInfo,
}

/// The account whose token came with the request.
pub(crate) struct Caller(AccountInfo);

/// The same, an administrator's.
pub(crate) struct Administrator(AccountInfo);

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refusal> {
        Ok(Self(state.handle.authenticate_token(&token(parts)?)?))
    }
}

impl FromRequestParts<HttpState> for Administrator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refusal> {
        let Caller(account) = Caller::from_request_parts(parts, state).await?;
        match account.role {
            AccountRole::Admin => Ok(Self(account)),
            AccountRole::Member => Err(RequestError::NotAllowed.into()),
        }
    }
}

impl Administrator {
    /// Who makes a change.
    fn actor(self, peer: Peer) -> Actor {
        Actor::Account {
            name: self.0.name,
            address: peer.address.ip(),
        }
    }
}

/// The bearer token of a request.
pub(crate) fn token(parts: &Parts) -> Result<Secret, Refusal> {
    let value = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.split_once(' ')) {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX =>
        {
            Ok(Secret::new(token.trim()))
        }
        Some(_) | None => Err(RequestError::BadToken.into()),
    }
}
