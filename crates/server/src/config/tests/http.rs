//! `[http]`: texts that have a form of their own.

use super::{check, mistakes};

#[test]
fn names_of_the_server_are_hosts_without_a_port() {
    let config =
        check("[http]\nhosts = [\"chat.example.org\", \"192.0.2.1\", \"[::1]\", \"::1\", \"*\"]");
    assert_eq!(config.http.hosts.len(), 5);
    for wrong in [
        "",
        "chat.example.org:443",
        "https://chat.example.org",
        "*.example.org",
        "a b",
        "[chat]",
    ] {
        let told = mistakes(&format!("[http]\nhosts = [\"{wrong}\"]"));
        assert!(
            told.contains("is not a host name; expected a host name such as"),
            "{told}"
        );
    }
}

#[test]
fn a_token_for_the_metrics_is_long_and_never_repeated() {
    let token = "metrics_token = \"0123456789abcdef\"";
    let old = check(&format!(
        "[http]\n{token}\nmetrics_address = \"[::1]:9100\""
    ));
    assert_eq!(
        old.http.metrics_address,
        Some("[::1]:9100".parse().unwrap())
    );
    let new =
        check("[http]\nmetrics_token = \"0123456789abcdeF\"\nmetrics_address = \"[::1]:9100\"");
    let changes = old.reloadable_diff(&new);
    assert_eq!(changes.need_restart, ["http.metrics_token"]);
    for wrong in ["0123456789abcde", "0123456789 abcdef", ""] {
        let told = mistakes(&format!("[http]\nmetrics_token = \"{wrong}\""));
        assert!(told.contains("this is not a token; expected"), "{told}");
        assert!(wrong.is_empty() || !told.contains(wrong), "{told}");
    }
    assert!(!format!("{old:?}").contains("0123456789"), "{old:?}");
}

#[test]
fn proxies_of_http_are_networks() {
    let config = check("[http]\nproxy_from = [\"127.0.0.1\", \"2001:db8::/32\"]");
    let networks: Vec<_> = config
        .http
        .proxy_from
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["127.0.0.1/32", "2001:db8::/32"]);
    let told = mistakes("[http]\nproxy_from = [\"nginx\"]");
    let expected = "`nginx` is not an address or a network; expected an address or a network such as \"10.0.0.0/8\"";
    assert!(told.contains(expected), "{told}");
}
