//! Texts in the configuration that have a form of their own. Each check says what is wrong; what would be right
//! stands in the table.

use std::net::SocketAddr;

/// Levels, alone or as `target=level`, separated by commas.
pub(super) fn log_level(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',') {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level)
            .trim();
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(format!("`{level}` is not a level"));
        }
    }
    Ok(())
}

/// Servers that clients may be sent to, as MQTT 5 writes them in Server Reference; possibly none.
pub(super) fn server_reference(text: &str) -> Result<(), String> {
    const BYTES_MAX: usize = 1024;
    if text.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    if text.is_empty() {
        return Ok(());
    }
    for server in text.split(' ') {
        // `[::1]:1883` has its port behind the bracket; a host alone has none.
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (server, None),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && !host.contains(|c: char| c.is_control() || c == ':');
        if !named && !bracketed {
            return Err(format!("`{server}` has no host"));
        }
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err(format!("`{server}` has no port behind its colon"));
        }
    }
    Ok(())
}

/// A topic filter of the access list, with `%u` and `%c` as whole levels.
pub(super) fn topic_filter(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 65_535 || text.contains('\0') {
        return Err("a topic filter has 1 to 65535 bytes and no NUL".to_owned());
    }
    if text == "im" || text.starts_with("im/") {
        return Err(
            "the `im/` tree belongs to the messenger and is not governed by the access list"
                .to_owned(),
        );
    }
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => {
                return Err("`#` stands only at the end of a filter".to_owned());
            }
            "#" | "+" | "%u" | "%c" => {}
            _ if level.contains(['#', '+']) => {
                return Err(format!(
                    "`#` and `+` are whole levels, but there is `{level}`"
                ));
            }
            _ if level.contains("%u") || level.contains("%c") => {
                return Err(format!(
                    "`%u` and `%c` are whole levels, but there is `{level}`"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An account name, `*` or `anonymous`.
pub(super) fn who(text: &str) -> Result<(), String> {
    if text == "*" || text == "anonymous" {
        return Ok(());
    }
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest = bytes
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if first && rest && text.len() <= 64 {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not an account name ([a-z0-9][a-z0-9._-]{{0,63}})"
    ))
}

/// The path of a Unix socket. The kernel has 108 bytes for it, one of them the NUL at its end.
pub(super) fn socket_path(text: &str) -> Result<(), String> {
    const BYTES_MAX: usize = 107;
    if text.len() > BYTES_MAX || text.contains('\0') {
        return Err(format!(
            "the path of a Unix socket has 1 to {BYTES_MAX} bytes and no NUL"
        ));
    }
    if !text.contains('/') {
        return Err(format!(
            "`{text}` is not a path; expected one such as \"/run/magpie/mqtt.sock\" or \"./mqtt.sock\""
        ));
    }
    Ok(())
}

/// The path of a URL, without a query.
pub(super) fn url_path(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"\\<>".contains(&byte);
    if text.starts_with('/') && text.len() <= 256 && text.bytes().all(plain) {
        return Ok(());
    }
    Err(format!("`{text}` is not a path"))
}

/// An origin as browsers send it: scheme and host, with a port if it is not the scheme's own.
pub(super) fn origin(text: &str) -> Result<(), String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = |host: &str| {
        !host.is_empty()
            && host.len() <= 300
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
    };
    if text == "*" || rest.is_some_and(host) {
        return Ok(());
    }
    Err(format!("`{text}` is not an origin"))
}

/// A name or an address by which a server is asked for, without a port; `*` is any.
pub(super) fn host(text: &str) -> Result<(), String> {
    const BYTES_MAX: usize = 253;
    let bracketed = text.starts_with('[') && text.ends_with(']');
    let address = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let named = !text.is_empty()
        && text.len() <= BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let right = match address {
        Ok(address) => address.is_ipv6() || !bracketed,
        Err(_) => named,
    };
    if text == "*" || right {
        return Ok(());
    }
    Err(format!("`{text}` is not a host name"))
}

/// A token that cannot be guessed and fits into a header. What it is, is not repeated.
pub(super) fn metrics_token(text: &str) -> Result<(), String> {
    let long_enough = (16..=512).contains(&text.len());
    if long_enough && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err("this is not a token".to_owned())
}

/// Permissions in octal digits.
pub(super) fn file_mode(text: &str) -> Result<(), String> {
    let digits =
        (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if digits && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o777) {
        return Ok(());
    }
    Err(format!("`{text}` are not permissions"))
}

/// Parses an address; the error proposes the nearest right one.
pub(super) fn address(written: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = written.parse() {
        return Ok(address);
    }
    let proposal = match written.rsplit_once(':') {
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => format!("\"127.0.0.1:{port}\""),
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => format!(
            "\"0.0.0.0:{port}\" for every address of this machine, \"127.0.0.1:{port}\" for this machine only"
        ),
        _ if written.parse::<std::net::IpAddr>().is_ok() => {
            "the port too, such as \"127.0.0.1:1883\" or \"[::1]:1883\"".to_owned()
        }
        _ if written.parse::<u16>().is_ok() => {
            format!("the address too, such as \"127.0.0.1:{written}\"")
        }
        _ => "an IP address and a port, such as \"127.0.0.1:1883\" or \"[::1]:1883\"".to_owned(),
    };
    Err(format!(
        "`{}` is not an address; expected {proposal}",
        shown(written)
    ))
}

/// What was written, cut and without control characters, so that a message stays one short line.
pub(super) fn shown(written: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    let mut shown: String = written
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if written.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
