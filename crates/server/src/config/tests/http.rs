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
