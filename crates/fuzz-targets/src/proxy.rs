//! Target `proxy`: anything in front of a connection where a PROXY header is asked for. What it comes to agrees with the
//! protocol's text followed by hand, does not depend on how it is cut, and takes no byte that stands behind the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use net::{Failure, Layers, Stage};

use crate::allocations::most_held;
use crate::wire;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// As `net` has them.
const V1_BYTES_MAX: usize = 107;
const V2_BYTES_MAX: usize = 2048;
/// A header, and room for the growth of its buffer, what is noted here and the stream behind it.
const MEMORY_MAX: usize = 64 * 1024;

/// The first byte chooses how the rest is cut.
pub(crate) fn run(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let layers = Layers {
        proxy: true,
        ..Layers::default()
    };
    let (whole, memory) = most_held(|| wire::say(&layers, b"", bytes, usize::MAX, false));
    assert!(memory <= MEMORY_MAX + 4 * bytes.len(), "{memory} bytes");
    let pieces = wire::say(&layers, b"", bytes, usize::from(*cut), false);
    match expected(bytes) {
        Expected::More => {
            assert_eq!((whole.stages.len(), whole.is_closed), (0, false));
            assert_eq!(whole, pieces);
        }
        Expected::Refused => {
            assert_eq!(whole.stages, [Stage::Failed(Failure::ProxyHeader)]);
            assert_eq!(whole, pieces);
        }
        Expected::Header(client, length) => {
            assert_eq!(whole.stages, [Stage::Proxied(client)]);
            assert_eq!(whole.bytes, bytes[length..], "what stands behind it");
            assert!(whole.answers.is_empty());
            assert_eq!(whole, pieces);
        }
    }
}

enum Expected {
    More,
    Refused,
    /// For whom it speaks, and how long it is.
    Header(Option<SocketAddr>, usize),
}

fn expected(bytes: &[u8]) -> Expected {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted);
    if begins(SIGNATURE) {
        return version_2(bytes);
    }
    if !begins(b"PROXY ") {
        return Expected::Refused;
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        // The line may end in the byte that is missing.
        return if bytes.len() >= V1_BYTES_MAX {
            Expected::Refused
        } else {
            Expected::More
        };
    };
    // Fifteen bytes are waited for, whatever they are: no header is shorter.
    if bytes.len() < 15 {
        return Expected::More;
    }
    if end >= V1_BYTES_MAX || bytes[end - 1] != b'\r' || end + 1 < 15 {
        return Expected::Refused;
    }
    match version_1(&bytes[b"PROXY ".len()..end - 1]) {
        Some(client) => Expected::Header(client, end + 1),
        None => Expected::Refused,
    }
}

/// `None` is no header; what it says is who is spoken for.
fn version_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let line = std::str::from_utf8(line).ok()?;
    let [family, from, to, from_port, to_port] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (from, _): (IpAddr, IpAddr) = match family {
        "TCP4" => (
            from.parse::<Ipv4Addr>().ok()?.into(),
            to.parse::<Ipv4Addr>().ok()?.into(),
        ),
        "TCP6" => (
            from.parse::<Ipv6Addr>().ok()?.into(),
            to.parse::<Ipv6Addr>().ok()?.into(),
        ),
        _ => return None,
    };
    let (port, _) = (port(from_port)?, port(to_port)?);
    Some(Some((from, port).into()))
}

/// Without zeros in front; a sign there is let pass, which says nothing else.
fn port(text: &str) -> Option<u16> {
    (text == "0" || !text.starts_with('0')).then_some(())?;
    text.parse().ok()
}

fn version_2(bytes: &[u8]) -> Expected {
    let Some((head, rest)) = bytes.split_at_checked(16) else {
        return Expected::More;
    };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if 16 + length > V2_BYTES_MAX {
        return Expected::Refused;
    }
    let Some(said) = rest.get(..length) else {
        return Expected::More;
    };
    let client = match (head[12], head[13] >> 4, head[13] & 0x0F) {
        // LOCAL: the rest is to be ignored.
        (0x20, ..) => None,
        (0x21, 0..=3, 3..) => return Expected::Refused,
        (0x21, 1, _) if length >= 12 => {
            let address: [u8; 4] = said[..4].try_into().expect("four bytes");
            let port = u16::from_be_bytes([said[8], said[9]]);
            Some((address, port).into())
        }
        (0x21, 2, _) if length >= 36 => {
            let address: [u8; 16] = said[..16].try_into().expect("sixteen bytes");
            let port = u16::from_be_bytes([said[32], said[33]]);
            Some((address, port).into())
        }
        (0x21, 3, _) if length >= 216 => None,
        (0x21, 0, _) => None,
        _ => return Expected::Refused,
    };
    Expected::Header(client, 16 + length)
}
