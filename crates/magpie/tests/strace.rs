//! The order of system calls, which a killed process cannot show: fdatasync of the journal has returned before PUBACK or
//! PUBREC is written to the client.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;
use std::path::Path;

use harness::{Launch, Needs, QoS, Server, Version};

/// A system call in the order of the trace: when it was entered and when it had returned, as line numbers.
#[derive(Debug)]
struct Call {
    entered: usize,
    returned: usize,
    name: String,
    text: String,
}

/// Reads the trace. A call that another thread's line interrupts stands in two lines.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: Vec<(String, usize, String)> = Vec::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.push((pid.to_owned(), number, begun.to_owned()));
        } else if let Some((resumed, end)) = rest
            .strip_prefix("<... ")
            .and_then(|rest| rest.split_once(" resumed>"))
        {
            let index = open
                .iter()
                .position(|(of, _, begun)| of == pid && begun.starts_with(resumed))
                .unwrap_or_else(|| panic!("resumed and never begun: {line}"));
            let (_, entered, begun) = open.remove(index);
            calls.push(call(entered, number, format!("{begun}{end}")));
        } else if rest.contains('(') {
            calls.push(call(number, number, rest.to_owned()));
        }
    }
    calls
}

fn call(entered: usize, returned: usize, text: String) -> Call {
    let name = text.split('(').next().unwrap_or_default().to_owned();
    Call {
        entered,
        returned,
        name,
        text,
    }
}

/// Bytes as strace -xx prints them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

/// The server under strace, which writes to `trace`.
fn traced(trace: &Path, durability: &str) -> Server {
    let trace = trace.to_str().unwrap();
    let calls = "trace=fdatasync,fsync,sync_file_range,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,close";
    // With -D the server, not strace, is the test's child. With -y file descriptors are named by what they are open on.
    let words = [
        "strace", "-D", "-f", "-q", "-y", "-xx", "-s", "4096", "-e", calls, "-o", trace,
    ];
    Launch::new()
        .argument("--allow-anonymous")
        .argument("--durability")
        .argument(durability)
        .under(&words)
        .start()
}

/// A publish and what was seen of it.
struct Published {
    topic: &'static str,
    body: String,
    qos: QoS,
    packet_id: u16,
}

/// Publishes to a conversation and to an ordinary topic somebody durable waits for, at QoS 1 and 2, in both versions.
fn publish_everything(server: &Server) -> Vec<Published> {
    server.add_account("alice");
    let keeper = server.dial(Version::V311, "alice", "keeper").persistent();
    let mut keeper = keeper.connect().unwrap();
    keeper.subscribe(&[("plant/#", QoS::ExactlyOnce)]).unwrap();
    keeper.disconnect();

    let mut published = Vec::new();
    for version in [Version::V311, Version::V5] {
        let mut client = server.dial(version, "alice", "writer").connect().unwrap();
        for topic in ["im/to/@alice", "plant/1"] {
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let body = format!("{topic} {qos:?} {version:?}");
                assert_eq!(
                    client.publish(topic, &body, qos).unwrap() & 0x80,
                    0,
                    "{body}"
                );
                published.push(Published {
                    topic,
                    body,
                    qos,
                    packet_id: client.last_packet_id(),
                });
            }
        }
        client.disconnect();
    }
    published
}

/// Whether fdatasync of the file that took the message was entered after the write and had returned before the bytes of
/// the acknowledgement were written to a socket; if not, what happened.
fn check_order(calls: &[Call], published: &Published) -> Result<(), String> {
    let Published {
        topic,
        body,
        qos,
        packet_id,
    } = published;
    // Paths are printed as -xx prints bytes, too.
    let suffix = hex(b".jnl");
    let bytes = hex(body.as_bytes());
    // Packet ids are a connection's own: the other one's were used before this message was there.
    let from = calls.iter().position(|call| call.text.contains(&bytes));
    let calls = &calls[from.ok_or_else(|| format!("{body}: never written anywhere"))?..];
    let stored = calls
        .iter()
        .find(|call| {
            call.name.contains("write")
                && call.text.contains(&bytes)
                && journal(call, &suffix).is_some()
        })
        .ok_or_else(|| format!("{body}: never written to a journal"))?;
    let file = journal(stored, &suffix);
    let synced = calls
        .iter()
        .find(|call| {
            ["fsync", "fdatasync"].contains(&call.name.as_str())
                && call.entered > stored.returned
                && journal(call, &suffix) == file
        })
        .ok_or_else(|| format!("{body}: the journal was never synced behind it"))?;
    if !synced.text.ends_with("= 0") {
        return Err(format!("{body}: {}", synced.text));
    }
    let first = if *qos == QoS::AtLeastOnce { 0x40 } else { 0x50 };
    let [high, low] = packet_id.to_be_bytes();
    let acknowledgement = hex(&[first, 2, high, low]);
    let answered = calls
        .iter()
        .find(|call| is_on_socket(call) && call.text.contains(&acknowledgement))
        .ok_or_else(|| {
            format!("{topic}: packet {packet_id} was acknowledged before it was stored, or never")
        })?;
    if synced.returned < answered.entered {
        Ok(())
    } else {
        Err(format!(
            "{body}: acknowledged before it was on disk:\n{}\n{}\n{}",
            stored.text, answered.text, synced.text
        ))
    }
}

/// The journal that a call is about: its first argument, as -y prints it.
fn journal<'c>(call: &'c Call, suffix: &str) -> Option<&'c str> {
    let (descriptor, _) = call.text.split_once('(')?.1.split_once('>')?;
    let plain = descriptor.ends_with(".jnl");
    (plain || descriptor.ends_with(suffix)).then_some(descriptor)
}

fn is_on_socket(call: &Call) -> bool {
    let descriptor = call
        .text
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once('>'));
    descriptor.is_some_and(|(descriptor, _)| {
        let descriptor = descriptor.to_lowercase();
        ["socket:", "tcp:", &hex(b"socket:"), &hex(b"TCP:")]
            .iter()
            .any(|kind| descriptor.contains(&kind.to_lowercase()))
    })
}

/// Everything published on a server of this durability, and what the trace says about each.
fn orders(test: &str, durability: &str) -> Option<Vec<Result<(), String>>> {
    Needs { test }.program("strace", "apt-get install strace")?;
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let server = traced(&trace, durability);
    let published = publish_everything(&server);
    assert_eq!(server.terminate().0.code(), Some(0));
    let calls = calls(&std::fs::read_to_string(&trace).unwrap());
    Some(
        published
            .iter()
            .map(|published| check_order(&calls, published))
            .collect(),
    )
}

#[test]
fn the_journal_is_synced_before_an_acknowledgement_leaves() {
    let test = "the_journal_is_synced_before_an_acknowledgement_leaves";
    for order in orders(test, "always").into_iter().flatten() {
        order.unwrap();
    }
}

/// The other test would notice: with the weaker durability the order is another.
#[test]
fn with_interval_durability_an_acknowledgement_leaves_first() {
    let test = "with_interval_durability_an_acknowledgement_leaves_first";
    let Some(orders) = orders(test, "interval") else {
        return;
    };
    assert!(
        orders.iter().any(Result::is_err),
        "everything was synced first"
    );
}
