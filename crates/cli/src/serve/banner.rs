//! What `magpie serve` prints once it serves. People read it, and so do tests: one address per line, first on its line.
//! It must not find anything out.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use server::config::{Durability, ListenerKind, ServerConfig};
use server::handle::Secret;
use server::{DemoLogin, DemoLoginState, Endpoint};

/// Everything that is told.
pub(super) struct Banner<'a> {
    pub(super) mqtt: &'a [Endpoint],
    pub(super) http: SocketAddr,
    /// Whether it is HTTPS.
    pub(super) secure: bool,
    /// Where the metrics are, if they have an address of their own.
    pub(super) metrics: Option<SocketAddr>,
    pub(super) server: &'a ServerConfig,
    /// Connections that there may be at once.
    pub(super) connections_max: usize,
    pub(super) setup: Setup<'a>,
}

/// How one gets in.
pub(super) enum Setup<'a> {
    /// With an account.
    Done,
    /// With the one-time token, because there is no account yet.
    FirstAccount(&'a Secret),
    /// As one of the people of `--demo`.
    Demo(&'a [DemoLogin]),
}

/// Escape sequences, or nothing.
struct Paint {
    strong: &'static str,
    link: &'static str,
    faint: &'static str,
    off: &'static str,
}

const COLOURS: Paint = Paint {
    strong: "\x1b[1m",
    link: "\x1b[36m",
    faint: "\x1b[2m",
    off: "\x1b[0m",
};
const PLAIN: Paint = Paint {
    strong: "",
    link: "",
    faint: "",
    off: "",
};

/// Width of the column of addresses.
const ADDRESS_WIDTH: usize = 30;

impl Banner<'_> {
    pub(super) fn print(&self, out: &mut impl Write, colours: bool) -> io::Result<()> {
        let paint = if colours { COLOURS } else { PLAIN };
        let Paint { strong, off, .. } = paint;
        writeln!(out, "\n{strong}Magpie{off} {}\n", env!("CARGO_PKG_VERSION"))?;
        for endpoint in self.mqtt {
            let what = match endpoint.kind {
                ListenerKind::Tcp => "any MQTT client: 3.1, 3.1.1 and 5",
                ListenerKind::Tls => "MQTT over TLS",
                ListenerKind::WebSocket => "MQTT over WebSocket",
                ListenerKind::SecureWebSocket => "MQTT over WebSocket and TLS",
                ListenerKind::Unix => "MQTT for programs on this machine",
                ListenerKind::Quic => "MQTT over QUIC",
            };
            row(out, &paint, &endpoint.to_string(), what)?;
        }
        let http = self.http;
        let s = if self.secure { "s" } else { "" };
        row(
            out,
            &paint,
            &format!("http{s}://{http}"),
            "web client and REST",
        )?;
        row(
            out,
            &paint,
            &format!("ws{s}://{http}/mqtt"),
            "MQTT over WebSocket",
        )?;
        if let Some(metrics) = self.metrics {
            let metrics = format!("http://{metrics}/metrics");
            row(out, &paint, &metrics, "metrics and health")?;
        }
        let data = self.server.data.display();
        writeln!(out, "\n  data in {strong}{data}{off}")?;
        writeln!(
            out,
            "  room for {} connections at once",
            grouped(self.connections_max)
        )?;
        match self.server.durability {
            Durability::Always => {}
            Durability::Interval => writeln!(
                out,
                "  durability interval: a power cut may lose what was acknowledged in the last {} ms",
                self.server.durability_interval.as_millis()
            )?,
        }
        self.setup(out, &paint)?;
        writeln!(out)?;
        out.flush()
    }

    fn setup(&self, out: &mut impl Write, paint: &Paint) -> io::Result<()> {
        let Paint {
            strong,
            link,
            faint,
            off,
        } = paint;
        let http = reachable(self.http);
        let s = if self.secure { "s" } else { "" };
        match self.setup {
            Setup::Done => Ok(()),
            Setup::FirstAccount(token) => {
                writeln!(
                    out,
                    "\n  There is no account yet. Make the first one, an administrator, here; the link works once:\n"
                )?;
                writeln!(
                    out,
                    "  {link}http{s}://{http}/setup#token={}{off}",
                    token.expose()
                )
            }
            Setup::Demo(logins) => {
                writeln!(
                    out,
                    "\n  A demonstration: log in as one of these at {link}http{s}://{http}{off}\n"
                )?;
                let width = logins.iter().map(|login| login.name.len()).max();
                let width = width.unwrap_or(0);
                for DemoLogin { name, state } in logins {
                    write!(out, "  {strong}{name:width$}{off}  {faint}")?;
                    match state {
                        DemoLoginState::Password(password) => {
                            writeln!(out, "password{off} {}", password.expose())?;
                        }
                        DemoLoginState::OtherPassword => {
                            writeln!(out, "has been given another password{off}")?;
                        }
                        DemoLoginState::Disabled => writeln!(out, "is disabled{off}")?,
                        DemoLoginState::Removed => writeln!(out, "has been removed{off}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

fn row(out: &mut impl Write, paint: &Paint, address: &str, what: &str) -> io::Result<()> {
    let Paint {
        link, faint, off, ..
    } = paint;
    writeln!(
        out,
        "  {link}{address:ADDRESS_WIDTH$}{off} {faint}{what}{off}"
    )
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for three in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(three.iter().map(|digit| char::from(*digit)));
    }
    text
}

/// An address that a browser on this machine can open: "every address" is none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use server::config::ListenAddress;

    use super::*;

    fn print(setup: Setup<'_>, durability: Durability, http: &str, colours: bool) -> String {
        let server = ServerConfig {
            durability,
            ..ServerConfig::default()
        };
        let banner = Banner {
            mqtt: &[
                (ListenerKind::Tcp, "127.0.0.1:1883"),
                (ListenerKind::Tcp, "[::1]:1883"),
                (ListenerKind::Quic, "[::]:8883"),
            ]
            .map(|(kind, address)| Endpoint {
                kind,
                address: ListenAddress::Ip(address.parse().unwrap()),
                path: String::new(),
            }),
            http: http.parse().unwrap(),
            secure: false,
            metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9100))),
            server: &server,
            connections_max: 19_808,
            setup,
        };
        let mut out = Vec::new();
        banner.print(&mut out, colours).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn thousands_are_told_apart() {
        let told = [7, 64, 999, 1_000, 19_808, 1_000_000].map(grouped);
        assert_eq!(told, ["7", "64", "999", "1,000", "19,808", "1,000,000"]);
    }

    #[test]
    fn every_address_is_the_first_word_of_its_line() {
        let banner = print(Setup::Done, Durability::Always, "127.0.0.1:8080", false);
        let first_words: Vec<_> = banner
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.contains("://"))
            .collect();
        assert_eq!(
            first_words,
            [
                "mqtt://127.0.0.1:1883",
                "mqtt://[::1]:1883",
                "quic://[::]:8883",
                "http://127.0.0.1:8080",
                "ws://127.0.0.1:8080/mqtt",
                "http://127.0.0.1:9100/metrics"
            ]
        );
        assert!(banner.contains("data in ./magpie-data"), "{banner}");
        assert!(banner.contains("room for 19,808 connections"), "{banner}");
        assert!(!banner.contains("durability"), "{banner}");
        assert!(!banner.contains('\x1b'), "{banner}");
    }

    #[test]
    fn the_setup_link_can_be_opened_on_this_machine() {
        let token = Secret::new("k3Jx9");
        for (http, link) in [
            (
                "127.0.0.1:8080",
                "\n  http://127.0.0.1:8080/setup#token=k3Jx9\n",
            ),
            ("0.0.0.0:80", "\n  http://127.0.0.1:80/setup#token=k3Jx9\n"),
            ("[::]:80", "\n  http://[::1]:80/setup#token=k3Jx9\n"),
        ] {
            let banner = print(Setup::FirstAccount(&token), Durability::Always, http, false);
            assert!(banner.contains(link), "{banner}");
        }
    }

    #[test]
    fn demo_logins_and_a_weaker_durability_are_told() {
        let logins = [
            ("alice", DemoLoginState::Password(Secret::new("one"))),
            ("bob", DemoLoginState::OtherPassword),
        ]
        .map(|(name, state)| DemoLogin { name, state });
        let banner = print(
            Setup::Demo(&logins),
            Durability::Interval,
            "127.0.0.1:8080",
            false,
        );
        assert!(
            banner.contains("  alice  password one\n  bob    has been given another password\n"),
            "{banner}"
        );
        assert!(banner.contains("last 100 ms"), "{banner}");
    }

    #[test]
    fn colours_are_switched_off_again() {
        let banner = print(Setup::Done, Durability::Always, "127.0.0.1:8080", true);
        assert!(banner.contains("\x1b[36mmqtt://127.0.0.1:1883"), "{banner}");
        for line in banner.lines().filter(|line| line.contains('\x1b')) {
            assert!(
                line.ends_with("\x1b[0m") || line.contains("\x1b[0m "),
                "{line:?}"
            );
        }
    }
}
