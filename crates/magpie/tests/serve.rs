//! `magpie serve` from outside: what it prints, when it answers, how it ends, what it says about mistakes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use harness::{
    ClientError, Dial, Launch, PATIENCE, Program, QoS, Server, Signal, Version, http_get,
    http_post, magpie, password,
};
use serde_json::json;

/// How long a server may take to end in order.
const END_MAX: Duration = Duration::from_secs(5);

/// The one-time token in the banner.
fn setup_token(server: &Server) -> String {
    let (_, link) = server
        .program()
        .line(0, |line| line.contains("/setup#token="));
    let (address, token) = link.trim().split_once("/setup#token=").unwrap();
    assert_eq!(address, format!("http://{}", server.http()));
    token.to_owned()
}

/// Runs a command that has to fail, and gives what it said.
fn refused(command: &mut Command) -> String {
    let (status, output, errors) = Program::run("magpie", command, "");
    assert_eq!(status.code(), Some(1), "{output}\n{errors}");
    assert_eq!(output, "");
    errors
}

#[test]
fn the_banner_tells_addresses_directory_and_the_link_for_the_first_account() {
    let mut server = Launch::new().keeps_addresses().start();
    let token = setup_token(&server);
    let banner = server.program().output();
    server
        .program()
        .error_line(0, |line| line.contains("ready took="));
    assert!(
        banner.contains(&format!("data in {}", server.data().display())),
        "{banner}"
    );
    assert!(!banner.contains("durability"), "{banner}");
    assert!(!banner.contains('\x1b'), "colours in a pipe: {banner}");

    assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
    let nobody = Dial::new(server.mqtt(), Version::V5, "x")
        .connect()
        .unwrap_err();
    assert!(
        matches!(nobody, ClientError::Refused(0x86 | 0x87)),
        "{nobody}"
    );

    let first = |token: &str, name: &str| {
        let body = json!({"token": token, "name": name, "password": password(name), "display": ""});
        http_post(server.http(), "/api/v1/setup", &body)
            .unwrap()
            .status
    };
    assert_eq!(first("guessed", "mallory"), 403);
    assert_eq!(first(&token, "alice"), 201);
    assert_eq!(first(&token, "mallory"), 409, "the link works once");
    server
        .dial(Version::V5, "alice", "laptop")
        .connect()
        .unwrap()
        .disconnect();

    assert_eq!(server.terminate().0.code(), Some(0));
    server.restart();
    server
        .dial(Version::V311, "alice", "laptop")
        .connect()
        .unwrap()
        .disconnect();
    assert_eq!(server.terminate().0.code(), Some(0));
    let banner = server.program().output();
    assert!(
        !banner.contains("#token="),
        "there is an account already: {banner}"
    );
}

#[test]
fn a_second_server_is_refused_and_told_who_holds_the_directory() {
    let server = Server::start();
    let (status, output, errors) = server.start_second();
    assert_eq!(status.code(), Some(1), "{output}\n{errors}");
    assert_eq!(output, "");
    let holder = format!("is in use by process {}", server.program().pid());
    for part in [
        server.data().display().to_string(),
        holder,
        format!("mqtt://{}", server.mqtt()),
        format!("http://{}", server.http()),
        "--data".to_owned(),
    ] {
        assert!(errors.contains(&part), "{part:?} is missing in: {errors}");
    }
    assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
}

#[test]
fn signals_end_the_server_in_order() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let server = Server::start();
        server.add_account("alice");
        let mut five = server.dial(Version::V5, "alice", "five").connect().unwrap();
        let mut three = server
            .dial(Version::V311, "alice", "three")
            .connect()
            .unwrap();
        five.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
        // A request that never ends must not hold it up.
        let idle = std::net::TcpStream::connect(server.http()).unwrap();
        let begun = std::time::Instant::now();
        server.program().signal(signal);
        assert_eq!(
            five.end(),
            ClientError::Disconnected(0x8B),
            "server shutting down"
        );
        assert!(matches!(three.end(), ClientError::Lost(_)));
        let status = server.program().end();
        assert_eq!(
            status.code(),
            Some(0),
            "{signal:?}: {}",
            server.program().errors()
        );
        assert!(
            begun.elapsed() < END_MAX,
            "{signal:?} took {:?}",
            begun.elapsed()
        );
        drop(idle);
        assert!(!server.data().join("control.sock").exists());
    }
}

#[test]
fn what_was_acknowledged_is_there_after_an_orderly_end() {
    let mut server = Launch::new().keeps_addresses().start();
    server.add_account("alice");
    let mut alice = server
        .dial(Version::V311, "alice", "phone")
        .persistent()
        .connect()
        .unwrap();
    alice.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
    alice
        .publish("im/to/@alice", "note to self", QoS::AtLeastOnce)
        .unwrap();
    server.terminate();
    server.restart();
    assert_eq!(alice.reconnect(), Ok(true), "the session is still there");
    let message = alice
        .receive_where(|message| message.topic == "im/in/@alice")
        .unwrap();
    assert_eq!(message.json()["text"], "note to self");
}

#[test]
fn sighup_applies_what_can_change_and_tells_what_has_to_wait() {
    let server = Launch::new().config("[log]\nlevel = \"info\"\n").start();
    server.add_account("admin");
    server.add_account("bob");
    let mut bob = server.dial(Version::V5, "bob", "phone").connect().unwrap();
    assert_eq!(bob.publish("news/today", "no", QoS::AtLeastOnce), Ok(0x87));

    let file = server.folder().join("magpie.toml");
    let reload = |text: &str, wanted: &str| {
        std::fs::write(&file, text).unwrap();
        let mark = server.program().error_mark();
        server.program().signal(Signal::HangUp);
        server
            .program()
            .error_line(mark, |line| line.contains(wanted))
            .1
    };
    let rules = "[[acl]]\nallow = \"publish\"\nfilter = \"news/#\"\n";
    let told = reload(
        &format!("[log]\nlevel = \"info\"\n{rules}"),
        "configuration reloaded",
    );
    assert!(told.contains("acl"), "{told}");
    assert_eq!(
        bob.publish("news/today", "yes", QoS::AtLeastOnce).unwrap() & 0x80,
        0
    );

    let told = reload("[log]\nlevl = \"info\"\n", "not reloaded");
    assert!(told.contains("magpie.toml:2: log.levl"), "{told}");
    assert_eq!(
        bob.publish("news/today", "the old rules hold", QoS::AtLeastOnce)
            .unwrap()
            & 0x80,
        0
    );

    let told = reload(
        &format!("[mqtt]\nshards = 1\n{rules}"),
        "wait for a restart",
    );
    assert!(told.contains("mqtt.shards"), "{told}");
    bob.ping().unwrap();
}

#[test]
fn mistakes_are_told_with_file_line_key_and_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(
        &file,
        "[mqtt]\nmax_packt_size = 3\n\n[http]\naddress = \"localhost\"\n",
    )
    .unwrap();
    let told = refused(
        Command::new(magpie())
            .arg("--config")
            .arg(&file)
            .current_dir(&folder),
    );
    assert!(told.contains("wrong.toml:2: mqtt.max_packt_size"), "{told}");
    assert!(told.contains("did you mean `max_packet_size`?"), "{told}");
    assert!(told.contains("wrong.toml:5: http.address"), "{told}");
    assert!(
        !folder.path().join("magpie-data").exists(),
        "nothing was begun"
    );

    let told = refused(
        Command::new(magpie())
            .args(["serve", "--config", "nowhere.toml"])
            .current_dir(&folder),
    );
    assert!(told.contains("nowhere.toml"), "{told}");
}

#[test]
fn a_taken_address_is_named_with_the_option_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken
        .local_addr()
        .map(|address| (taken, address.to_string()))
        .unwrap();
    for (option, other) in [("--mqtt", "--http"), ("--http", "--mqtt")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(magpie());
        command.args(["--data", "data", option, &taken.1, other, "127.0.0.1:0"]);
        let told = refused(command.current_dir(&folder));
        assert!(told.contains(&taken.1) && told.contains(option), "{told}");
        assert!(told.contains("another program listens there"), "{told}");
        assert_eq!(told.matches("os error").count(), 1, "{told}");
        assert!(!told.contains("ready took="), "{told}");
    }
}

#[test]
fn an_address_of_another_machine_is_told_as_one() {
    for (option, other) in [("--mqtt", "--http"), ("--http", "--mqtt")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(magpie());
        // Of the block that is for examples: RFC 5737.
        command.args(["--data", "data", option, "192.0.2.1:18830"]);
        let told = refused(command.args([other, "127.0.0.1:0"]).current_dir(&folder));
        assert!(
            told.contains("192.0.2.1:18830") && told.contains(option),
            "{told}"
        );
        assert!(told.contains("this machine has no such address"), "{told}");
        assert_eq!(told.matches("os error").count(), 1, "{told}");
    }
}

#[test]
fn a_data_path_that_cannot_be_one_is_told_with_the_option_that_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    // Nobody makes a directory in the last one, root included.
    for (data, said) in [
        ("file", "not a directory"),
        ("file/data", "Not a directory"),
        ("/sys/magpie", "has to be able to write there"),
    ] {
        let mut command = Command::new(magpie());
        command.args(["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let told = refused(command.args(["--data", data]).current_dir(&folder));
        assert!(told.contains(said) && told.contains("--data"), "{told}");
        assert!(told.matches("os error").count() <= 1, "{told}");
        assert_eq!(
            told.to_lowercase().matches("not a directory").count(),
            usize::from(data != "/sys/magpie"),
            "{told}"
        );
    }
}

#[test]
fn the_demonstration_has_people_groups_and_history_in_two_languages() {
    let mut server = Launch::new().keeps_addresses().argument("--demo").start();
    let login = demo_login(&server, "mina");
    let [name, "password", password] = words(&login)[..] else {
        panic!("not a login: {login:?}");
    };
    let mut person = Dial::new(server.mqtt(), Version::V5, "look")
        .login(name, password)
        .connect()
        .unwrap();
    person
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    let answer = person.ask("conversations", "1", &json!({})).unwrap();
    let conversations = answer["conversations"].as_array().unwrap();
    let groups: Vec<_> = conversations
        .iter()
        .filter(|conversation| conversation["kind"] == "group")
        .collect();
    assert!(!groups.is_empty(), "{answer}");
    let mut said = String::new();
    for conversation in conversations {
        let history = person
            .ask(
                "history",
                "2",
                &json!({"conv": conversation["conv"], "limit": 50}),
            )
            .unwrap();
        said.push_str(&history.to_string());
    }
    let hangul = said.chars().any(|letter| ('가'..='힣').contains(&letter));
    assert!(hangul && said.contains(" the "), "{said}");

    server.terminate();
    server.restart();
    assert_eq!(demo_login(&server, "mina"), login, "told at every start");
    let again = Dial::new(server.mqtt(), Version::V311, "again").login(name, password);
    again.connect().unwrap().disconnect();
}

/// What the banner says about one of the people of `--demo`.
fn demo_login(server: &Server, name: &str) -> String {
    let (from, _) = server.program().line(0, |line| line.contains("log in"));
    let wanted = |line: &str| words(line).first() == Some(&name);
    server.program().line(from + 1, wanted).1
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn the_demonstration_tells_no_password_that_has_been_changed() {
    let mut server = Launch::new().keeps_addresses().argument("--demo").start();
    let mina = demo_login(&server, "mina");
    let jun = demo_login(&server, "jun");
    let change = |server: &Server, arguments: &[&str]| {
        let (status, _, told) = server.account(arguments, "something else\n");
        assert!(status.success(), "{told}");
    };
    change(&server, &["passwd", "jun", "--password-stdin"]);
    change(&server, &["disable", "sora"]);
    server.terminate();
    server.restart();
    assert_eq!(demo_login(&server, "mina"), mina);
    let told = demo_login(&server, "jun");
    assert!(
        told.ends_with("jun   has been given another password"),
        "{told}"
    );
    assert!(demo_login(&server, "sora").ends_with("is disabled"));
    let secret = words(&jun)[2];
    assert!(
        !server.program().output().contains(secret),
        "it is no longer right"
    );

    change(&server, &["remove", "jun", "--yes"]);
    server.terminate();
    server.restart();
    assert!(demo_login(&server, "jun").ends_with("has been removed"));
}

#[test]
fn a_server_with_accounts_of_its_own_is_no_demonstration() {
    let mut server = Launch::new().keeps_addresses().start();
    server.add_account("mina");
    server.terminate();
    server.try_restart_with(&["--demo"]).unwrap();
    let mark = |line: &str| line.contains("--demo has added nothing");
    server.program().error_line(0, mark);
    let banner = server.program().output();
    assert!(!banner.contains("demonstration"), "{banner}");
}

#[test]
fn the_service_manager_is_told_once_the_ports_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = Launch::new()
        .variable("NOTIFY_SOCKET", path.to_str().unwrap())
        .start();
    let hear = || {
        let mut heard = [0; 64];
        let length = manager.recv(&mut heard).unwrap();
        String::from_utf8_lossy(&heard[..length]).into_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
    assert_eq!(server.terminate().0.code(), Some(0));
    assert_eq!(hear(), "STOPPING=1");
}

#[test]
fn options_go_before_the_file_and_weaker_durability_is_told() {
    let server = Launch::new()
        .config("[server]\ndurability = \"always\"\n\n[http]\naddress = \"127.0.0.1:1\"\n")
        .argument("--durability=interval")
        .argument("--allow-anonymous")
        .argument("--mqtt=127.0.0.1:0")
        .start();
    server
        .program()
        .line(0, |line| line.contains("durability interval"));
    let mut anybody = Dial::new(server.mqtt(), Version::V311, "thing")
        .connect()
        .unwrap();
    anybody.subscribe(&[("plant/#", QoS::AtLeastOnce)]).unwrap();
    anybody
        .publish("plant/1", "21.5", QoS::AtLeastOnce)
        .unwrap();
    assert_eq!(anybody.receive().unwrap().text(), "21.5");

    let banner = server.program().output();
    let addresses: Vec<_> = banner
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("mqtt://"))
        .collect();
    assert_eq!(addresses.len(), 2, "{banner}");
    for address in addresses {
        let dial = Dial::new(address.parse().unwrap(), Version::V5, "other");
        dial.connect().unwrap().disconnect();
    }
}

#[test]
fn environment_variables_stand_in_the_file_and_for_options() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("magpie.toml");
    std::fs::write(&file, "[server]\ndata = \"${STATE}/data\"\n").unwrap();
    let told = refused(Command::new(magpie()).current_dir(&folder));
    assert!(
        told.contains("magpie.toml:2: server.data: the environment variable STATE is not set"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        1,
        "nothing was begun"
    );

    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let mut command = Command::new(magpie());
    command.env("STATE", &state).current_dir(&folder);
    for (name, value) in [
        ("MAGPIE_MQTT", "127.0.0.1:0,127.0.0.1:0"),
        ("MAGPIE_HTTP", "127.0.0.1:0"),
        ("MAGPIE_DURABILITY", "interval"),
        ("MAGPIE_DEMO", "no"),
    ] {
        command.env(name, value);
    }
    let server = Program::start("magpie", &mut command);
    server.line(0, |line| line.contains("/setup#token="));
    let banner = server.output();
    assert_eq!(banner.matches("mqtt://127.0.0.1:").count(), 2, "{banner}");
    assert!(banner.contains("durability interval"), "{banner}");
    let data = state.join("data");
    assert!(
        banner.contains(&format!("data in {}", data.display())),
        "{banner}"
    );
    let told = refused(
        Command::new(magpie())
            .env("MAGPIE_DATA", &data)
            .env("MAGPIE_HTTP", "127.0.0.1:0")
            .env("MAGPIE_MQTT", "127.0.0.1:0"),
    );
    assert!(told.contains("is in use by process"), "{told}");
}

#[test]
fn json_logs_are_one_object_per_line_and_hold_no_secret() {
    let server = Launch::new()
        .config("[log]\nformat = \"json\"\nlevel = \"trace\"\n")
        .start();
    server.add_account("alice");
    let mut alice = server
        .dial(Version::V5, "alice", "phone")
        .connect()
        .unwrap();
    alice
        .publish("im/to/@alice", "only for me", QoS::AtLeastOnce)
        .unwrap();
    alice.disconnect();
    server.terminate();
    let log = server.program().errors();
    assert!(!log.is_empty());
    for line in log.lines() {
        let entry: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry["level"].is_string(), "{line}");
    }
    for secret in [password("alice").as_str(), "only for me"] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}
