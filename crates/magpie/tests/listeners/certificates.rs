//! TLS: whose certificates are believed on both sides, versions, application protocols, and certificates that are read again.

use std::sync::Arc;

use harness::rustls::version::{TLS12, TLS13};
use harness::{Authority, ClientError, Dial, QoS, Server, Signal, Version};

use crate::{Scene, await_metric, dial, metric, talk};

const REQUIRED: &str = r#"
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
client_certificate = "required"
account_from = "cn"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
client_certificate = "optional"
account_from = "san"
tls_min = "1.3"
"#;

fn tls(server: &Server, index: usize, client_id: &str) -> Dial {
    dial(server, client_id).at(server.listener("mqtts://", index))
}

fn is_lost<T: std::fmt::Debug>(outcome: &Result<T, ClientError>) -> bool {
    matches!(outcome, Err(ClientError::Lost(_)))
}

#[test]
fn a_client_certificate_is_an_account() {
    let scene = Scene::new();
    let clients = Authority::new();
    scene.write("clients.pem", clients.certificate());
    let server = scene.start(REQUIRED);
    server.add_account("bob");
    let alice = scene
        .authority
        .client_config(Some(&clients.client("alice", &["bob"])));

    // Without a password, with or without the name; in every version.
    for version in [Version::V31, Version::V311, Version::V5] {
        let dial = Dial::new(server.listener("mqtts://", 0), version, "phone");
        let mut phone = dial.tls(&alice).connect().unwrap();
        phone.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
        let mut bob = server.dial(Version::V5, "bob", "laptop").connect().unwrap();
        assert_eq!(bob.publish("im/to/@alice", "hi", QoS::AtLeastOnce), Ok(0));
        assert_eq!(phone.receive().unwrap().json()["from"], "bob");
        phone.disconnect();
    }
    let named = tls(&server, 0, "named")
        .login("alice", "not the password")
        .tls(&alice);
    named.connect().unwrap().disconnect();
    let other = tls(&server, 0, "other")
        .login("bob", &harness::password("bob"))
        .tls(&alice);
    assert_eq!(other.connect().unwrap_err(), ClientError::Refused(0x87));

    // The other listener looks at the alternative names: the same certificate is bob there.
    let mut bob = tls(&server, 1, "san")
        .nameless()
        .tls(&alice)
        .connect()
        .unwrap();
    bob.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
    let mut phone = tls(&server, 0, "cn")
        .nameless()
        .tls(&alice)
        .connect()
        .unwrap();
    assert_eq!(phone.publish("im/to/@bob", "hi", QoS::AtLeastOnce), Ok(0));
    assert_eq!(bob.receive().unwrap().json()["from"], "alice");

    // A name that is nobody's, and an account that is closed.
    let mallory = scene
        .authority
        .client_config(Some(&clients.client("mallory", &[])));
    let stranger = tls(&server, 0, "stranger").nameless().tls(&mallory);
    assert_eq!(stranger.connect().unwrap_err(), ClientError::Refused(0x87));
    let (status, _, errors) = server.account(&["disable", "bob"], "");
    assert!(status.success(), "{errors}");
    let closed = tls(&server, 1, "closed").nameless().tls(&alice);
    assert_eq!(closed.connect().unwrap_err(), ClientError::Refused(0x87));
}

#[test]
fn a_certificate_that_is_not_to_be_believed_opens_nothing() {
    let scene = Scene::new();
    let clients = Authority::new();
    scene.write("clients.pem", clients.certificate());
    let server = scene.start(REQUIRED);
    let failures = |reason: &str| metric(&server, "magpie_handshake_failures_total", &[reason]);

    let nothing = scene.authority.client_config(None);
    assert!(is_lost(&tls(&server, 0, "none").tls(&nothing).connect()));
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"no_certificate\""],
        1.0,
    );
    let foreign = Authority::new().client("alice", &["alice"]);
    let foreign = scene.authority.client_config(Some(&foreign));
    for listener in [0, 1] {
        assert!(is_lost(
            &tls(&server, listener, "foreign").tls(&foreign).connect()
        ));
    }
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"bad_certificate\""],
        2.0,
    );
    // Where it may be missing, a password does.
    tls(&server, 1, "password")
        .tls(&nothing)
        .connect()
        .unwrap()
        .disconnect();
    let nameless = tls(&server, 1, "nameless").nameless().tls(&nothing);
    assert_eq!(nameless.connect().unwrap_err(), ClientError::Refused(0x87));

    // And the client's view: it does not believe this server.
    let elsewhere = Authority::new().client_config(None);
    assert!(is_lost(
        &tls(&server, 1, "elsewhere").tls(&elsewhere).connect()
    ));
    // An alert, or something that cannot be decrypted, as the client's keys stand when it says so.
    await_metric(&server, "magpie_handshake_failures_total", &[], 4.0);
    assert_eq!(failures("\"origin\""), 0.0);
}

#[test]
fn versions_and_protocols_have_to_be_in_common() {
    let scene = Scene::new();
    let clients = Authority::new();
    scene.write("clients.pem", clients.certificate());
    let server = scene.start(&REQUIRED.replace("\"required\"", "\"optional\""));
    let old = scene.authority.client_config_for(None, &[&TLS12]);
    let new = scene.authority.client_config_for(None, &[&TLS13]);
    for config in [&old, &new] {
        tls(&server, 0, "any")
            .tls(config)
            .connect()
            .unwrap()
            .disconnect();
    }
    tls(&server, 1, "new")
        .tls(&new)
        .connect()
        .unwrap()
        .disconnect();
    assert!(is_lost(&tls(&server, 1, "old").tls(&old).connect()));
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"incompatible\""],
        1.0,
    );

    let speaks = |protocols: &[&str]| {
        let mut config = (*new).clone();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        tls(&server, 0, "alpn").tls(&Arc::new(config)).connect()
    };
    speaks(&["h2", "mqtt"]).unwrap().disconnect();
    assert!(is_lost(&speaks(&["h2"])));
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"alpn\""],
        1.0,
    );
}

#[test]
fn certificates_are_read_again_under_live_connections() {
    let scene = Scene::new();
    let config = REQUIRED
        .replace("\"required\"", "\"optional\"")
        .replace("clients.pem", "server.pem");
    let server = scene.start(&format!("[mqtt]\nallow_anonymous = true\n{config}"));
    let first = scene.authority.client_config(None);
    let mut live = tls(&server, 0, "live").tls(&first).connect().unwrap();

    // On SIGHUP, and on a look at the files.
    let mut before = first;
    for hang_up in [true, false] {
        let authority = Authority::new();
        let mark = server.program().error_mark();
        authority.server().write(scene.folder.path(), "server");
        if hang_up {
            server.program().signal(Signal::HangUp);
        }
        server
            .program()
            .error_line(mark, |line| line.contains("certificate read again"));
        let after = authority.client_config(None);
        // Both listeners use the files; each reads them for itself.
        await_connects(&server, &after);
        assert!(is_lost(&tls(&server, 0, "before").tls(&before).connect()));
        live.ping().unwrap();
        before = after;
    }

    // A broken file changes nothing but the log and a metric.
    let mark = server.program().error_mark();
    scene.write(
        "server.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    server.program().signal(Signal::HangUp);
    let (_, line) = server
        .program()
        .error_line(mark, |line| line.contains("not read again"));
    assert!(line.contains("server.key"), "{line}");
    await_metric(
        &server,
        "magpie_certificate_reloads_total",
        &["\"error\""],
        1.0,
    );
    await_connects(&server, &before);
    talk(&mut live, "still/here");
}

fn await_connects(server: &Server, config: &Arc<harness::rustls::ClientConfig>) {
    let begin = std::time::Instant::now();
    loop {
        match tls(server, 0, "after").tls(config).connect() {
            Ok(client) => return client.disconnect(),
            Err(error) => assert!(begin.elapsed() < harness::PATIENCE, "{error}"),
        }
    }
}

#[test]
fn what_a_certificate_lacks_is_said_at_the_start() {
    let scene = Scene::new();
    let listener = |certificate: &str, key: &str| {
        format!(
            "[[mqtt.listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:0\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
        )
    };
    Authority::new()
        .server()
        .write(scene.folder.path(), "other");
    for (certificate, key, said) in [
        ("missing.pem", "server.key", "cannot read missing.pem"),
        (
            "server.key",
            "server.key",
            "server.key holds no certificate",
        ),
        (
            "server.pem",
            "server.pem",
            "server.pem holds no private key",
        ),
        (
            "server.pem",
            "other.key",
            "server.pem cannot be used with the key other.key",
        ),
    ] {
        let errors = scene.launch(&listener(certificate, key)).refused();
        assert!(errors.contains(said), "{errors}");
    }
}
