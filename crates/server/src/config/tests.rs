//! The configuration through its public functions: text in, values or mistakes out.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod http;

use std::time::Duration;

use super::mistake::lines;
use super::*;

fn check(text: &str) -> Config {
    parse("magpie.toml", text).unwrap_or_else(|mistakes| panic!("{}", lines(&mistakes)))
}

fn mistakes(text: &str) -> String {
    match parse("magpie.toml", text) {
        Ok(config) => panic!("no mistake found: {config:?}"),
        Err(mistakes) => lines(&mistakes),
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(check(""), Config::default());
}

#[test]
fn every_kind_of_value_is_read() {
    let config = check(
        r#"
        [server]
        data = "/var/lib/magpie"
        durability = "interval"
        durability_interval_ms = 250
        [mqtt]
        allow_anonymous = true
        max_packet_size = 0x10_0000
        connect_timeout_secs = 5
        receive_maximum = 20
        [[mqtt.listener]]
        address = "127.0.0.1:1884"
        [[mqtt.listener]]
        address = "[::1]:1884"
        [http]
        address = "127.0.0.1:8081"
        [log]
        level = "info,net=debug"
        format = "json"
        "#,
    );
    assert_eq!(config.server.data, std::path::Path::new("/var/lib/magpie"));
    assert_eq!(config.server.durability, Durability::Interval);
    assert_eq!(
        config.server.durability_interval,
        Duration::from_millis(250)
    );
    assert!(config.mqtt.allow_anonymous);
    assert_eq!(config.mqtt.max_packet_size, 1024 * 1024);
    assert_eq!(config.mqtt.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.mqtt.receive_maximum, 20);
    let addresses: Vec<_> = config
        .mqtt
        .listeners
        .iter()
        .map(|listener| listener.address.to_string())
        .collect();
    assert_eq!(addresses, ["127.0.0.1:1884", "[::1]:1884"]);
    assert_eq!(config.http.address.port(), 8081);
    assert_eq!(config.log.level, "info,net=debug");
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_listener_has_what_its_kind_needs() {
    let config = check(
        r#"
        [[mqtt.listener]]
        kind = "tls"
        address = "0.0.0.0:8883"
        certificate = "chain.pem"
        key = "key.pem"
        client_ca = "ca.pem"
        client_certificate = "required"
        account_from = "cn"
        tls_min = "1.3"
        [[mqtt.listener]]
        kind = "ws"
        address = "127.0.0.1:8083"
        path = "/chat"
        origins = ["https://chat.example.org"]
        proxy_protocol = true
        proxy_from = ["127.0.0.1", "10.0.0.0/8"]
        connections_max = 7
        [[mqtt.listener]]
        kind = "unix"
        address = "/run/magpie/mqtt.sock"
        mode = "0600"
        "#,
    );
    let [tls, ws, unix] = &config.mqtt.listeners[..] else {
        panic!("{:?}", config.mqtt.listeners);
    };
    assert_eq!(
        tls.tls,
        Some(TlsConfig {
            certificate: "chain.pem".into(),
            key: "key.pem".into(),
            client_ca: Some("ca.pem".into()),
            client_certificate: ClientCertificate::Required,
            account_from: Some(AccountFrom::CommonName),
            tls_min: TlsMin::V13,
        })
    );
    assert_eq!((&tls.websocket, &tls.proxies), (&None, &None));
    let websocket = ws.websocket.as_ref().unwrap();
    assert_eq!(websocket.path, "/chat");
    assert_eq!(websocket.origins, ["https://chat.example.org"]);
    assert_eq!(ws.proxies.as_ref().unwrap().len(), 2);
    let limits = ListenerLimits {
        connections_max: Some(7),
        ..ListenerLimits::default()
    };
    assert_eq!((&ws.limits, &ws.tls), (&limits, &None));
    assert_eq!(
        unix.address,
        ListenAddress::Path("/run/magpie/mqtt.sock".into())
    );
    assert_eq!(unix.mode, 0o600);
}

#[test]
fn what_a_listener_lacks_or_cannot_use_is_said() {
    insta::assert_snapshot!(mistakes(
        r#"
[[mqtt.listener]]
kind = "tls"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:1"
[[mqtt.listener]]
address = "127.0.0.1:2"
certificate = "chain.pem"
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:3"
certificate = "chain.pem"
key = "key.pem"
client_certificate = "optional"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:4"
certificate = "chain.pem"
key = "key.pem"
account_from = "cn"
[[mqtt.listener]]
address = "127.0.0.1:5"
proxy_protocol = true
[[mqtt.listener]]
address = "127.0.0.1:6"
proxy_from = ["10.0.0.1"]
[[mqtt.listener]]
kind = "unix"
address = "127.0.0.1:7"
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:8"
origins = ["chat.example.org"]
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:9"
path = "mqtt"
[[mqtt.listener]]
kind = "tcp"
address = "127.0.0.1:10"
mode = "0600"
[[mqtt.listener]]
kind = "unix"
address = "./a.sock"
mode = "rw"
"#
    ), @r#"
    magpie.toml:2: mqtt.listener: has no `address`, such as "0.0.0.0:8883"
    magpie.toml:4: mqtt.listener: needs a `certificate` and its `key`, two files in PEM form
    magpie.toml:9: mqtt.listener.certificate: belongs to listeners of kind tls, wss and quic, this one is tcp
    magpie.toml:15: mqtt.listener.client_certificate: needs `client_ca`, the file with the authorities that sign clients' certificates
    magpie.toml:21: mqtt.listener.account_from: is of no use without client_certificate = "optional" or "required"
    magpie.toml:24: mqtt.listener.proxy_protocol: needs `proxy_from`, the proxies' addresses, such as ["127.0.0.1", "10.0.0.0/8"]; anybody else could claim any address
    magpie.toml:27: mqtt.listener.proxy_from: is of no use without proxy_protocol = true
    magpie.toml:30: mqtt.listener.address: `127.0.0.1:7` is not a path; expected one such as "/run/magpie/mqtt.sock" or "./mqtt.sock"
    magpie.toml:34: mqtt.listener.origins: `chat.example.org` is not an origin; expected an origin such as "https://chat.example.org", or "*" for every one
    magpie.toml:38: mqtt.listener.path: `mqtt` is not a path; expected a path such as "/mqtt"
    magpie.toml:42: mqtt.listener.mode: belongs to listeners of kind unix, this one is tcp
    magpie.toml:46: mqtt.listener.mode: `rw` are not permissions; expected permissions such as "0660"
    "#);
    insta::assert_snapshot!(mistakes("[http]\ncertificate = \"chain.pem\"\n"), @"magpie.toml:1: http: `certificate` and `key` belong together: one of them is missing");
}

#[test]
fn access_rules_keep_their_order() {
    let config = check(
        r##"
        [[acl]]
        deny = "publish"
        filter = "devices/+/locked"
        [[acl]]
        allow = "all"
        filter = "devices/%u/#"
        [[acl]]
        allow = "subscribe"
        filter = "news/#"
        who = "anonymous"
        [[acl]]
        allow = "publish"
        filter = "news/%c"
        who = "editor"
        "##,
    );
    let rule = |verdict, actions, filter: &str, who| AccessRule {
        verdict,
        actions,
        filter: filter.to_owned(),
        who,
    };
    assert_eq!(
        config.acl,
        [
            rule(
                AccessVerdict::Deny,
                AccessActions::Publish,
                "devices/+/locked",
                AccessWho::Everyone
            ),
            rule(
                AccessVerdict::Allow,
                AccessActions::All,
                "devices/%u/#",
                AccessWho::Everyone
            ),
            rule(
                AccessVerdict::Allow,
                AccessActions::Subscribe,
                "news/#",
                AccessWho::Anonymous
            ),
            rule(
                AccessVerdict::Allow,
                AccessActions::Publish,
                "news/%c",
                AccessWho::Account("editor".to_owned())
            ),
        ]
    );
}

#[test]
fn unknown_keys_and_sections_name_the_nearest_known() {
    insta::assert_snapshot!(mistakes(
        "[mqtt]\nmax_packt_size = 1\nlistner = 1\nzzz = 1\ndata = \"x\"\n[htpp]\n[nothing_like_it]\n"
    ), @r"
    magpie.toml:2: mqtt.max_packt_size: unknown key; did you mean `max_packet_size`?
    magpie.toml:3: mqtt.listner: unknown key; did you mean `listener`?
    magpie.toml:4: mqtt.zzz: unknown key; docs/configuration.md has those of `mqtt`
    magpie.toml:5: mqtt.data: unknown key; it belongs in `[server]`
    magpie.toml:6: htpp: unknown section; did you mean `http`?
    magpie.toml:7: nothing_like_it: unknown section; there are server, mqtt, http, auth, chat, log, acl
    ");
}

#[test]
fn a_key_outside_its_section_is_sent_home() {
    insta::assert_snapshot!(mistakes("max_packet_size = 4096\nacl = 3\nmqtt = 1\n"), @r"
    magpie.toml:1: max_packet_size: a key outside a section; it belongs in `[mqtt]`
    magpie.toml:2: acl: expected one or more `[[acl]]`, found the number 3
    magpie.toml:3: mqtt: expected a section `[mqtt]`, found the number 1
    ");
}

#[test]
fn wrong_types_say_what_was_expected() {
    insta::assert_snapshot!(mistakes(
        "[server]\ndata = 3\ndurability = \"sometimes\"\n[mqtt]\nallow_anonymous = \"yes\"\nmax_packet_size = \"1 MB\"\nshards = 1.5\nreceive_maximum = []\n"
    ), @r#"
    magpie.toml:2: server.data: expected a path in quotation marks, found the number 3
    magpie.toml:3: server.durability: expected "always" or "interval", found "sometimes"
    magpie.toml:5: mqtt.allow_anonymous: expected true or false, found the text "yes"
    magpie.toml:6: mqtt.max_packet_size: expected a whole number, 1024 to 8388608 bytes, found the text "1 MB"
    magpie.toml:7: mqtt.shards: expected a whole number, 0 to 64 threads, found the number 1.5
    magpie.toml:8: mqtt.receive_maximum: expected a whole number, 1 to 65535 messages, found a list
    "#);
}

#[test]
fn numbers_out_of_range_name_the_range() {
    insta::assert_snapshot!(mistakes(
        "[mqtt]\nmax_packet_size = 12\nreceive_maximum = 0\nshards = -1\nconnect_timeout_secs = 99999999999999999999999999999999999999999\n"
    ), @r"
    magpie.toml:2: mqtt.max_packet_size: 12 is out of range; allowed are 1024 to 8388608 bytes
    magpie.toml:3: mqtt.receive_maximum: 0 is out of range; allowed are 1 to 65535 messages
    magpie.toml:4: mqtt.shards: -1 is out of range; allowed are 0 to 64 threads
    magpie.toml:5: mqtt.connect_timeout_secs: 99999999999999999999999999999999999999999 is out of range; allowed are 1 to 600 seconds
    ");
}

#[test]
fn who_is_sent_away_is_told_where() {
    let reference = "other.example:1883 third.example [::1]:1884 [::1]";
    let text = format!("[mqtt]\nredirect = \"permanent\"\nserver_reference = \"{reference}\"\n");
    let config = check(&text);
    assert_eq!(config.mqtt.redirect, RedirectMode::Permanent);
    assert_eq!(config.mqtt.server_reference, reference);
    insta::assert_snapshot!(mistakes("[mqtt]\nredirect = \"temporary\"\n"), @r#"magpie.toml:2: mqtt.redirect: needs `server_reference`, such as "other.example:1883""#);
    insta::assert_snapshot!(mistakes("[mqtt]\nserver_reference = \"other:99999\"\n"), @r"magpie.toml:2: mqtt.server_reference: `other:99999` has no port behind its colon; expected `host` or `host:port`, several separated by single spaces");
    insta::assert_snapshot!(mistakes("[mqtt]\nserver_reference = \"a  b\"\n"), @r"magpie.toml:2: mqtt.server_reference: `` has no host; expected `host` or `host:port`, several separated by single spaces");
    insta::assert_snapshot!(mistakes("[mqtt]\nserver_reference = \":1883\"\n"), @r"magpie.toml:2: mqtt.server_reference: `:1883` has no host; expected `host` or `host:port`, several separated by single spaces");
}

#[test]
fn bad_addresses_propose_a_right_one() {
    insta::assert_snapshot!(mistakes(
        "[http]\naddress = \"localhost:8080\"\n[[mqtt.listener]]\naddress = \":1883\"\n[[mqtt.listener]]\naddress = \"10.0.0.1\"\n[[mqtt.listener]]\naddress = \"1883\"\n[[mqtt.listener]]\naddress = \"mqtt.example:1883\"\n[[mqtt.listener]]\n[[mqtt.listener]]\naddress = 1883\n"
    ), @r#"
    magpie.toml:2: http.address: `localhost:8080` is not an address; expected "127.0.0.1:8080"
    magpie.toml:4: mqtt.listener.address: `:1883` is not an address; expected "0.0.0.0:1883" for every address of this machine, "127.0.0.1:1883" for this machine only
    magpie.toml:6: mqtt.listener.address: `10.0.0.1` is not an address; expected the port too, such as "127.0.0.1:1883" or "[::1]:1883"
    magpie.toml:8: mqtt.listener.address: `1883` is not an address; expected the address too, such as "127.0.0.1:1883"
    magpie.toml:10: mqtt.listener.address: `mqtt.example:1883` is not an address; expected an IP address and a port, such as "127.0.0.1:1883" or "[::1]:1883"
    magpie.toml:11: mqtt.listener: has no `address`, such as "127.0.0.1:1883"
    magpie.toml:13: mqtt.listener.address: expected an address such as "127.0.0.1:1883", or a path for kind "unix", in quotation marks, found the number 1883
    "#);
}

#[test]
fn one_address_is_not_listened_on_twice() {
    insta::assert_snapshot!(mistakes(
        "[[mqtt.listener]]\naddress = \"127.0.0.1:1883\"\n[[mqtt.listener]]\naddress = \"127.0.0.1:1883\"\n"
    ), @"magpie.toml:3: mqtt.listener: 127.0.0.1:1883 is listened on twice");
}

#[test]
fn access_rules_are_checked() {
    insta::assert_snapshot!(mistakes(
        "[[acl]]\nallow = \"all\"\ndeny = \"all\"\nfilter = \"a/#/b\"\n[[acl]]\nfilter = \"dev-%u/x\"\n[[acl]]\nallow = \"write\"\nfilter = \"im/in/#\"\nwho = \"Bob\"\n[[acl]]\ndeny = \"all\"\nwho = \"bob\"\n"
    ), @r#"
    magpie.toml:1: acl: has to say either `allow` or `deny`, one of them
    magpie.toml:4: acl.filter: `#` stands only at the end of a filter; expected a topic filter
    magpie.toml:5: acl: has to say either `allow` or `deny`, one of them
    magpie.toml:6: acl.filter: `%u` and `%c` are whole levels, but there is `dev-%u`; expected a topic filter
    magpie.toml:8: acl.allow: expected "publish" or "subscribe" or "all", found "write"
    magpie.toml:9: acl.filter: the `im/` tree belongs to the messenger and is not governed by the access list; expected a topic filter
    magpie.toml:10: acl.who: `Bob` is not an account name ([a-z0-9][a-z0-9._-]{0,63}); expected an account name, `*` or `anonymous`
    magpie.toml:11: acl: has no `filter`, such as "devices/%u/#"
    "#);
}

#[test]
fn what_is_not_toml_names_its_line() {
    insta::assert_snapshot!(mistakes("[mqtt]\nmax_packet_size = = 3\n"), @"magpie.toml:2: not valid TOML: extra `=`, expected nothing");
    insta::assert_snapshot!(mistakes("[log]\nlevel = \"loud\"\nlevel = \"info\"\n"), @"magpie.toml:3: not valid TOML: duplicate key");
}

#[test]
fn a_log_level_is_checked() {
    insta::assert_snapshot!(mistakes("[log]\nlevel = \"info,net=loud\"\n"), @"magpie.toml:2: log.level: `loud` is not a level; expected `error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs separated by commas");
}

#[test]
fn a_message_stays_one_short_line_whatever_was_written() {
    let text = format!("[mqtt]\n\"{}\\n\\u001b[31m\" = 1\n", "x".repeat(500));
    let told = mistakes(&text);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.chars().all(|letter| !letter.is_control()), "{told:?}");
}

#[test]
fn at_most_twenty_mistakes_are_told() {
    let text: String = (0..100).map(|index| format!("[no{index}]\n")).collect();
    assert_eq!(mistakes(&text).lines().count(), mistake::MISTAKES_MAX);
}

#[test]
fn the_file_names_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("magpie.toml");
    let missing = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(
        missing.contains("cannot read the configuration") && missing.contains("magpie.toml"),
        "{missing}"
    );
    std::fs::write(&path, "[http]\nadress = \"127.0.0.1:1\"\n").unwrap();
    let told = Config::load(Some(&path)).unwrap_err().to_string();
    assert_eq!(
        told,
        format!(
            "{}:2: http.adress: unknown key; did you mean `address`?",
            path.display()
        )
    );
    std::fs::write(&path, "#".repeat(2 * 1024 * 1024)).unwrap();
    let large = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(large.contains("2097152 bytes"), "{large}");
}

#[test]
fn the_command_line_goes_before_the_file() {
    let mut config = check("[server]\ndata = \"a\"\n[mqtt]\nmax_packet_size = 4096\n");
    let overrides = Overrides {
        data: Some("b".into()),
        mqtt: vec![
            "127.0.0.1:1".parse().unwrap(),
            "127.0.0.1:2".parse().unwrap(),
        ],
        http: Some("127.0.0.1:3".parse().unwrap()),
        allow_anonymous: true,
        durability: Some(Durability::Interval),
        log: Some("debug".to_owned()),
    };
    overrides.apply(&mut config);
    assert_eq!(config.server.data, std::path::Path::new("b"));
    assert_eq!(config.mqtt.listeners.len(), 2);
    assert_eq!(config.http.address.port(), 3);
    assert!(config.mqtt.allow_anonymous);
    assert_eq!(config.server.durability, Durability::Interval);
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.mqtt.max_packet_size, 4096, "what is not given stays");
    let before = config.clone();
    Overrides::default().apply(&mut config);
    assert_eq!(config, before);
}

#[test]
fn a_reload_says_what_waits_for_a_restart() {
    let old = check("[mqtt]\nshards = 1\n");
    let new = check(
        "[mqtt]\nshards = 2\nmax_packet_size = 4096\n[[mqtt.listener]]\naddress = \"127.0.0.1:5\"\n[[acl]]\nallow = \"all\"\nfilter = \"#\"\n",
    );
    let changes = old.reloadable_diff(&new);
    assert_eq!(changes.applied, ["mqtt.max_packet_size", "acl"]);
    assert_eq!(changes.need_restart, ["mqtt.shards", "mqtt.listener"]);
    let values: Vec<_> = changes
        .values
        .iter()
        .map(|change| (&change.key[..], &change.before[..], &change.after[..]))
        .collect();
    assert_eq!(
        values,
        [
            ("mqtt.max_packet_size", "1048576", "4096"),
            ("acl", "0 rules", "1 rules")
        ]
    );
    assert_eq!(old.reloadable_diff(&old), Changes::default());
}

/// Each default, written into a file as the reference shows it, is accepted and changes nothing.
#[test]
fn every_default_in_the_reference_is_a_value_that_is_accepted() {
    let page = reference();
    let mut text = String::new();
    let mut rows = 0;
    let mut wanted = false;
    for line in page.lines() {
        if let Some(section) = line
            .strip_prefix("## `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            wanted = !section.starts_with("[[");
            if wanted {
                text.push_str(section);
                text.push('\n');
            }
        }
        let cells: Vec<_> = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        if wanted && line.starts_with("| `") {
            // What has no default is left out.
            if cells[2] != "–" {
                text.push_str(&format!("{} = {}\n", cells[1], cells[2]));
            }
            rows += 1;
        }
    }
    assert_eq!(check(&text), Config::default());
    assert_eq!(
        rows,
        table::SECTIONS
            .iter()
            .map(|section| section.keys.len())
            .sum::<usize>()
    );
}

#[test]
fn the_page_in_the_tree_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == reference(),
        "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p server config"
    );
}

fn expanded(text: &str) -> Result<Config, String> {
    let variable = |name: &str| match name {
        "DATA" => Some("/srv/magpie".to_owned()),
        "PORT_1" => Some("1884".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    parse_in("magpie.toml", text, &variable).map_err(|mistakes| lines(&mistakes))
}

#[test]
fn environment_variables_take_the_place_of_their_names() {
    let config = expanded(
        r#"
        [server]
        data = "${DATA}/${EMPTY}data"
        [[mqtt.listener]]
        address = "127.0.0.1:${PORT_1}"
        [[mqtt.listener]]
        kind = "ws"
        address = "127.0.0.1:1"
        origins = ["http://host:${PORT_1}"]
        [[acl]]
        allow = "subscribe"
        filter = "$SYS/$${DATA}/$x"
        "#,
    )
    .unwrap();
    assert_eq!(config.server.data, Path::new("/srv/magpie/data"));
    let addresses = config.mqtt.listeners.iter();
    let addresses: Vec<_> = addresses.map(|one| one.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:1884", "127.0.0.1:1"]);
    let websocket = config.mqtt.listeners[1].websocket.as_ref().unwrap();
    assert_eq!(websocket.origins, ["http://host:1884"]);
    assert_eq!(config.acl[0].filter, "$SYS/${DATA}/$x");
}

#[test]
fn a_variable_that_is_not_set_is_a_mistake_with_its_line() {
    let text = "[server]\ndata = \"${NOWHERE}\"\n[[acl]]\nallow = \"all\"\nfilter = \"a/${\"\n[http]\naddress = \"${HOST NAME}:1\"\n";
    let told = expanded(text).unwrap_err();
    let told: Vec<_> = told.lines().collect();
    for (line, expected) in told.iter().zip([
        "magpie.toml:2: server.data: the environment variable NOWHERE is not set; for `${NOWHERE}` as it stands write `$${NOWHERE}`",
        "magpie.toml:5: acl.filter: `${` has to be followed by the name of an environment variable and `}`",
        "magpie.toml:7: http.address: `${` has to be followed by",
    ]) {
        assert!(line.starts_with(expected), "{line}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
    let told = expanded("[server]\ndata = \"${EMPTY}\"\n").unwrap_err();
    assert!(told.contains("an empty path"), "{told}");
}

#[test]
fn more_threads_than_there_can_be_are_refused_and_not_left_out() {
    assert_eq!(check("[mqtt]\nshards = 64\n").mqtt.shards, 64);
    let told = mistakes("[mqtt]\nshards = 65\n");
    assert!(told.contains("allowed are 0 to 64 threads"), "{told}");
}
