//! `/metrics` in Prometheus' text format, and the recorder behind it. What is counted is decided where it happens.

use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use server::handle::AccountRole;

use crate::answer::Refusal;
use crate::peer::Peer;
use crate::rest::token;
use crate::router::Doors;

/// Upper bounds in seconds of every histogram of a duration (`…_seconds`): 50 µs to 10 s.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// The recorder of this process's metrics.
#[derive(Clone)]
pub struct Metrics {
    recorder: PrometheusHandle,
}

impl Metrics {
    /// Makes the recorder that the whole process counts into; once, before anything is counted.
    pub fn install() -> Result<Self, BuildError> {
        let recorder = Self::builder()?.install_recorder()?;
        Ok(Self { recorder })
    }

    /// A recorder that nothing counts into, for a server inside a test.
    pub fn detached() -> Result<Self, BuildError> {
        Ok(Self {
            recorder: Self::builder()?.build_recorder().handle(),
        })
    }

    fn builder() -> Result<PrometheusBuilder, BuildError> {
        let durations = metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned());
        PrometheusBuilder::new().set_buckets_for_metric(durations, SECONDS_BUCKETS)
    }

    /// Folds what has been measured since the last call; without it histograms grow between two scrapes.
    pub(crate) fn upkeep(&self) {
        self.recorder.run_upkeep();
    }
}

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
        doors.metrics.recorder.render(),
    )
        .into_response())
}
