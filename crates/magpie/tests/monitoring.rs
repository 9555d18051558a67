//! What monitoring asks the running server: metrics in the form that Prometheus wants, at an address of their own where the
//! operator wants one; and warnings that the log tells once, however often they are met.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{
    Authority, Client, Launch, PATIENCE, Program, QoS, Server, Signal, Version, http_get, magpie,
};
use tempfile::TempDir;

#[test]
fn the_metrics_have_an_address_of_their_own_where_the_operator_wants_one() {
    let config = "[http]\nmetrics_address = \"127.0.0.1:0\"\n";
    let server = Launch::new().config(config).start();
    let metrics = server.listener("http://", 1);
    assert_ne!(metrics, server.http());
    let told = http_get(metrics, "/metrics").unwrap();
    assert_eq!(told.status, 200);
    assert!(told.body.contains("magpie_build_info"), "{}", told.body);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http_get(metrics, path).unwrap().status, 200, "{path}");
    }
    assert_eq!(http_get(metrics, "/").unwrap().status, 404);
    assert_eq!(http_get(server.http(), "/metrics").unwrap().status, 401);
    assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
    assert_eq!(server.terminate().0.code(), Some(0));
}

#[test]
fn a_taken_address_of_the_metrics_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[http]\nmetrics_address = \"{address}\"\n");
    std::fs::write(folder.path().join("magpie.toml"), text).unwrap();
    let mut command = Command::new(magpie());
    command.args(["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let (status, _, errors) = Program::run("magpie", command.current_dir(&folder), "");
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("http.metrics_address"), "{errors}");
    assert!(errors.contains("another program listens there"), "{errors}");
}

// The form of the metrics.

/// What `/metrics` tells, by the name of the family: its type and help, and its series with their values.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    series: BTreeMap<String, f64>,
}

/// Reads `/metrics` and checks the rules of `promtool check metrics` on the way.
fn families(server: &Server) -> BTreeMap<String, Family> {
    let body = http_get(server.http(), "/metrics").unwrap().body;
    let mut families = BTreeMap::<String, Family>::new();
    for line in body.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let (what, rest) = comment.split_once(' ').unwrap();
            let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let family = families.entry(name.to_owned()).or_default();
            let place = match what {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                other => panic!("{other}: {line}"),
            };
            assert!(
                place.is_empty() && !text.is_empty(),
                "once, and not empty: {line}"
            );
            assert!(family.series.is_empty(), "before its series: {line}");
            place.push_str(text);
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|name| {
                let kind = families.get(*name).map(|family| &*family.kind);
                matches!(kind, Some("histogram" | "summary"))
            });
        let name = of_histogram.unwrap_or(name).to_owned();
        let family = families.get_mut(&name);
        let family = family.unwrap_or_else(|| panic!("without HELP and TYPE: {line}"));
        let value = value.parse().unwrap();
        let doubled = family.series.insert(series.to_owned(), value);
        assert_eq!(doubled, None, "twice: {line}");
    }
    for (name, family) in &families {
        check(name, family);
    }
    families
}

fn check(name: &str, family: &Family) {
    assert!(
        !family.help.is_empty() && !family.kind.is_empty(),
        "{name}: no help or type"
    );
    assert!(!family.series.is_empty(), "{name}: no series");
    let is_counter = family.kind == "counter";
    assert_eq!(
        name.ends_with("_total"),
        is_counter,
        "{name} is a {}",
        family.kind
    );
    let words: Vec<&str> = name.split('_').collect();
    for word in &words {
        let units = [
            "microseconds",
            "milliseconds",
            "nanoseconds",
            "micros",
            "millis",
            "nanos",
            "minutes",
            "hours",
            "days",
            "kilobytes",
            "megabytes",
            "kib",
            "mib",
            "bits",
            "percent",
            "ms",
            "us",
        ];
        assert!(!units.contains(word), "{name} has no base unit");
    }
    let kinds = ["counter", "gauge", "histogram", "summary"];
    assert!(
        !words.iter().any(|word| kinds.contains(word)),
        "{name} names its type"
    );
    if family.kind == "histogram" {
        assert!(
            name.ends_with("_seconds") || name.ends_with("_bytes"),
            "{name} has no unit"
        );
    } else {
        let suffixes = ["_sum", "_count", "_bucket"];
        assert!(
            !suffixes.iter().any(|suffix| name.ends_with(suffix)),
            "{name} is no histogram"
        );
    }
}

fn count(families: &BTreeMap<String, Family>, series: &str) -> f64 {
    let name = series.split('{').next().unwrap().trim_end_matches("_count");
    let family = families.get(name).unwrap_or_else(|| panic!("no {name}"));
    *family
        .series
        .get(series)
        .unwrap_or_else(|| panic!("no {series}"))
}

/// A folder with a certificate for this machine, `server.pem` and `server.key`.
fn folder(signed: &harness::Signed) -> Arc<TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    signed.write(folder.path(), "server");
    folder
}

const LISTENERS: &str = r#"
[log]
level = "info"
[mqtt]
allow_anonymous = true
[[mqtt.listener]]
kind = "tcp"
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
"#;

#[test]
fn every_metric_has_help_a_base_unit_and_a_line_in_the_documentation() {
    let folder = folder(&Authority::new().server());
    let launch = Launch::new().folder(&folder).own_listeners();
    let server = launch.config(LISTENERS).start();
    server.add_account("alice");
    let mut phone = server
        .dial(Version::V5, "alice", "phone")
        .persistent()
        .connect()
        .unwrap();
    phone
        .subscribe(&[("t/#", QoS::ExactlyOnce), ("im/in/#", QoS::AtLeastOnce)])
        .unwrap();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(phone.publish("t/1", "x", qos), Ok(0));
        phone.receive().unwrap();
    }
    // The shards tell their numbers once a second.
    let began = Instant::now();
    let told = loop {
        let told = families(&server);
        if count(&told, "magpie_delivery_seconds_count") >= 3.0 {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "deliveries are not counted");
    };
    assert!(count(&told, "magpie_puback_seconds_count{qos=\"1\"}") >= 1.0);
    assert!(count(&told, "magpie_puback_seconds_count{qos=\"2\"}") >= 1.0);
    // Each waited for an fsync, which takes longer than nothing and not as long as the test.
    let sum = told["magpie_puback_seconds"].series["magpie_puback_seconds_sum{qos=\"1\"}"];
    assert!(sum > 0.0 && sum < PATIENCE.as_secs_f64(), "{sum}");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!(count(&told, "process_cpu_seconds_total") >= 0.0);
    assert!(count(&told, "process_resident_memory_bytes") > 1e6);
    assert!(count(&told, "process_open_fds") < count(&told, "process_max_fds"));
    let started = count(&told, "process_start_time_seconds");
    assert!((now - started).abs() < 3600.0, "{started}");
    let expiry = &told["magpie_certificate_expiry_timestamp_seconds"].series;
    assert_eq!(expiry.len(), 1, "one file: {expiry:?}");
    assert!(expiry.values().all(|ends| *ends > now), "{expiry:?}");

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/monitoring.md");
    let page = std::fs::read_to_string(page).unwrap();
    let listed: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let missing: Vec<String> = told
        .iter()
        .filter(|(name, _)| !listed.contains(&***name))
        .map(|(name, family)| format!("| `{name}` | {} | {} |", family.kind, family.help))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/monitoring.md:\n{}",
        missing.join("\n")
    );
}

// What the log tells once.

fn lines(server: &Server, part: &str) -> usize {
    let log = server.program().errors();
    log.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn an_expired_certificate_is_warned_of_once_however_many_listeners_use_it() {
    let authority = Authority::new();
    let folder = folder(&authority.expired_server());
    let launch = Launch::new().folder(&folder).own_listeners();
    let server = launch.config(LISTENERS).start();
    server
        .program()
        .error_line(0, |line| line.contains("certificate has expired"));
    let expiry = |wanted: fn(f64) -> bool| {
        let began = Instant::now();
        loop {
            let told = families(&server);
            let expiry = told.get("magpie_certificate_expiry_timestamp_seconds");
            if expiry.is_some_and(|expiry| expiry.series.values().any(|ends| wanted(*ends))) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "no such expiry");
        }
    };
    // The beginning of 2021.
    expiry(|ends| ends == 1_609_459_200.0);
    let mark = server.program().error_mark();
    authority.server().write(folder.path(), "server");
    server.program().signal(Signal::HangUp);
    let again = |line: &str| line.contains("certificate read again");
    server.program().error_line(mark, again);
    expiry(|ends| ends > 1_609_459_200.0);
    // Each reading is told after everything that the one before has to say.
    for _ in 0..2 {
        let mark = server.program().error_mark();
        server.program().signal(Signal::HangUp);
        server.program().error_line(mark, again);
    }
    assert_eq!(lines(&server, "certificate has expired"), 1);
    // Three hang-ups, and perhaps the look at the files; two listeners would make at least five lines.
    let told = lines(&server, "certificate read again");
    assert!(
        told <= 4,
        "once for a reading, not for each listener: {told}"
    );
}

#[test]
fn an_accept_that_fails_again_and_again_is_told_once() {
    let server = Launch::new().start();
    let deadline = Instant::now() + PATIENCE;
    let mut waiting = Vec::new();
    loop {
        server.program().limit_descriptors(8);
        for address in [server.mqtt(), server.http()] {
            waiting.push(TcpStream::connect(address).unwrap());
        }
        let told = |line: &str| line.contains("cannot accept connections");
        server.program().error_line(0, told);
        server.program().limit_descriptors(512);
        if server.metric("magpie_accept_failures_total", "") >= 5 {
            break;
        }
        assert!(Instant::now() < deadline, "{}", server.program().errors());
    }
    assert_eq!(lines(&server, "cannot accept connections"), 1);
}

/// CONNECT and SUBSCRIBE to `t` of a client that never reads.
fn never_reads(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.mqtt()).unwrap();
    let connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04slow";
    let subscribe = b"\x82\x06\x00\x01\x00\x01t\x00";
    socket.write_all(connect).unwrap();
    socket.write_all(subscribe).unwrap();
    socket
}

#[test]
fn a_slow_client_and_what_it_loses_are_told_by_name() {
    let config = "[mqtt]\nallow_anonymous = true\nqueued_messages_max = 10\n";
    let server = Launch::new().config(config).start();
    let _slow = never_reads(&server);
    let mut writer =
        Client::connect(harness::Dial::new(server.mqtt(), Version::V5, "writer").nameless())
            .unwrap();
    let payload = vec![b'x'; 500_000];
    let began = Instant::now();
    // What sockets take is the operating system's to say.
    while server.metric("magpie_dropped_qos0_total", "") < 50 {
        assert!(began.elapsed() < PATIENCE, "nothing is dropped");
        for _ in 0..20 {
            writer.send("t", &payload, QoS::AtMostOnce).unwrap();
        }
        writer.ping().unwrap();
    }
    let dropped = |line: &str| line.contains("messages dropped");
    let (_, line) = server.program().error_line(0, dropped);
    assert!(line.contains("(anonymous)/slow ("), "{line}");
    assert!(line.contains("WARN"), "{line}");
    let mut command = Command::new(magpie());
    command
        .args(["status", "--data", "data"])
        .current_dir(server.folder());
    loop {
        let (_, output, errors) = Program::run("magpie", &mut command, "");
        if output.contains("slow clients") {
            assert!(output.contains("(anonymous)/slow: "), "{output}");
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{output}{errors}");
    }
    // Within a minute once, however many were dropped.
    let once = lines(&server, "messages dropped");
    assert!(
        once == 1 || began.elapsed() > Duration::from_secs(60),
        "{once}"
    );
}
