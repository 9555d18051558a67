//! A JSON body taken from a request: bounded in bytes and time, and refused with a sentence.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::answer::Refusal;
use crate::state::HttpState;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A request's body, read as JSON. It has to say that it is JSON: a foreign page cannot send that type unasked.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Refusal> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if !kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .eq_ignore_ascii_case("application/json")
        {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body has to be JSON, with Content-Type: application/json",
            ));
        }
        let bytes = read(request.into_body(), state.body_bytes_max).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "bad_body",
                format!("the body is not right: {error}"),
            )
        })
    }
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body may have at most {bytes_max} bytes"),
        )
        // What is left of it is not worth reading.
        .with(
            header::CONNECTION,
            axum::http::HeaderValue::from_static("close"),
        )),
        Ok(Err(_)) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_body",
            "the body did not arrive whole",
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the body took too long to arrive",
        )),
    }
}
