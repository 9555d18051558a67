//! The demonstration: alice in the browser, bob with mosquitto's programs in a terminal, a bot on Paho in their group. The
//! server is killed in the middle and started again; all three end with the same conversation in the same order.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;
use std::process::Command;

use harness::{Launch, Needs, Program, QoS, Server, Version, password, repository};
use serde_json::{Value, json};

/// What the demonstration needs from this machine.
struct Tools {
    python: PathBuf,
    node_modules: PathBuf,
    chromium: PathBuf,
}

impl Tools {
    fn find(needs: Needs<'_>) -> Option<Self> {
        for program in ["mosquitto_sub", "mosquitto_pub"] {
            needs.program(program, "apt-get install mosquitto-clients")?;
        }
        needs.program("node", "apt-get install nodejs")?;
        Some(Self {
            python: needs.variable("MAGPIE_PYTHON")?.into(),
            node_modules: needs.variable("MAGPIE_NODE_MODULES")?.into(),
            chromium: needs.variable("MAGPIE_CHROMIUM")?.into(),
        })
    }
}

/// alice, in the browser.
struct Browser {
    script: Program,
    answers: usize,
}

impl Browser {
    fn log_in(server: &Server, tools: &Tools) -> Self {
        let mut command = Command::new("node");
        command
            .arg(repository().join("tests/clients/node/browser.mjs"))
            .args([
                &format!("http://{}", server.http()),
                "alice",
                &password("alice"),
            ])
            .arg(&tools.chromium)
            .env("MAGPIE_NODE_MODULES", &tools.node_modules);
        let script = Program::start("browser.mjs", &mut command);
        script.line(0, |line| line == "ready");
        Self { script, answers: 1 }
    }

    fn begin(&mut self, line: &str) {
        self.script.write(&format!("{line}\n"));
    }

    fn finish(&mut self) -> String {
        let (at, answer) = self.script.line(self.answers, |_| true);
        self.answers = at + 1;
        answer
    }

    fn act(&mut self, line: &str) -> String {
        self.begin(line);
        self.finish()
    }

    /// The texts on the page, once there are so many and all are stored.
    fn stored(&mut self, count: usize) -> Vec<String> {
        serde_json::from_str(&self.act(&format!("stored {count}"))).unwrap()
    }
}

/// bob's terminal, and his next line in the other one.
struct Terminal {
    host: String,
    port: String,
    reading: Program,
}

impl Terminal {
    fn open(server: &Server) -> Self {
        let host = server.mqtt().ip().to_string();
        let port = server.mqtt().port().to_string();
        let subscribe = || {
            let mut command = Command::new("mosquitto_sub");
            command
                .args(["-h", &host, "-p", &port])
                .args(["-u", "bob", "-P", &password("bob")])
                .args(["-t", "im/text/#", "-c", "-i", "bob-term", "-q", "1", "-v"]);
            command
        };
        // The session first: then nothing is missed, whenever the program below comes to it.
        let (status, _, errors) = Program::run("mosquitto_sub -E", subscribe().arg("-E"), "");
        assert!(status.success(), "{errors}");
        let reading = Program::start("mosquitto_sub", &mut subscribe());
        Self {
            host,
            port,
            reading,
        }
    }

    /// Whether it was acknowledged.
    fn publish(&self, topic: &str, text: &str) -> bool {
        let mut command = Command::new("mosquitto_pub");
        command
            .args(["-h", &self.host, "-p", &self.port])
            .args(["-u", "bob", "-P", &password("bob")])
            .args(["-t", topic, "-q", "1", "-m", text]);
        Program::run("mosquitto_pub", &mut command, "").0.success()
    }

    /// Awaits a line.
    fn read(&self, line: &str) {
        self.reading.line(0, |read| read == line);
    }

    /// Everything said in `conv`, in the order of the screen. What was on its way when the server was killed may stand
    /// there twice.
    fn screen(&self, conv: &str) -> Vec<String> {
        let topic = format!("im/text/{conv} ");
        let mut lines: Vec<String> = Vec::new();
        for line in self.reading.output().lines() {
            if let Some(text) = line.strip_prefix(&topic)
                && !lines.iter().any(|before| before == text)
            {
                lines.push(text.to_owned());
            }
        }
        lines
    }
}

fn start_bot(server: &Server, tools: &Tools) -> Program {
    let mut command = Command::new(&tools.python);
    command
        .arg(repository().join("tests/clients/python/bot.py"))
        .args([&server.mqtt().to_string(), "bot", &password("bot"), "eng"]);
    let bot = Program::start("bot.py", &mut command);
    bot.line(0, |line| line == "ready");
    bot
}

/// What the bot saw, by seq, each once.
fn seen_by(bot: &Program) -> Vec<String> {
    let mut seen = Vec::new();
    for line in bot.output().lines() {
        let Some((seq, text)) = line.split_once(' ') else {
            continue;
        };
        match seq.parse::<usize>().unwrap() {
            seq if seq == seen.len() + 1 => seen.push(text.to_owned()),
            seq => assert!(seq <= seen.len(), "the bot saw {line} behind {seen:?}"),
        }
    }
    seen
}

/// The conversation as the server has it.
fn history(server: &Server) -> Vec<String> {
    let mut client = server
        .dial(Version::V5, "alice", "history")
        .connect()
        .unwrap();
    client
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    let answer = client
        .ask("history", "1", &json!({"conv": "eng", "limit": 200}))
        .unwrap();
    let messages = answer["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["kind"] == "message");
    let said = |message: &Value| {
        format!(
            "{}: {}",
            message["from"].as_str().unwrap(),
            message["text"].as_str().unwrap()
        )
    };
    messages.map(said).collect()
}

fn make_people(server: &Server) {
    for name in ["alice", "bob", "bot"] {
        server.add_account(name);
    }
    let mut alice = server
        .dial(Version::V5, "alice", "setup")
        .connect()
        .unwrap();
    alice
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    let group = json!({"slug": "eng", "title": "Engineering", "accounts": ["bob", "bot"]});
    assert_eq!(
        alice.ask("group.create", "1", &group).unwrap()["conv"],
        "eng"
    );
    alice.disconnect();
}

#[test]
fn a_browser_a_terminal_and_a_bot_share_a_conversation_through_a_crash() {
    let test = "a_browser_a_terminal_and_a_bot_share_a_conversation_through_a_crash";
    let Some(tools) = Tools::find(Needs { test }) else {
        return;
    };
    let mut server = Launch::new().keeps_addresses().start();
    make_people(&server);
    let terminal = Terminal::open(&server);
    let bot = start_bot(&server, &tools);
    let mut browser = Browser::log_in(&server, &tools);
    assert_eq!(browser.act("open eng"), "opened");

    browser.act("say bot, good morning");
    terminal.read("im/text/eng alice: bot, good morning");
    terminal.read("im/text/eng bot: you said: good morning");
    assert!(terminal.publish("im/to/eng", "점심 먹을까요?"));
    assert!(terminal.publish("im/to/@alice", "hi alice"));
    terminal.read("im/text/@alice bob: hi alice");
    browser.stored(3);

    server.kill();
    browser.act("say bot, are you still there?");
    assert!(
        !terminal.publish("im/to/eng", "nobody hears this"),
        "acknowledged by nobody"
    );
    server.restart();
    terminal.read("im/text/eng alice: bot, are you still there?");
    terminal.read("im/text/eng bot: you said: are you still there?");
    assert!(terminal.publish("im/to/eng", "bot, 잘 가"));
    terminal.read("im/text/eng bot: you said: 잘 가");

    let expected = [
        "alice: bot, good morning",
        "bot: you said: good morning",
        "bob: 점심 먹을까요?",
        "alice: bot, are you still there?",
        "bot: you said: are you still there?",
        "bob: bot, 잘 가",
        "bot: you said: 잘 가",
    ];
    assert_eq!(history(&server), expected);
    assert_eq!(terminal.screen("eng"), expected);
    bot.line(0, |line| line == "7 bot: you said: 잘 가");
    assert_eq!(seen_by(&bot), expected);
    let texts: Vec<_> = expected
        .iter()
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    assert_eq!(browser.stored(expected.len()), texts);

    assert_eq!(browser.act("open @bob"), "opened");
    assert_eq!(browser.stored(1), ["hi alice"]);
}
