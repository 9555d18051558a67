//! The one form in which anything is refused: a status and `{"error":"code","detail":"a sentence"}`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use server::handle::RequestError;

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    detail: &'a str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            header: None,
        }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this address",
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this address does not take this method",
        )
    }

    pub(crate) fn too_many_connections() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            "there are as many connections as there may be, of this address or of all; try again in a moment",
        )
        .with(header::RETRY_AFTER, 1)
    }

    pub(crate) fn internal() -> Self {
        RequestError::Internal.into()
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let status =
            StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let refusal = Self::new(status, error.code(), error.to_string());
        if let Some(secs) = error.retry_after_secs() {
            return refusal.with(header::RETRY_AFTER, secs);
        }
        if status == StatusCode::UNAUTHORIZED {
            return refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::counter!("magpie_http_refused_total", "code" => self.code).increment(1);
        let told = Json(Told {
            error: self.code,
            detail: &self.detail,
        });
        let mut response =
            (self.status, [(header::CACHE_CONTROL, "no-store")], told).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
