//! Makes counters and gauges together with what is said of them on `/metrics`.

use metrics::{Counter, Gauge};

/// A counter with its help.
pub(crate) fn counter(name: &'static str, help: &'static str) -> Counter {
    metrics::describe_counter!(name, help);
    metrics::counter!(name)
}

/// A gauge with its help.
pub(crate) fn gauge(name: &'static str, help: &'static str) -> Gauge {
    metrics::describe_gauge!(name, help);
    metrics::gauge!(name)
}
