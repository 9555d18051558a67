//! Whose request a proxy passes on: `Forwarded` (RFC 7239) and `X-Forwarded-For`, of the proxies that the operator names. Nobody
//! else's are believed, because whoever may send them may claim any address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{HeaderMap, header};
use metrics::Counter;
use server::config::Network;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies of `http.proxy_from`.
pub(crate) struct Proxies {
    networks: Vec<Network>,
    invalid: Counter,
}

/// A header that cannot be read, or names no address where it should.
#[derive(Debug, PartialEq, Eq)]
struct Invalid;

impl Proxies {
    pub(crate) fn new(networks: Vec<Network>) -> Self {
        metrics::describe_counter!(
            "magpie_http_forwarded_invalid_total",
            "Requests of named proxies whose Forwarded or X-Forwarded-For names no client, or each another one. The proxy's address is taken."
        );
        Self {
            networks,
            invalid: metrics::counter!("magpie_http_forwarded_invalid_total"),
        }
    }

    /// By which address a connection is limited. A proxy's connections are those of many clients: its own is not counted.
    pub(crate) fn counted(&self, connection: IpAddr) -> IpAddr {
        if self.contains(connection) {
            return IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        }
        connection
    }

    /// Whose request it is: what a named proxy says, otherwise the connection's other end. A proxy says no port: it is 0 then.
    pub(crate) fn client(&self, connection: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.contains(connection.ip()) {
            return connection;
        }
        match self.named(headers) {
            Ok(Some(address)) => SocketAddr::new(address, 0),
            Ok(None) => connection,
            Err(Invalid) => {
                self.invalid.increment(1);
                connection
            }
        }
    }

    /// The client that the headers name. A proxy that sets one of them may pass on a client's own other: then they differ, and
    /// neither is believed.
    fn named(&self, headers: &HeaderMap) -> Result<Option<IpAddr>, Invalid> {
        let standard = self.last_client(headers, header::FORWARDED.as_str(), forwarded)?;
        let customary = self.last_client(headers, X_FORWARDED_FOR, x_forwarded_for)?;
        match (standard, customary) {
            (Some(one), Some(other)) if one != other => Err(Invalid),
            (standard, customary) => Ok(standard.or(customary)),
        }
    }

    /// The right-most address that is not a proxy's. What stands left of it the client may have written itself, and is not
    /// looked at beyond what it takes to read the line.
    fn last_client(
        &self,
        headers: &HeaderMap,
        name: &str,
        nodes: fn(&str) -> Result<Vec<&str>, Invalid>,
    ) -> Result<Option<IpAddr>, Invalid> {
        for value in headers.get_all(name).iter().rev() {
            let value = value.to_str().map_err(|_| Invalid)?;
            for node in nodes(value)?.into_iter().rev() {
                let address = address(node).ok_or(Invalid)?;
                if !self.contains(address) {
                    return Ok(Some(address));
                }
            }
        }
        Ok(None)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// The nodes of `X-Forwarded-For`, from left to right.
fn x_forwarded_for(value: &str) -> Result<Vec<&str>, Invalid> {
    Ok(value.split(',').map(str::trim).collect())
}

/// What `for` says in each element of `Forwarded`, from left to right.
fn forwarded(value: &str) -> Result<Vec<&str>, Invalid> {
    let elements = split_unquoted(value, ',')?;
    elements.into_iter().map(forwarded_element).collect()
}

fn forwarded_element(element: &str) -> Result<&str, Invalid> {
    let mut node = None;
    for pair in split_unquoted(element, ';')? {
        let (name, value) = pair.split_once('=').ok_or(Invalid)?;
        if name.trim().eq_ignore_ascii_case("for") && node.replace(value.trim()).is_some() {
            return Err(Invalid);
        }
    }
    let node = node.ok_or(Invalid)?;
    let quoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    Ok(quoted.unwrap_or(node))
}

/// The parts between separators that are not in quotation marks; every mark has to have its partner.
fn split_unquoted(text: &str, separator: char) -> Result<Vec<&str>, Invalid> {
    let mut parts = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(text[begin..at].trim());
                begin = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    if quoted {
        return Err(Invalid);
    }
    parts.push(text[begin..].trim());
    Ok(parts)
}

/// An address with or without a port. `unknown` and made-up names are none, and neither is the address that says nobody.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node
        .strip_prefix('[')
        .and_then(|node| node.strip_suffix(']'))
        .unwrap_or(node);
    let address = match (bare.parse::<IpAddr>(), node.parse::<SocketAddr>()) {
        (Ok(address), _) => address,
        (Err(_), Ok(with_port)) => with_port.ip(),
        (Err(_), Err(_)) => return None,
    };
    let address = address.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1:4711";

    /// Whom the headers, `name: value` each, name on a connection from `connection`; none is the connection itself.
    fn client(connection: &str, lines: &[&str]) -> Option<String> {
        let networks = ["10.0.0.0/24", "2001:db8::1"].map(|text| text.parse().unwrap());
        let proxies = Proxies::new(networks.to_vec());
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name: header::HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let connection: SocketAddr = connection.parse().unwrap();
        let client = proxies.client(connection, &headers);
        (client != connection).then(|| client.ip().to_string())
    }

    fn check(lines: &[&str], expected: Option<&str>) {
        assert_eq!(client(PROXY, lines).as_deref(), expected, "{lines:?}");
        assert_eq!(client("192.0.2.9:1", lines), None, "not a proxy: {lines:?}");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy() {
        for value in [
            "192.0.2.1",
            "192.0.2.1:4711",
            "::ffff:192.0.2.1",
            "203.0.113.5, 192.0.2.1",
            "203.0.113.5,192.0.2.1 ,10.0.0.7",
            "nonsense, \"\", 192.0.2.1, 10.0.0.7, 2001:db8::1",
        ] {
            check(&[&format!("X-Forwarded-For: {value}")], Some("192.0.2.1"));
        }
        for value in [
            "for=192.0.2.1",
            "For=\"192.0.2.1:4711\"; proto=https;by=203.0.113.43",
            "for=203.0.113.5, for=192.0.2.1",
            "for=unknown, for=192.0.2.1;host=\"a,b;c\", for=10.0.0.7",
        ] {
            check(&[&format!("Forwarded: {value}")], Some("192.0.2.1"));
        }
        for line in [
            "Forwarded: for=\"[2001:db8:cafe::17]:4711\"",
            "Forwarded: for=\"[2001:db8:cafe::17]\"",
            "X-Forwarded-For: 2001:db8:cafe::17",
            "X-Forwarded-For: [2001:db8:cafe::17]:4711",
        ] {
            check(&[line], Some("2001:db8:cafe::17"));
        }
        let several = ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-For: 192.0.2.1"];
        check(&several, Some("192.0.2.1"));
        let both = ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"];
        check(&both, Some("192.0.2.1"));
    }

    #[test]
    fn what_names_nobody_is_not_believed() {
        check(&[], None);
        check(&["X-Forwarded-For: 10.0.0.7, 10.0.0.8"], None);
        for value in [
            "",
            "unknown",
            "192.0.2.1, unknown",
            "192.0.2.1, ",
            "192.0.2.1, 300.0.0.1",
            "0.0.0.0",
            "::",
        ] {
            check(&[&format!("X-Forwarded-For: {value}")], None);
        }
        for value in [
            "",
            "192.0.2.1",
            "proto=https",
            "for=_hidden",
            "for=unknown",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1, proto=https",
            // Quotation marks of a client that would hide what the proxy has added.
            "for=\"192.0.2.1, for=203.0.113.5",
            "for=192.0.2.1;x=\", for=\"[2001:db8::5]\"",
            "for=192.0.2.1;x=\"\\\", for=\"[2001:db8::5]\"",
        ] {
            check(&[&format!("Forwarded: {value}")], None);
        }
        let differing = ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.2"];
        check(&differing, None);
    }

    #[test]
    fn the_connections_of_a_proxy_are_counted_for_no_address() {
        let proxies = Proxies::new(vec!["10.0.0.0/24".parse().unwrap()]);
        let proxy: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(proxies.counted(proxy).is_unspecified());
        let other: IpAddr = "10.0.1.1".parse().unwrap();
        assert_eq!(proxies.counted(other), other);
    }
}
