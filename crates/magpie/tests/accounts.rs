//! `magpie account`, with a server that runs and without one.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use harness::{ClientError, Dial, Launch, Program, Server, Version, magpie, password};

/// Runs `magpie account …`, which has to succeed; what it printed.
fn done(server: &Server, arguments: &[&str], input: &str) -> String {
    let (status, output, errors) = server.account(arguments, input);
    assert_eq!(status.code(), Some(0), "{arguments:?}: {output}\n{errors}");
    output
}

/// Runs `magpie account …`, which has to be refused; the sentence.
fn refused(server: &Server, arguments: &[&str], input: &str) -> String {
    let (status, output, errors) = server.account(arguments, input);
    assert_eq!(status.code(), Some(1), "{arguments:?}: {output}\n{errors}");
    assert_eq!(output, "", "a refusal goes to standard error");
    errors
}

/// The fields of each line of the list.
fn list(server: &Server) -> Vec<Vec<String>> {
    done(server, &["list"], "")
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn log_in(server: &Server, name: &str, password: &str) -> Result<(), ClientError> {
    let client = Dial::new(server.mqtt(), Version::V311, "check")
        .login(name, password)
        .connect()?;
    client.disconnect();
    Ok(())
}

/// Everything that `magpie account` does, on a server that runs or has ended.
fn check_every_command(server: &Server) {
    let add = |name| {
        done(
            server,
            &["add", name, "--password-stdin"],
            "long enough, surely\n",
        )
    };
    let folder = server.data().display().to_string();
    let outcome =
        |name: &str, role: &str, what: &str| format!("{name} ({role}) {what}; data in {folder}");
    assert_eq!(
        add("alice"),
        outcome("alice", "admin", "has been added"),
        "the first account"
    );
    assert_eq!(add("bob"), outcome("bob", "member", "has been added"));
    done(
        server,
        &[
            "add",
            "carol",
            "--admin",
            "--display",
            "캐롤 Carol",
            "--password-stdin",
        ],
        "long enough, surely\n",
    );
    assert_eq!(
        list(server),
        [
            vec!["alice", "admin", "enabled", "alice"],
            vec!["bob", "member", "enabled", "bob"],
            vec!["carol", "admin", "enabled", "캐롤", "Carol"],
        ]
    );

    let told = refused(
        server,
        &["add", "bob", "--password-stdin"],
        "long enough, surely\n",
    );
    assert!(told.contains("bob"), "{told}");
    let told = refused(
        server,
        &["add", "Not A Name", "--password-stdin"],
        "long enough, surely\n",
    );
    assert!(
        told.contains("cannot begin with 'N'") && told.contains("a-z"),
        "{told}"
    );
    for (password, said) in [
        ("short".to_owned(), "at least 8 characters"),
        ("비".repeat(342), "up to 256 characters"),
    ] {
        let told = refused(
            server,
            &["add", "dave", "--password-stdin"],
            &format!("{password}\n"),
        );
        assert!(told.contains(said) && !told.contains("bytes"), "{told}");
    }
    for (arguments, said) in [
        (&["add", "dave smith"][..], "cannot have ' '"),
        (&["add", &"d".repeat(65)], "at most 64 letters"),
        (
            &["add", "dave", "--display", &"데".repeat(90)],
            "up to 64 characters",
        ),
    ] {
        let told = refused(
            server,
            &[arguments, &["--password-stdin"]].concat(),
            "long enough, surely\n",
        );
        assert!(told.contains(said) && !told.contains("bytes"), "{told}");
    }
    let told = refused(server, &["add", "dave", "--password-stdin"], "\n");
    assert!(told.contains("no password"), "{told}");
    let told = refused(server, &["add", "dave"], "long enough, surely\n");
    assert!(
        told.contains("--password-stdin"),
        "there is no terminal: {told}"
    );
    for command in [&["disable"][..], &["enable"], &["remove", "--yes"]] {
        let told = refused(server, &[command, &["nobody"]].concat(), "");
        assert!(told.contains("nobody"), "{told}");
    }

    assert_eq!(
        done(
            server,
            &["passwd", "bob", "--password-stdin"],
            "another one, for bob\n",
        ),
        outcome(
            "bob",
            "member",
            "has a new password and is logged out everywhere"
        )
    );
    assert_eq!(
        done(server, &["disable", "carol"], ""),
        outcome("carol", "admin", "is disabled")
    );
    assert_eq!(list(server)[2][2], "disabled");
    for command in [&["disable"][..], &["remove", "--yes"]] {
        let told = refused(server, &[command, &["alice"]].concat(), "");
        assert!(told.contains("only administrator"), "{told}");
    }
    assert_eq!(
        done(server, &["enable", "carol"], ""),
        outcome("carol", "admin", "is enabled")
    );
    let unasked = refused(server, &["remove", "alice"], "y\n");
    assert!(unasked.contains("--yes"), "there is no terminal: {unasked}");
    assert_eq!(list(server).len(), 3, "nothing is removed unasked");
    assert_eq!(
        done(server, &["remove", "alice", "--yes"], ""),
        outcome("alice", "admin", "has been removed")
    );
    let names: Vec<_> = list(server)
        .into_iter()
        .map(|line| line[0].clone())
        .collect();
    assert_eq!(names, ["bob", "carol"]);
}

/// That it counts: the logins of `check_every_command`.
fn check_logins(server: &Server) {
    log_in(server, "bob", "another one, for bob").unwrap();
    log_in(server, "carol", "long enough, surely").unwrap();
    for (name, password) in [
        ("bob", "long enough, surely"),
        ("alice", "long enough, surely"),
    ] {
        let refused = log_in(server, name, password).unwrap_err();
        assert!(
            matches!(refused, ClientError::Refused(4 | 5)),
            "{name}: {refused}"
        );
    }
}

#[test]
fn a_name_that_looks_like_another_is_made_only_for_who_insists() {
    let server = Launch::new().start();
    for name in ["alice", "mary"] {
        server.add_account(name);
    }
    let secret = format!("{}\n", password("rnary"));
    let told = refused(&server, &["add", "rnary", "--password-stdin"], &secret);
    assert!(told.contains("rnary looks like mary"), "{told}");
    let post = |path: &str, token: &str, body: &serde_json::Value| {
        let body = body.to_string();
        let request = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = harness::http_raw(server.http(), &request).unwrap();
        let body = serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
        (answer.status, body)
    };
    let login =
        serde_json::json!({"name": "alice", "password": password("alice"), "device": "test"});
    let (_, login) = post("login", "", &login);
    let token = login["token"].as_str().unwrap();
    let mut wanted = serde_json::json!({"name": "a1ice", "password": password("a1ice")});
    let (status, said) = post("accounts", token, &wanted);
    assert_eq!(
        (status, said["error"].as_str()),
        (409, Some("account_similar")),
        "{said}"
    );
    wanted["similar"] = true.into();
    assert_eq!(post("accounts", token, &wanted).0, 201);
    done(
        &server,
        &["add", "rnary", "--similar", "--password-stdin"],
        &secret,
    );
}

#[test]
fn while_the_server_runs() {
    let mut server = Launch::new().keeps_addresses().start();
    check_every_command(&server);
    check_logins(&server);
    server.terminate();
    server.restart();
    check_logins(&server);
}

#[test]
fn while_no_server_runs() {
    let mut server = Launch::new().keeps_addresses().start();
    server.terminate();
    check_every_command(&server);
    server.restart();
    check_logins(&server);
}

#[test]
fn whoever_may_no_longer_log_in_is_disconnected() {
    let server = Server::start();
    for name in ["admin", "bob", "carol", "dave"] {
        server.add_account(name);
    }
    for (name, arguments, input) in [
        ("bob", &["disable", "bob"][..], ""),
        ("carol", &["remove", "carol", "--yes"], ""),
        (
            "dave",
            &["passwd", "dave", "--password-stdin"],
            "something else\n",
        ),
    ] {
        let mut client = server.dial(Version::V5, name, "phone").connect().unwrap();
        done(&server, arguments, input);
        let end = client.end();
        assert!(matches!(end, ClientError::Disconnected(_)), "{name}: {end}");
        let refused = log_in(&server, name, &password(name)).unwrap_err();
        assert!(
            matches!(refused, ClientError::Refused(4 | 5)),
            "{name}: {refused}"
        );
    }
    done(&server, &["enable", "bob"], "");
    log_in(&server, "bob", &password("bob")).unwrap();
}

#[test]
fn a_data_directory_is_only_made_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let empty = || std::fs::read_dir(&data).map_or(true, |mut files| files.next().is_none());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(magpie());
        command
            .arg("account")
            .args(arguments)
            .arg("--data")
            .arg(&data);
        Program::run("magpie account", &mut command, "long enough, surely\n")
    };
    // Neither where nothing is, nor in a folder that is there and empty.
    for there in [false, true] {
        if there {
            std::fs::create_dir(&data).unwrap();
        }
        for command in [
            &["list"][..],
            &["add", "alice", "--password-stdin"],
            &["remove", "alice", "--yes"],
        ] {
            let (status, _, told) = run(command);
            assert_eq!(status.code(), Some(1));
            let named = told.contains("--data") && told.contains(data.to_str().unwrap());
            assert!(named && empty(), "{told}");
            assert_eq!(told.contains("--create"), command[0] == "add", "{told}");
        }
    }
    let (status, made, _) = run(&["add", "alice", "--create", "--password-stdin"]);
    assert!(status.success());
    let told = format!("alice (admin) has been added; data in {}", data.display());
    assert_eq!(made, told);
    assert!(run(&["list"]).1.starts_with("alice"));
}

#[test]
fn help_is_on_standard_output_and_nonsense_is_exit_code_2() {
    let run =
        |arguments: &[&str]| Program::run("magpie", Command::new(magpie()).args(arguments), "");
    let (status, help, _) = run(&["--help"]);
    assert!(status.success());
    for part in ["serve", "account", "--data", "mosquitto_sub"] {
        assert!(help.contains(part), "{help}");
    }
    let (status, version, _) = run(&["--version"]);
    assert!(status.success());
    assert_eq!(version, format!("magpie {}", env!("CARGO_PKG_VERSION")));
    let (status, output, errors) = run(&["account", "ad", "bob"]);
    assert_eq!((status.code(), output.as_str()), (Some(2), ""));
    assert!(errors.contains("add"), "{errors}");
}
