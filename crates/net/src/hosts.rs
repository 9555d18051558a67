//! Which hosts a request may name: those of this server. A page whose own name has been made to lead here (DNS rebinding) is
//! of the same origin to its browser, but it still names its own host. It must not look up a name.

use std::net::IpAddr;

use tungstenite::http::uri::Authority;

/// The names of this server beside `localhost` and every literal address, which no name can be made to lead to.
#[derive(Debug)]
pub struct Hosts {
    /// The operator says `*`: somebody else checks.
    any: bool,
    named: Vec<Host>,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// In lower case, without the dot at its end.
    Name(String),
    Address,
}

impl Hosts {
    /// Of `http.hosts`.
    pub fn new(names: &[String]) -> Self {
        Self {
            any: names.iter().any(|name| name == "*"),
            named: names.iter().map(|name| Host::parse(name)).collect(),
        }
    }

    /// Whether it is one of them.
    pub fn contains(&self, authority: &Authority) -> bool {
        if self.any {
            return true;
        }
        match Host::parse(authority.host()) {
            Host::Address => true,
            Host::Name(name) if name == "localhost" => true,
            name @ Host::Name(_) => self.named.contains(&name),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Self {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if bare.parse::<IpAddr>().is_ok() {
            return Self::Address;
        }
        Self::Name(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], host: &str, expected: bool) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let authority = Authority::try_from(host).unwrap();
        let contained = Hosts::new(&names).contains(&authority);
        assert_eq!(contained, expected, "{host} of {names:?}");
    }

    #[test]
    fn localhost_and_literal_addresses_need_no_configuration() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1:8080",
            "127.9.8.7",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "10.0.0.5:8080",
            "192.0.2.1",
            "[2001:DB8::0:1]:8080",
        ] {
            check(&[], host, true);
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.6.nip.example",
            "2130706433",
            "0x7f.1",
            "1.2.3",
        ] {
            check(&[], host, false);
        }
    }

    #[test]
    fn other_names_are_those_that_the_operator_names() {
        let names = ["Chat.example.org"];
        for host in ["chat.example.org", "CHAT.example.org.:443"] {
            check(&names, host, true);
        }
        for host in [
            "example.org",
            "x.chat.example.org",
            "chat.example.org.evil.example",
        ] {
            check(&names, host, false);
        }
        check(&["*"], "evil.example", true);
    }
}
