//! The recorder into which the whole process counts.

use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

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

    /// A recorder beside that of the process, for a server inside a test. It counts what is counted while the recorder
    /// that comes with it is that of the thread.
    pub fn beside() -> Result<(Self, PrometheusRecorder), BuildError> {
        let recorder = Self::builder()?.build_recorder();
        let metrics = Self {
            recorder: recorder.handle(),
        };
        Ok((metrics, recorder))
    }

    fn builder() -> Result<PrometheusBuilder, BuildError> {
        let durations = metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned());
        PrometheusBuilder::new().set_buckets_for_metric(durations, SECONDS_BUCKETS)
    }

    /// Everything counted so far, in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        self.recorder.render()
    }

    /// Folds what has been measured since the last call; without it histograms grow between two scrapes.
    pub(crate) fn upkeep(&self) {
        self.recorder.run_upkeep();
    }
}
