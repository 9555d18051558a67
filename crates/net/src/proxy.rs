//! The header of the PROXY protocol, versions 1 and 2, in front of everything else a connection says. Not a byte behind it
//! is taken from the socket: whatever comes next belongs to another layer. What a header says is parsed by `ppp`.

use std::io::{self, Read};
use std::net::SocketAddr;

use crate::failure::Failure;

/// The shortest header: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;
/// Bytes of a version 2 header before its addresses.
const V2_FIXED: usize = 16;
/// The longest version 1 header.
const V1_BYTES_MAX: usize = 107;
/// The longest version 2 header that is taken. Addresses need 216 bytes at most; certificates and names may stand behind.
const V2_BYTES_MAX: usize = 2048;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command LOCAL.
const V2_LOCAL: u8 = 0x20;
const V1_PREFIX: &[u8] = b"PROXY ";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN";

/// A header that is being read.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeader {
    bytes: Vec<u8>,
}

/// What a header came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    /// The client that the proxy speaks for.
    Client(SocketAddr),
    /// The proxy speaks for itself, or for somebody without an address.
    Nobody,
}

impl ProxyHeader {
    /// Reads on; `Ok(None)` when the socket has no more at the moment.
    pub(crate) fn read(&mut self, from: &mut impl Read) -> Result<Option<Announced>, Failure> {
        loop {
            let missing = match self.missing() {
                Ok(0) => return self.parse().map(Some),
                missing => missing?,
            };
            let held = self.bytes.len();
            self.bytes.resize(held + missing, 0);
            let outcome = from.read(&mut self.bytes[held..]);
            self.bytes
                .truncate(held + outcome.as_ref().copied().unwrap_or(0));
            match outcome {
                Ok(0) => return Err(Failure::Ended),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(_) => return Err(Failure::Ended),
            }
        }
    }

    /// How many bytes are certainly missing.
    fn missing(&self) -> Result<usize, Failure> {
        let bytes = &self.bytes[..];
        let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted);
        if bytes.len() < SHORTEST && (begins(V2_SIGNATURE) || begins(V1_PREFIX)) {
            return Ok(SHORTEST - bytes.len());
        }
        if begins(V2_SIGNATURE) {
            let Some(length) = bytes.get(14..V2_FIXED) else {
                return Ok(V2_FIXED - bytes.len());
            };
            let total = V2_FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
            if total > V2_BYTES_MAX {
                return Err(Failure::ProxyHeader);
            }
            return Ok(total - bytes.len());
        }
        if !begins(V1_PREFIX) {
            return Err(Failure::ProxyHeader);
        }
        if bytes.ends_with(b"\r\n") {
            return Ok(0);
        }
        if bytes.len() >= V1_BYTES_MAX || bytes.contains(&b'\n') {
            return Err(Failure::ProxyHeader);
        }
        // Byte by byte: nobody says how long it is, and what is behind it is not ours.
        Ok(1)
    }

    fn parse(&self) -> Result<Announced, Failure> {
        if self.bytes.starts_with(V2_SIGNATURE) {
            // Whatever else it says, of families unknown too, is to be ignored. (Section 2.2)
            if self.bytes[V2_SIGNATURE.len()] == V2_LOCAL {
                return Ok(Announced::Nobody);
            }
            let header = ppp::v2::Header::try_from(&self.bytes[..]);
            let header = header.map_err(|_| Failure::ProxyHeader)?;
            return Ok(match (header.command, header.addresses) {
                (ppp::v2::Command::Local, _) => Announced::Nobody,
                (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(of)) => {
                    Announced::Client((of.source_address, of.source_port).into())
                }
                (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(of)) => {
                    Announced::Client((of.source_address, of.source_port).into())
                }
                (
                    ppp::v2::Command::Proxy,
                    ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_),
                ) => Announced::Nobody,
            });
        }
        // Whatever stands before the end of the line is to be ignored. (Section 2.1)
        let unknown = self.bytes.strip_prefix(V1_UNKNOWN);
        if unknown.is_some_and(|rest| rest == b"\r\n" || rest.starts_with(b" ")) {
            return Ok(Announced::Nobody);
        }
        let header = ppp::v1::Header::try_from(&self.bytes[..]);
        Ok(match header.map_err(|_| Failure::ProxyHeader)?.addresses {
            ppp::v1::Addresses::Unknown => Announced::Nobody,
            ppp::v1::Addresses::Tcp4(of) => {
                Announced::Client((of.source_address, of.source_port).into())
            }
            ppp::v1::Addresses::Tcp6(of) => {
                Announced::Client((of.source_address, of.source_port).into())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    /// Gives a header out in parts of `step` bytes and says how much of `bytes` is left behind it.
    fn read(bytes: &[u8], step: usize) -> (Result<Option<Announced>, Failure>, usize) {
        struct Parts<'a>(&'a [u8], usize, bool);
        impl Read for Parts<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.2 = !self.2;
                if self.2 || self.0.is_empty() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let count = into.len().min(self.1).min(self.0.len());
                into[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let mut parts = Parts(bytes, step, false);
        let mut header = ProxyHeader::default();
        for _ in 0..=2 * bytes.len() {
            match header.read(&mut parts) {
                Ok(None) => {}
                outcome => return (outcome, parts.0.len()),
            }
        }
        (Ok(None), parts.0.len())
    }

    fn check(header: &[u8], expected: Announced) {
        let with_rest = [header, b"\x10\x0c\r\nrest"].concat();
        for step in [1, 7, usize::MAX] {
            let (outcome, left) = read(&with_rest, step);
            assert_eq!(outcome.unwrap(), Some(expected), "{header:?}");
            assert_eq!(
                left,
                with_rest.len() - header.len(),
                "what is behind it stays"
            );
        }
        for end in 0..header.len() {
            assert_eq!(
                read(&header[..end], 3).0.unwrap(),
                None,
                "{:?}",
                &header[..end]
            );
        }
    }

    fn refuse(header: &[u8]) {
        assert_eq!(
            read(header, 5).0.unwrap_err(),
            Failure::ProxyHeader,
            "{header:?}"
        );
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, addresses].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 7, 91];

    #[test]
    fn version_1_names_the_client() {
        let client = Announced::Client("192.0.2.7:12345".parse().unwrap());
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 1883\r\n", client);
        let client = Announced::Client("[2001:db8::7]:1".parse().unwrap());
        check(b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", client);
        check(b"PROXY UNKNOWN\r\n", Announced::Nobody);
        check(b"PROXY UNKNOWN ff:ff::1 ::2 1 2\r\n", Announced::Nobody);
        check(b"PROXY UNKNOWN a b c d e f g \xFF\r\n", Announced::Nobody);
    }

    #[test]
    fn version_2_names_the_client() {
        let client = Announced::Client("192.0.2.7:12345".parse().unwrap());
        check(&v2(0x21, 0x11, V4), client);
        // Behind the addresses the proxy may say more: type 4 (nothing), 3 bytes.
        check(&v2(0x21, 0x11, &[V4, &[4, 0, 3, 0, 0, 0]].concat()), client);
        check(&v2(0x20, 0x00, &[]), Announced::Nobody);
        check(&v2(0x20, 0x11, V4), Announced::Nobody);
        // A proxy that speaks for itself may say what it likes of addresses.
        check(&v2(0x20, 0x11, &[]), Announced::Nobody);
        check(&v2(0x20, 0xF7, b"?"), Announced::Nobody);
        let mut v6 = [0; 36];
        (v6[15], v6[33]) = (1, 9);
        let client = Announced::Client("[::1]:9".parse().unwrap());
        check(&v2(0x21, 0x21, &v6), client);
        check(&v2(0x21, 0x31, &[0; 216]), Announced::Nobody);
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        refuse(b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0");
        refuse(b"GET / HTTP/1.1\r\n");
        refuse(b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n");
        refuse(b"PROXY TCP4 192.0.2.777 10.0.0.1 12345 1883\r\n");
        refuse(b"PROXY TCP9 1.1.1.1 10.0.0.1 12345 1883\r\n");
        refuse(b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 1883\nx");
        refuse(&[b"PROXY TCP4 ", &[b' '; 200][..]].concat());
        refuse(b"PROXY UNKNOWNS 1.1.1.1 10.0.0.1 12345 1883\r\n");
        refuse(&v2(0x11, 0x11, V4));
        refuse(&v2(0x22, 0x11, V4));
        refuse(&v2(0x21, 0x41, V4));
        refuse(&v2(0x21, 0x13, V4));
        refuse(&v2(0x21, 0x11, &V4[..5]));
        refuse(&v2(0x21, 0x11, &[0; 4000]));
    }
}
