//! What README.md and README.ko.md tell to type is run as it stands there.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::Command;

use harness::{Needs, Program, QoS, Server, Version, password, repository};

const PAGES: [&str; 2] = ["README.md", "README.ko.md"];

fn read(page: &str) -> String {
    std::fs::read_to_string(repository().join(page)).unwrap()
}

/// The commands of a page that begin with `program`.
fn commands(page: &str, program: &str) -> Vec<String> {
    let text = read(page);
    let commands = text.lines().filter_map(|line| line.strip_prefix("    "));
    commands
        .filter(|line| line.starts_with(program))
        .map(str::to_owned)
        .collect()
}

/// The bot of `page` in a file below `folder`, for this server and with this password.
fn bot(page: &str, server: &Server, secret: &str, folder: &Path) -> std::path::PathBuf {
    let text = read(page);
    let code = text.split("```python\n").nth(1).unwrap();
    let code = code.split("```").next().unwrap();
    let (host, port) = (server.mqtt().ip(), server.mqtt().port());
    let code = code
        .replace("\"SECRET\"", &format!("{secret:?}"))
        .replace("\"127.0.0.1\", 1883", &format!("\"{host}\", {port}"));
    let file = folder.join("bot.py");
    std::fs::write(&file, code).unwrap();
    file
}

#[test]
fn the_bot_of_the_page_answers_and_says_when_it_is_not_let_in() {
    let test = "the_bot_of_the_page_answers_and_says_when_it_is_not_let_in";
    let Some(python) = (Needs { test }).variable("MAGPIE_PYTHON") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (page, refused, answer) in [
        (PAGES[0], "not let in: ", "at your service, alice"),
        (PAGES[1], "들어가지 못했습니다: ", "alice 님, 부르셨나요?"),
    ] {
        let server = Server::start();
        for name in ["alice", "bot"] {
            server.add_account(name);
        }
        let file = bot(page, &server, "a wrong password", folder.path());
        let (status, said, errors) = Program::run("bot.py", Command::new(&python).arg(file), "");
        assert!(status.success(), "{errors}");
        assert_eq!(said, format!("{refused}Bad user name or password"));

        let mut alice = server
            .dial(Version::V5, "alice", "phone")
            .connect()
            .unwrap();
        alice
            .subscribe(&[("im/in/@bot", QoS::AtLeastOnce)])
            .unwrap();
        // What is asked before the bot subscribes waits in its session.
        let mut earlier = server
            .dial(Version::V5, "bot", "bot-1")
            .persistent()
            .connect()
            .unwrap();
        earlier.subscribe(&[("im/in/+", QoS::AtLeastOnce)]).unwrap();
        earlier.disconnect();
        let asked = alice.publish("im/to/@bot", "bot, are you there?", QoS::AtLeastOnce);
        assert_eq!(asked, Ok(0));
        let file = bot(page, &server, &password("bot"), folder.path());
        let _bot = Program::start("bot.py", Command::new(&python).arg(file));
        alice
            .receive_where(|message| message.json()["text"] == answer)
            .unwrap();
    }
}

#[test]
fn every_command_in_a_terminal_hears_why_it_is_refused() {
    let test = "every_command_in_a_terminal_hears_why_it_is_refused";
    let installs = "apt-get install mosquitto-clients";
    if (Needs { test })
        .program("mosquitto_sub", installs)
        .is_none()
    {
        return;
    }
    for page in PAGES {
        let server = Server::start();
        server.add_account("bob");
        let (host, port) = (server.mqtt().ip(), server.mqtt().port());
        let commands = commands(page, "mosquitto_");
        assert_eq!(commands.len(), 5, "{commands:?}");
        for command in commands {
            let (program, rest) = command.split_once(' ').unwrap();
            let line = format!("{program} -h {host} -p {port} {rest}");
            let mut shell = Command::new("sh");
            let (_, output, errors) = Program::run("sh", shell.args(["-c", &line]), "");
            assert!(
                errors.contains("Bad User Name or Password"),
                "{command}: {output}\n{errors}"
            );
        }
    }
}
