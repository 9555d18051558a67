//! Which hosts a request may name: those of this server. A page whose own name has been made to lead here (DNS rebinding) is
//! of the same origin to its browser, but it still names its own host. It must not look up a name.

use std::net::IpAddr;

use axum::http::uri::Authority;

/// The names of this server beside those that it always has: loopback, and the address that a connection came to.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// The operator says `*`: somebody else checks.
    any: bool,
    named: Vec<Host>,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// In lower case, without the dot at its end.
    Name(String),
    Address(IpAddr),
}

impl Hosts {
    /// Of `http.hosts`.
    pub(crate) fn new(names: &[String]) -> Self {
        Self {
            any: names.iter().any(|name| name == "*"),
            named: names.iter().map(|name| Host::parse(name)).collect(),
        }
    }

    /// Whether it is one of them. `local` is the address of this server that the connection came to.
    pub(crate) fn contains(&self, authority: &Authority, local: IpAddr) -> bool {
        if self.any {
            return true;
        }
        let host = Host::parse(authority.host());
        let its_own = match &host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback() || *address == local.to_canonical(),
        };
        its_own || self.named.contains(&host)
    }
}

impl Host {
    fn parse(text: &str) -> Self {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], host: &str, local: &str, expected: bool) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let authority = Authority::try_from(host).unwrap();
        let contained = Hosts::new(&names).contains(&authority, local.parse().unwrap());
        assert_eq!(contained, expected, "{host} of {names:?} at {local}");
    }

    #[test]
    fn loopback_and_the_address_of_the_connection_need_no_configuration() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1:8080",
            "127.9.8.7",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "10.0.0.5:8080",
        ] {
            check(&[], host, "10.0.0.5", true);
        }
        check(&[], "10.0.0.5", "::ffff:10.0.0.5", true);
        check(&[], "[2001:DB8::0:1]:8080", "2001:db8::1", true);
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.6",
            "0.0.0.0",
            "[::]",
            "2130706433",
        ] {
            check(&[], host, "10.0.0.5", false);
        }
    }

    #[test]
    fn other_names_are_those_that_the_operator_names() {
        let names = ["Chat.example.org", "192.0.2.1", "[2001:db8::1]"];
        for host in [
            "chat.example.org",
            "CHAT.example.org.:443",
            "192.0.2.1:8080",
            "[2001:db8:0::1]:8080",
        ] {
            check(&names, host, "10.0.0.5", true);
        }
        for host in [
            "example.org",
            "x.chat.example.org",
            "chat.example.org.evil.example",
            "192.0.2.2",
        ] {
            check(&names, host, "10.0.0.5", false);
        }
        check(&["*"], "evil.example", "10.0.0.5", true);
    }
}
