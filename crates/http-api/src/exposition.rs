//! What stands on `/metrics` beside the recorder's: histograms that the shards have counted already, and the figures of the
//! process, some of which are no whole numbers. It must not count anything.

use std::fmt::Write as _;

use server::handle::{BOUNDS_MICROS, Histogram, Latencies};
use server::process::ProcessFigures;

const MICROS_PER_SECOND: f64 = 1e6;

/// Appends what the shards have measured.
pub(crate) fn latencies(out: &mut String, latencies: &Latencies) {
    let name = "magpie_puback_seconds";
    let help = "From reading a PUBLISH of QoS 1 or 2 until its PUBACK or PUBREC is written, with the fsync where it waits for one.";
    family(out, name, "histogram", help);
    histogram(out, name, "qos=\"1\",", &latencies.puback);
    histogram(out, name, "qos=\"2\",", &latencies.pubrec);
    let name = "magpie_delivery_seconds";
    let help = "From reading a PUBLISH until the message is written to a subscriber, each delivery counted. Left out are deliveries that are read back from disk, retained messages, wills, and what is sent again.";
    family(out, name, "histogram", help);
    histogram(out, name, "", &latencies.delivery);
}

/// Appends the figures of the process under the names that every exporter gives them.
pub(crate) fn process(out: &mut String, figures: &ProcessFigures) {
    let mut one = |name: &str, kind: &str, help: &str, value: f64| {
        family(out, name, kind, help);
        line(out, name, "", value);
    };
    one(
        "process_cpu_seconds_total",
        "counter",
        "Processor time of the process, in user mode and in the kernel.",
        figures.cpu_seconds,
    );
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory of the process.",
            figures.resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Address space of the process.",
            figures.virtual_bytes,
        ),
        (
            "process_open_fds",
            "File descriptors in use.",
            figures.open_fds,
        ),
        ("process_threads", "Threads.", figures.threads),
    ] {
        one(name, "gauge", help, value as f64);
    }
    one(
        "process_max_fds",
        "gauge",
        "File descriptors that there may be.",
        figures.max_fds.map_or(f64::INFINITY, |max| max as f64),
    );
    one(
        "process_start_time_seconds",
        "gauge",
        "When the process began, in seconds since the Unix epoch.",
        figures.start_time_seconds,
    );
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    let value = if value == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        value.to_string()
    };
    let _ = writeln!(out, "{name}{labels} {value}");
}

/// `labels` end with a comma, or are none.
fn histogram(out: &mut String, name: &str, labels: &str, histogram: &Histogram) {
    let bounds = BOUNDS_MICROS
        .iter()
        .map(|micros| (*micros as f64 / MICROS_PER_SECOND).to_string());
    let bounds = bounds.chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, more) in bounds.zip(histogram.buckets) {
        count += more;
        let _ = writeln!(out, "{name}_bucket{{{labels}le=\"{bound}\"}} {count}");
    }
    let sum = histogram.sum_micros as f64 / MICROS_PER_SECOND;
    let labels = match labels.strip_suffix(',') {
        Some(labels) => format!("{{{labels}}}"),
        None => String::new(),
    };
    line(out, &format!("{name}_sum"), &labels, sum);
    line(out, &format!("{name}_count"), &labels, count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_those_below_them_and_the_sum_is_in_seconds() {
        let mut puback = Histogram::default();
        puback.buckets[0] = 3;
        puback.buckets[2] = 1;
        puback.buckets[BOUNDS_MICROS.len()] = 2;
        puback.sum_micros = 25_000_500;
        let mut out = String::new();
        latencies(
            &mut out,
            &Latencies {
                puback,
                ..Latencies::default()
            },
        );
        for line in [
            "# TYPE magpie_puback_seconds histogram",
            "magpie_puback_seconds_bucket{qos=\"1\",le=\"0.0001\"} 3",
            "magpie_puback_seconds_bucket{qos=\"1\",le=\"0.00025\"} 3",
            "magpie_puback_seconds_bucket{qos=\"1\",le=\"0.0005\"} 4",
            "magpie_puback_seconds_bucket{qos=\"1\",le=\"10\"} 4",
            "magpie_puback_seconds_bucket{qos=\"1\",le=\"+Inf\"} 6",
            "magpie_puback_seconds_sum{qos=\"1\"} 25.0005",
            "magpie_puback_seconds_count{qos=\"1\"} 6",
            "magpie_delivery_seconds_count 0",
        ] {
            assert!(out.lines().any(|told| told == line), "{line}\n{out}");
        }
    }
}
