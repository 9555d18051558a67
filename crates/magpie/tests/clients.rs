//! Clients that other people wrote, each through the same conversation: mosquitto's programs, Paho in Python with both of
//! its callback versions, MQTT.js over TCP and WebSocket. Their scripts stand in `tests/clients`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use harness::{Client, Needs, Program, QoS, Server, Version, password, repository};

/// Who waits for the script's messages and answers them.
struct Peer {
    alice: Client,
}

impl Peer {
    fn new(server: &Server) -> Self {
        for name in ["alice", "bob"] {
            server.add_account(name);
        }
        let mut alice = server.dial(Version::V5, "alice", "peer").connect().unwrap();
        alice.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
        Self { alice }
    }

    fn say(&mut self, text: &str) {
        assert_eq!(
            self.alice.publish("im/to/@bob", text, QoS::AtLeastOnce),
            Ok(0)
        );
    }

    /// The conversation, beside a script that plays bob; `greeting` is what it says first.
    fn talk(&mut self, script: &mut Program, greeting: &str) {
        script.line(0, |line| line == "ready");
        let wanted = |message: &harness::Message| {
            message.topic == "im/in/@bob" && message.json()["from"] == "bob"
        };
        let message = self.alice.receive_where(wanted).unwrap();
        assert_eq!(message.json()["text"], greeting);
        self.say("hello bob");
        script.line(0, |line| line == "away");
        self.say("while away 1");
        self.say("while away 2");
        script.write("\n");
    }
}

/// Runs a script through the conversation; what it printed.
fn run(
    name: &str,
    server: &Server,
    peer: &mut Peer,
    command: &mut Command,
    greeting: &str,
) -> Vec<String> {
    let mut script = Program::start(name, command);
    peer.talk(&mut script, greeting);
    let status = script.end();
    assert!(
        status.success(),
        "{name}: {status}\n{}\n{}",
        script.output(),
        script.errors()
    );
    assert!(
        server
            .program()
            .errors()
            .lines()
            .all(|line| !line.contains("ERROR")),
        "{}",
        server.program().errors()
    );
    script.output().lines().map(str::to_owned).collect()
}

/// What a script has to print; 3.1 cannot tell whether the session was there.
fn expected(greeting: &str, back: &str) -> Vec<String> {
    [
        "ready",
        "sent 1",
        &format!("heard {greeting}"),
        "heard hello bob",
        "answered bob",
        "away",
        back,
        "heard while away 1",
        "heard while away 2",
        "done",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn mosquitto_programs_talk_in_every_version() {
    let needs = Needs {
        test: "mosquitto_programs_talk_in_every_version",
    };
    for program in ["mosquitto_sub", "mosquitto_pub", "mosquitto_rr"] {
        if needs
            .program(program, "apt-get install mosquitto-clients")
            .is_none()
        {
            return;
        }
    }
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let server = Server::start();
        let mut peer = Peer::new(&server);
        let greeting = "hi from a shell";
        let mut command = Command::new(repository().join("tests/clients/shell/chat.sh"));
        command.args([
            &server.mqtt().port().to_string(),
            "bob",
            &password("bob"),
            "alice",
            version,
        ]);
        let printed = run(version, &server, &mut peer, &mut command, greeting);
        let mut expected = expected(greeting, "back");
        expected[1] = "sent".to_owned();
        assert_eq!(printed, expected, "{version}");
    }
}

#[test]
fn paho_talks_in_every_version_with_both_kinds_of_callbacks() {
    let needs = Needs {
        test: "paho_talks_in_every_version_with_both_kinds_of_callbacks",
    };
    let Some(python) = needs.variable("MAGPIE_PYTHON") else {
        return;
    };
    for (version, callbacks) in [
        ("3.1", "2"),
        ("3.1.1", "1"),
        ("3.1.1", "2"),
        ("5", "1"),
        ("5", "2"),
    ] {
        let name = format!("paho {version}, callbacks {callbacks}");
        let server = Server::start();
        let mut peer = Peer::new(&server);
        let greeting = "hi from Paho";
        let mut command = Command::new(&python);
        command
            .arg(repository().join("tests/clients/python/chat.py"))
            .args([
                &server.mqtt().port().to_string(),
                "bob",
                &password("bob"),
                "alice",
                version,
                callbacks,
            ]);
        let printed = run(&name, &server, &mut peer, &mut command, greeting);
        let back = if version == "3.1" {
            "back unknown"
        } else {
            "back present"
        };
        assert_eq!(printed, expected(greeting, back), "{name}");
    }
}

#[test]
fn mqtt_js_talks_over_tcp_and_websocket() {
    let needs = Needs {
        test: "mqtt_js_talks_over_tcp_and_websocket",
    };
    let Some(modules) = needs.variable("MAGPIE_NODE_MODULES") else {
        return;
    };
    if needs.program("node", "apt-get install nodejs").is_none() {
        return;
    }
    for (transport, level) in [
        ("tcp", "3"),
        ("tcp", "4"),
        ("tcp", "5"),
        ("ws", "3"),
        ("ws", "4"),
        ("ws", "5"),
    ] {
        let name = format!("MQTT.js level {level} over {transport}");
        let server = Server::start();
        let mut peer = Peer::new(&server);
        let greeting = "hi from MQTT.js";
        let url = match transport {
            "tcp" => format!("mqtt://{}", server.mqtt()),
            _ => format!("ws://{}/mqtt", server.http()),
        };
        let mut command = Command::new("node");
        command
            .arg(repository().join("tests/clients/node/chat.mjs"))
            .args([&url, "bob", &password("bob"), "alice", level])
            .env("MAGPIE_NODE_MODULES", &modules);
        let printed = run(&name, &server, &mut peer, &mut command, greeting);
        let back = if level == "3" {
            "back unknown"
        } else {
            "back present"
        };
        assert_eq!(printed, expected(greeting, back), "{name}");
    }
}
