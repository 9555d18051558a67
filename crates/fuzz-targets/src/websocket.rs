//! Target `websocket`: a handshake, sound or not, and frames. What comes out agrees with RFC 6455 followed by hand, does
//! not depend on how the bytes are cut, and what the server answers is sound.

use std::sync::Arc;

use net::{Failure, Gate, Hosts, Layers, MessageBounds, MessageLimits, Stage};

use crate::allocations::most_held;
use crate::feed::Feed;
use crate::wire::{self, Heard};

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
/// Longest message of an unauthenticated client, and of an authenticated one.
const STRANGER_BYTES_MAX: u64 = 64 * 1024;
const KNOWN_BYTES_MAX: u64 = 100_000;
const FRAMES_MAX: usize = 64;
/// A frame that is announced, twice for its growth, a request, answers, and what is noted here.
const MEMORY_MAX: usize = 512 * 1024;

/// The first byte chooses how the bytes are cut, the second whether the peer is known, and whether its handshake is
/// sound and its frames are built, or all of it is what the rest says.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let (cut, choice) = (feed.byte(), feed.byte());
    let sound = choice & 2 == 0;
    let known = sound && choice & 1 != 0;
    let hello = if sound { REQUEST } else { b"" };
    let mut said = Vec::new();
    if choice & 4 == 0 {
        for _ in 0..FRAMES_MAX {
            if feed.is_empty() {
                break;
            }
            frame(&mut feed, &mut said);
        }
    } else {
        said.extend_from_slice(feed.rest());
    }
    let layers = Layers {
        websocket: Some(Arc::new(Gate {
            path: "/mqtt".to_owned(),
            origins: Vec::new(),
            hosts: Arc::new(Hosts::new(&["a".to_owned()])),
            bounds: MessageBounds::new(MessageLimits {
                unauthenticated_bytes_max: STRANGER_BYTES_MAX as usize,
                bytes_max: KNOWN_BYTES_MAX as usize,
            }),
        })),
        ..Layers::default()
    };
    let (whole, memory) = most_held(|| wire::say(&layers, hello, &said, usize::MAX, known));
    assert!(memory <= MEMORY_MAX + 8 * said.len(), "{memory} bytes");
    let pieces = wire::say(&layers, hello, &said, usize::from(cut), known);
    assert_eq!(whole, pieces);
    check(&said, sound, known, &whole);
}

/// A frame of a client: its first byte, how it is masked, and what is in it.
fn frame(feed: &mut Feed<'_>, said: &mut Vec<u8>) {
    let (first, mask) = (feed.byte(), feed.byte());
    let payload = feed.piece();
    said.push(first);
    let masked = if mask == 0xFF { 0 } else { 0x80 };
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => said.push(masked | short),
        _ => {
            let length = u16::try_from(payload.len()).expect("a piece is short");
            said.push(masked | 126);
            said.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked == 0 {
        said.extend_from_slice(payload);
        return;
    }
    let mask = [mask, 0, mask >> 1, 1];
    said.extend_from_slice(&mask);
    let masks = mask.iter().cycle();
    said.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
}

fn check(said: &[u8], sound: bool, known: bool, heard: &Heard) {
    assert!(heard.stages.len() <= 1, "{:?}", heard.stages);
    match heard.stages.first() {
        Some(Stage::Failed(failure)) => {
            let told = [
                Failure::BadRequest,
                Failure::Path,
                Failure::Host,
                Failure::Origin,
            ];
            assert!(told.contains(failure) && !sound, "{failure}");
            assert!(heard.answers.starts_with(b"HTTP/1.1 4") && heard.bytes.is_empty());
            return;
        }
        Some(stage) => panic!("{stage:?}"),
        None => {}
    }
    let Some(end) = find(&heard.answers, b"\r\n\r\n") else {
        assert!(heard.answers.is_empty() && heard.bytes.is_empty() && !heard.is_closed);
        assert!(!sound, "a sound handshake is answered");
        return;
    };
    let (head, answers) = heard.answers.split_at(end + 4);
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    assert!(find(head, b"xtensions").is_none(), "none is offered");
    // A request that was not ours may end elsewhere than its first empty line; ours is known.
    if sound {
        let expected = expected(said, known);
        assert_eq!(heard.bytes, expected.bytes);
        assert_eq!(heard.is_closed, expected.goodbye.is_some(), "{answers:?}");
        assert_eq!(answers, expected.answers());
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What comes of frames.
#[derive(Default)]
struct Expected {
    bytes: Vec<u8>,
    pongs: Vec<u8>,
    /// The payload of the last frame that is said, if the connection ends.
    goodbye: Option<Vec<u8>>,
}

impl Expected {
    fn answers(&self) -> Vec<u8> {
        let mut answers = self.pongs.clone();
        if let Some(goodbye) = &self.goodbye {
            answers.extend_from_slice(&[0x88, goodbye.len() as u8]);
            answers.extend_from_slice(goodbye);
        }
        answers
    }
}

/// RFC 6455 by hand, without extensions. A mistake is found when its frame is complete, one of kind or length at once.
fn expected(mut rest: &[u8], known: bool) -> Expected {
    let mut expected = Expected::default();
    let longest = if known {
        KNOWN_BYTES_MAX
    } else {
        STRANGER_BYTES_MAX
    };
    // The message that is being put together, and whether it is text.
    let mut message: Option<(Vec<u8>, bool)> = None;
    while let Some(header) = Header::read(rest) {
        if matches!(header.first & 0x0F, 3..=7 | 11..) {
            expected.goodbye = Some(code(1002));
            break;
        }
        if header.payload_bytes > longest {
            expected.goodbye = Some(code(1009));
            break;
        }
        let end = header.bytes + header.payload_bytes as usize;
        let Some(payload) = rest.get(header.bytes..end) else {
            break;
        };
        rest = &rest[end..];
        let payload = header.unmasked(payload);
        match take(&header, &payload, &mut message, &mut expected) {
            Ok(()) => {}
            Err(goodbye) => {
                expected.goodbye = Some(goodbye);
                break;
            }
        }
    }
    expected
}

fn take(
    header: &Header,
    payload: &[u8],
    message: &mut Option<(Vec<u8>, bool)>,
    expected: &mut Expected,
) -> Result<(), Vec<u8>> {
    let is_final = header.first & 0x80 != 0;
    if header.mask.is_none() || header.first & 0x70 != 0 {
        return Err(code(1002));
    }
    match header.first & 0x0F {
        8..=15 if !is_final || payload.len() > 125 => Err(code(1002)),
        8 => Err(goodbye(payload)),
        9 => {
            expected
                .pongs
                .extend_from_slice(&[0x8A, payload.len() as u8]);
            expected.pongs.extend_from_slice(payload);
            Ok(())
        }
        10 => Ok(()),
        kind @ 0..=2 if (kind == 0) == message.is_some() => {
            let (mut whole, is_text) = message.take().unwrap_or((Vec::new(), kind == 1));
            whole.extend_from_slice(payload);
            if !is_final {
                *message = Some((whole, is_text));
            } else if !is_text {
                expected.bytes.extend_from_slice(&whole);
            } else if std::str::from_utf8(&whole).is_ok() {
                return Err(code(1003));
            } else {
                return Err(code(1007));
            }
            // Text is looked at as it comes: what is certainly none need not be completed.
            match message {
                Some((whole, true)) if is_certainly_no_text(whole) => Err(code(1007)),
                _ => Ok(()),
            }
        }
        _ => Err(code(1002)),
    }
}

fn is_certainly_no_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some())
}

/// The answer to a goodbye.
fn goodbye(payload: &[u8]) -> Vec<u8> {
    let Some((number, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Vec::new()
        } else {
            code(1002)
        };
    };
    if std::str::from_utf8(reason).is_err() {
        return code(1007);
    }
    match u16::from_be_bytes(*number) {
        1000..=1003 | 1007..=1013 | 3000..=4999 => payload.to_vec(),
        _ => [&1002u16.to_be_bytes()[..], b"Protocol violation"].concat(),
    }
}

fn code(number: u16) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

struct Header {
    first: u8,
    mask: Option<[u8; 4]>,
    bytes: usize,
    payload_bytes: u64,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else {
            return None;
        };
        let (payload_bytes, length_bytes) = match second & 0x7F {
            126 => (u16::from_be_bytes(*rest.first_chunk()?).into(), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (short.into(), 0),
        };
        let mask = if second & 0x80 != 0 {
            Some(*rest[length_bytes..].first_chunk()?)
        } else {
            None
        };
        Some(Self {
            first: *first,
            mask,
            bytes: 2 + length_bytes + mask.map_or(0, |mask| mask.len()),
            payload_bytes,
        })
    }

    fn unmasked(&self, payload: &[u8]) -> Vec<u8> {
        let masks = self.mask.unwrap_or_default().into_iter().cycle();
        payload
            .iter()
            .zip(masks)
            .map(|(byte, mask)| byte ^ mask)
            .collect()
    }
}
