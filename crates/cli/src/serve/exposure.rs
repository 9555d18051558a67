//! Who can reach the server from outside: a warning for addresses beyond this machine where nothing encrypts.

use std::net::SocketAddr;

use server::Endpoint;
use server::config::{ListenAddress, ListenerKind};

/// Warns about every address that other machines reach. `http` is HTTP without TLS.
pub(super) fn warn(mqtt: &[Endpoint], http: Option<SocketAddr>) {
    let exposed = exposed(mqtt, http);
    if !exposed.is_empty() {
        tracing::warn!(
            addresses = exposed.join(", "),
            "passwords and messages cross the network in the clear: other machines reach these addresses and there is no TLS; \
             give them a certificate (docs/listeners.md), or listen on 127.0.0.1 behind a proxy that terminates TLS"
        );
    }
}

fn exposed(mqtt: &[Endpoint], http: Option<SocketAddr>) -> Vec<String> {
    let outside = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    let plain = |endpoint: &&Endpoint| match (endpoint.kind, &endpoint.address) {
        (ListenerKind::Tcp | ListenerKind::WebSocket, ListenAddress::Ip(address)) => {
            outside(address)
        }
        (_, ListenAddress::Ip(_) | ListenAddress::Path(_)) => false,
    };
    let http = http
        .filter(outside)
        .map(|address| format!("http://{address}"));
    let mqtt = mqtt.iter().filter(plain).map(ToString::to_string);
    mqtt.chain(http).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_beyond_this_machine_are_exposed() {
        let endpoint = |kind, address: &str| Endpoint {
            kind,
            address: ListenAddress::Ip(address.parse().unwrap()),
            path: String::new(),
        };
        let mqtt = [
            "127.0.0.1:1883",
            "[::1]:1883",
            "[::ffff:127.0.0.1]:1",
            "0.0.0.0:1883",
            "[::]:1883",
        ]
        .map(|address| endpoint(ListenerKind::Tcp, address));
        assert_eq!(
            exposed(&mqtt, Some("192.168.0.2:8080".parse().unwrap())),
            [
                "mqtt://0.0.0.0:1883",
                "mqtt://[::]:1883",
                "http://192.168.0.2:8080"
            ]
        );
        assert!(exposed(&mqtt[..3], Some("127.0.0.9:80".parse().unwrap())).is_empty());
        let kinds =
            [ListenerKind::Tls, ListenerKind::WebSocket].map(|kind| endpoint(kind, "0.0.0.0:1"));
        assert_eq!(exposed(&kinds, None), ["ws://0.0.0.0:1"]);
    }
}
