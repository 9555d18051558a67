//! Who can reach the server from outside: a warning for addresses beyond this machine, because nothing here encrypts.

use std::net::SocketAddr;

/// Warns about every address that other machines reach.
pub(super) fn warn(mqtt: &[SocketAddr], http: SocketAddr) {
    let exposed = exposed(mqtt, http);
    if !exposed.is_empty() {
        tracing::warn!(
            addresses = exposed.join(", "),
            "passwords and messages cross the network in the clear: other machines reach these addresses and there is no TLS; \
             listen on 127.0.0.1 and put a proxy that terminates TLS in front"
        );
    }
}

fn exposed(mqtt: &[SocketAddr], http: SocketAddr) -> Vec<String> {
    mqtt.iter()
        .map(|address| ("mqtt", *address))
        .chain([("http", http)])
        .filter(|(_, address)| !address.ip().to_canonical().is_loopback())
        .map(|(scheme, address)| format!("{scheme}://{address}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_beyond_this_machine_are_exposed() {
        let mqtt = [
            "127.0.0.1:1883",
            "[::1]:1883",
            "[::ffff:127.0.0.1]:1",
            "0.0.0.0:1883",
            "[::]:1883",
        ]
        .map(|address| address.parse().unwrap());
        assert_eq!(
            exposed(&mqtt, "192.168.0.2:8080".parse().unwrap()),
            [
                "mqtt://0.0.0.0:1883",
                "mqtt://[::]:1883",
                "http://192.168.0.2:8080"
            ]
        );
        assert!(exposed(&mqtt[..3], "127.0.0.9:80".parse().unwrap()).is_empty());
    }
}
