//! Clients that leave Nagle's algorithm on, as Paho for Java does: their kernel holds a small packet back until the server's
//! has confirmed the one before.

use std::time::{Duration, Instant};

use harness::{Client, QoS};
use serde_json::json;

use crate::{Scene, dial};

const LISTENERS: &str = r#"
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
"#;

/// Linux delays a confirmation by 40 ms.
const MEDIAN_MAX: Duration = Duration::from_millis(20);
const QUESTIONS: usize = 10;

/// Asks one question after the other; the median time of one.
fn ask(client: &mut Client) -> Duration {
    let mut times: Vec<_> = (0..QUESTIONS)
        .map(|_| {
            let begun = Instant::now();
            let profile = client.ask("profile.get", "7", &json!({})).unwrap();
            assert_eq!(profile["account"], "alice");
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[QUESTIONS / 2]
}

/// The PUBACK of an answer is answered with nothing, and the next question waits behind it.
#[test]
fn a_question_does_not_wait_behind_the_puback_of_the_last_answer() {
    let scene = Scene::new();
    let server = scene.start(LISTENERS);
    let tls = scene.authority.client_config(None);
    let at = |kind: &str, listener: &str| {
        let address = server.listener(listener, 0);
        dial(&server, kind).at(address).nagle()
    };
    let dials = [
        ("tcp", at("tcp", "mqtt://")),
        ("tls", at("tls", "mqtts://").tls(&tls)),
        ("ws", at("ws", "ws://").websocket("/mqtt", None)),
        (
            "wss",
            at("wss", "wss://").tls(&tls).websocket("/mqtt", None),
        ),
    ];
    for (kind, dial) in dials {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut client = dial.clone().connect().unwrap();
            client.subscribe(&[("im/answer/+", qos)]).unwrap();
            let median = ask(&mut client);
            assert!(
                median < MEDIAN_MAX,
                "{kind}, answers at {qos:?}: {median:?}"
            );
            client.disconnect();
        }
    }
}
