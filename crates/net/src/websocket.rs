//! MQTT in binary WebSocket messages (RFC 6455). A message may hold a part of a packet or several of them, so what comes
//! out is a byte stream again. The handshake has been answered elsewhere.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message, Utf8Bytes};

use crate::received::{Drained, Received};
use crate::tls::TlsStream;
use crate::wire::Wire;

/// Bytes read at once, and kept by an idle connection. Tungstenite's own default is 128 KiB.
const READ_BUFFER_BYTES: usize = 512;
/// Bytes put into one message: a slow peer has at most so much copied.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Messages without a byte of MQTT that are passed over at once: a ping costs a pong, and its sender none of its share.
const EMPTY_AT_ONCE: usize = 16;
/// Bytes that one read may take at least, however small the share of the connection.
const SHARE_BYTES_MIN: usize = 4 * 1024;

/// How long the messages of a peer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// Before it has proved who it is: mostly its CONNECT, which comes in one.
    pub unauthenticated_bytes_max: usize,
    /// From then on; never fewer.
    pub bytes_max: usize,
}

/// [`MessageLimits`] for connections to come; those that there are keep what they began with.
#[derive(Debug)]
pub struct MessageBounds {
    unauthenticated_bytes_max: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl MessageBounds {
    /// Begins with these.
    pub fn new(limits: MessageLimits) -> Self {
        Self {
            unauthenticated_bytes_max: AtomicUsize::new(limits.unauthenticated_bytes_max),
            bytes_max: AtomicUsize::new(limits.bytes_max),
        }
    }

    /// For the next connection.
    pub fn set(&self, limits: MessageLimits) {
        self.unauthenticated_bytes_max
            .store(limits.unauthenticated_bytes_max, Ordering::Relaxed);
        self.bytes_max.store(limits.bytes_max, Ordering::Relaxed);
    }

    /// Those of a connection that begins.
    pub fn limits(&self) -> MessageLimits {
        MessageLimits {
            unauthenticated_bytes_max: self.unauthenticated_bytes_max.load(Ordering::Relaxed),
            bytes_max: self.bytes_max.load(Ordering::Relaxed),
        }
    }
}

/// What WebSocket frames go over: a bare socket or TLS.
pub(crate) trait Carrier: Read + Write + Sized {
    /// The end of the stream's life before MQTT began.
    fn into_wire(self) -> Wire;
    /// Says that nothing more will be written.
    fn close(&mut self);
}

impl Carrier for Wire {
    fn into_wire(self) -> Wire {
        self
    }

    fn close(&mut self) {
        self.finish();
    }
}

impl Carrier for TlsStream {
    fn into_wire(self) -> Wire {
        self.into_wire()
    }

    fn close(&mut self) {
        self.close();
    }
}

/// A WebSocket connection as a byte stream.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    socket: WebSocket<Metered<S>>,
    limits: MessageLimits,
    trusted: bool,
    /// A message is not wholly in the socket yet.
    unflushed: bool,
    /// The last long message, until the next read: while it is held tungstenite cannot keep its memory to read into.
    long: Option<Bytes>,
    /// A message that was read before anybody wanted it.
    ahead: Option<Bytes>,
}

/// What is below, with the share of one read: tungstenite by itself would read for as long as fragments come.
#[derive(Debug)]
struct Metered<S> {
    stream: S,
    /// Bytes that may still be read.
    left: usize,
    /// Bytes that were read since the last whole message.
    gathered: usize,
    /// More might have been read.
    is_spent: bool,
    /// What was written last has not all been taken.
    is_blocked: bool,
}

#[expect(private_bounds, reason = "which streams there are is decided here")]
impl<S: Carrier> WebSocketStream<S> {
    pub(crate) fn new(stream: S, leftover: Vec<u8>, limits: MessageLimits) -> Self {
        let longest = Some(limits.unauthenticated_bytes_max);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MESSAGE_BYTES)
            .max_message_size(longest)
            .max_frame_size(longest);
        let metered = Metered {
            stream,
            left: 0,
            gathered: 0,
            is_spent: false,
            is_blocked: false,
        };
        Self {
            socket: WebSocket::from_partially_read(metered, leftover, Role::Server, Some(config)),
            limits,
            trusted: false,
            unflushed: false,
            long: None,
            ahead: None,
        }
    }

    /// The peer has proved who it is: its messages may be as long as its packets.
    pub(crate) fn trust(&mut self) {
        if !std::mem::replace(&mut self.trusted, true) {
            let limits = self.limits;
            let longest = Some(limits.bytes_max.max(limits.unauthenticated_bytes_max));
            self.socket.set_config(|config| {
                config.max_message_size = longest;
                config.max_frame_size = longest;
            });
        }
    }

    /// What the frames go over.
    pub(crate) fn get_ref(&self) -> &S {
        &self.socket.get_ref().stream
    }

    /// What the frames go over.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.socket.get_mut().stream
    }

    /// Bytes of the peer that are kept until a message is whole or wanted. Pings between its fragments count too, though they are not kept.
    pub(crate) fn held_bytes(&self) -> usize {
        self.socket.get_ref().gathered + self.ahead.as_ref().map_or(0, Bytes::len)
    }

    /// Whether a message or a part of one may wait to be read. It reads one ahead, which is all it can tell it by.
    pub(crate) fn may_hold_more(&mut self) -> bool {
        if self.ahead.is_some() {
            return true;
        }
        match self.read(SHARE_BYTES_MIN) {
            Received::Message(bytes) => {
                self.ahead = Some(bytes);
                true
            }
            Received::Closed => false,
            _ => true,
        }
    }

    /// Whether a message is not wholly in the socket.
    pub(crate) fn holds_back(&self) -> bool {
        self.unflushed
    }

    /// Reads until there is a message, but not much more than `share` bytes.
    pub(crate) fn read(&mut self, share: usize) -> Received {
        if let Some(bytes) = self.ahead.take() {
            return Received::Message(bytes);
        }
        self.socket.get_mut().begin(share.max(SHARE_BYTES_MIN));
        for _ in 0..EMPTY_AT_ONCE {
            let outcome = self.socket.read();
            self.long = None;
            // A pong that the socket did not take goes out when it takes something again.
            self.unflushed |= self.socket.get_ref().is_blocked;
            match outcome {
                Ok(Message::Binary(bytes)) if bytes.is_empty() => {}
                Ok(Message::Binary(bytes)) => {
                    self.socket.get_mut().gathered = 0;
                    self.long = (bytes.len() > READ_BUFFER_BYTES).then(|| bytes.clone());
                    return Received::Message(bytes);
                }
                // Tungstenite has answered a ping by itself; a pong says only that the peer lives.
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                // [5 MQTT-6.0.0-1] [3.1.1 MQTT-6.0.0-1]: anything but binary data closes the connection.
                Ok(Message::Text(_) | Message::Frame(_)) => {
                    self.say_goodbye(CloseCode::Unsupported);
                    return Received::Closed;
                }
                Ok(Message::Close(_)) => {
                    // The answer, as well as the socket takes it.
                    drop(self.socket.flush());
                    return Received::Closed;
                }
                Err(Error::Io(error)) if is_passing(&error) => {
                    if self.socket.get_ref().is_spent {
                        break;
                    }
                    return Received::Blocked;
                }
                Err(error) => {
                    if let Some(code) = close_code(&error) {
                        self.say_goodbye(code);
                    }
                    return Received::Closed;
                }
            }
        }
        Received::Buffered(0, Drained::Unknown)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unflushed {
            self.flush()?;
        }
        let part = &bytes[..bytes.len().min(MESSAGE_BYTES)];
        if part.is_empty() {
            return Ok(0);
        }
        match self
            .socket
            .write(Message::Binary(Bytes::copy_from_slice(part)))
        {
            Ok(()) => {}
            // The message is queued inside and goes out with the next flush.
            Err(Error::Io(error)) if is_passing(&error) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
        self.unflushed = true;
        match self.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => outcome?,
        }
        Ok(part.len())
    }

    /// Says goodbye as well as the socket takes it.
    pub(crate) fn close(&mut self) {
        drop(self.socket.close(None));
        drop(self.socket.flush());
        self.get_mut().close();
    }

    /// Says why the connection ends, as well as the socket takes it.
    fn say_goodbye(&mut self, code: CloseCode) {
        let reason = Utf8Bytes::default();
        drop(self.socket.close(Some(CloseFrame { code, reason })));
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.socket.flush() {
            Ok(()) => {
                self.unflushed = false;
                Ok(())
            }
            Err(Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl<S> Metered<S> {
    fn begin(&mut self, share: usize) {
        self.left = share;
        self.is_spent = false;
        self.is_blocked = false;
    }
}

impl<S: Read> Read for Metered<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        if room == 0 {
            self.is_spent = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.stream.read(&mut buffer[..room])?;
        self.left -= count;
        self.gathered += count;
        Ok(count)
    }
}

impl<S: Write> Write for Metered<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.stream.write(bytes);
        self.is_blocked = outcome.as_ref().is_err_and(is_passing);
        outcome
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.stream.flush();
        self.is_blocked |= outcome.as_ref().is_err_and(is_passing);
        outcome
    }
}

/// What a peer is told that broke the rules; a peer that is gone is told nothing. (RFC 6455, 7.1.7 and 7.4.1)
fn close_code(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    const LIMITS: MessageLimits = MessageLimits {
        unauthenticated_bytes_max: 64 * 1024,
        bytes_max: 1024 * 1024,
    };
    const SHARE: usize = 4 * 1024;

    /// What a client has said, and what it has taken of the answers.
    #[derive(Debug)]
    struct Script {
        says: Vec<u8>,
        said: usize,
        heard: Vec<u8>,
        hears: usize,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let rest = &self.says[self.said..];
            if rest.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.said += count;
            Ok(count)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.hears);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.hears -= count;
            self.heard.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Carrier for Script {
        fn into_wire(self) -> Wire {
            unreachable!("it has arrived")
        }

        fn close(&mut self) {}
    }

    fn client(says: Vec<u8>, hears: usize) -> WebSocketStream<Script> {
        let script = Script {
            says,
            said: 0,
            heard: Vec::new(),
            hears,
        };
        WebSocketStream::new(script, Vec::new(), LIMITS)
    }

    /// A frame under the mask 0: its first byte, and what is in it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = match payload.len() {
            ..126 => vec![first, 0x80 | length[1]],
            _ => vec![first, 0xFE, length[0], length[1]],
        };
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        frame
    }

    fn is_put_off(received: &Received) -> bool {
        matches!(received, Received::Buffered(0, Drained::Unknown))
    }

    /// However many frames without a byte of MQTT have come, one read takes a part of them only.
    #[test]
    fn frames_that_say_nothing_do_not_hold_up_the_reader() {
        let fragments = [frame(0x02, b""), frame(0x00, b"").repeat(100_000)].concat();
        for says in [
            frame(0x89, b"ping").repeat(100_000),
            frame(0x8A, b"pong").repeat(100_000),
            frame(0x82, b"").repeat(100_000),
            fragments,
        ] {
            let mut stream = client(says, usize::MAX);
            for _ in 0..10 {
                let (said, heard) = (stream.get_ref().said, stream.get_ref().heard.len());
                assert!(is_put_off(&stream.read(SHARE)));
                let script = stream.get_ref();
                assert!(script.said - said <= SHARE, "{} bytes", script.said - said);
                assert!(
                    script.heard.len() - heard <= EMPTY_AT_ONCE * 8,
                    "one pong each"
                );
            }
        }
    }

    #[test]
    fn what_is_put_off_comes_with_the_next_reads() {
        let says = [
            frame(0x89, b"ping").repeat(40),
            frame(0x02, b"").repeat(1),
            frame(0x00, b"").repeat(5_000),
            frame(0x80, b"end"),
        ];
        let mut stream = client(says.concat(), usize::MAX);
        let mut reads = 0;
        let bytes = loop {
            match stream.read(0) {
                Received::Message(bytes) => break bytes,
                received => assert!(is_put_off(&received), "{received:?}"),
            }
            reads += 1;
        };
        assert_eq!(&bytes[..], b"end");
        assert!((9..20).contains(&reads), "{reads}");
        assert!(matches!(stream.read(0), Received::Blocked));
    }

    /// Pings between the fragments of a message are answered, and the message is whole.
    #[test]
    fn control_frames_may_lie_between_fragments() {
        let says = [
            frame(0x02, b"ab"),
            frame(0x89, b"p"),
            frame(0x00, b"cd"),
            frame(0x8A, b""),
            frame(0x80, b"ef"),
        ];
        let mut stream = client(says.concat(), usize::MAX);
        let Received::Message(bytes) = stream.read(SHARE) else {
            panic!("no message")
        };
        assert_eq!(&bytes[..], b"abcdef");
        assert_eq!(stream.get_ref().heard, [0x8A, 1, b'p']);
    }

    #[test]
    fn fragments_are_held_until_their_message_is_whole() {
        let mut stream = client(frame(0x02, &[7; 1000]), usize::MAX);
        assert!(matches!(stream.read(SHARE), Received::Blocked));
        assert_eq!(stream.held_bytes(), 1000 + 8);
        let end = frame(0x80, b"end");
        stream.get_mut().says.extend_from_slice(&end);
        assert!(matches!(stream.read(SHARE), Received::Message(_)));
        assert_eq!(stream.held_bytes(), 0);
    }

    /// A pong that the socket does not take goes out as soon as it does, without another word of the client.
    #[test]
    fn a_pong_is_not_forgotten() {
        let mut stream = client(frame(0x89, b"ping"), 3);
        assert!(matches!(stream.read(SHARE), Received::Blocked));
        assert!(stream.holds_back());
        stream.get_mut().hears = usize::MAX;
        assert_eq!(stream.write(b"").unwrap(), 0);
        assert!(!stream.holds_back());
        assert_eq!(stream.get_ref().heard, b"\x8A\x04ping");
    }

    /// A client that asks for ever more pongs without taking them costs a bounded buffer.
    #[test]
    fn pongs_that_are_not_taken_are_bounded() {
        let mut stream = client(frame(0x89, &[7; 125]).repeat(10_000), 0);
        while !matches!(stream.read(SHARE), Received::Blocked) {}
        stream.get_mut().hears = usize::MAX;
        assert_eq!(stream.write(b"").unwrap(), 0);
        let heard = stream.get_ref().heard.len();
        assert!(heard <= 2 * MESSAGE_BYTES + 127, "{heard} bytes of pongs");
    }

    /// RFC 6455, 7.4.1.
    #[test]
    fn who_breaks_the_rules_is_told_which() {
        let unmasked = vec![0x82, 1, b'x'];
        let too_long = [&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1][..], &[0; 4]].concat();
        let cases = [
            (frame(0x81, b"text"), 1003),
            (unmasked, 1002),
            // As if a compression had been agreed on.
            (frame(0xC2, b"x"), 1002),
            (frame(0x09, b"a fragment of a ping"), 1002),
            (frame(0x89, &[0; 126]), 1002),
            (frame(0x80, b"nothing goes on"), 1002),
            ([frame(0x02, b"a"), frame(0x82, b"b")].concat(), 1002),
            (frame(0x83, b"reserved"), 1002),
            (frame(0x8B, b"reserved"), 1002),
            (frame(0x81, b"\xFF"), 1007),
            (too_long, 1009),
            (
                frame(0x02, &[0; 60_000])
                    .into_iter()
                    .chain(frame(0x80, &[0; 6_000]))
                    .collect(),
                1009,
            ),
            // A goodbye is given back, the reserved code 1005 as a mistake.
            (frame(0x88, &1000u16.to_be_bytes()), 1000),
            (frame(0x88, &1005u16.to_be_bytes()), 1002),
            (frame(0x88, b"x"), 1002),
        ];
        for (says, code) in cases {
            let mut stream = client(says.clone(), usize::MAX);
            let received = loop {
                match stream.read(SHARE) {
                    Received::Buffered(0, Drained::Unknown) => {}
                    received => break received,
                }
            };
            assert!(matches!(received, Received::Closed), "{received:?}");
            let heard = &stream.get_ref().heard[..];
            let told = heard.get(2..4).map(|code| [code[0], code[1]]);
            let begin = &says[..says.len().min(20)];
            assert_eq!(heard.first(), Some(&0x88), "{begin:?}");
            assert_eq!(told.map(u16::from_be_bytes), Some(code), "{begin:?}");
        }
        // Without a code there is none in the answer.
        let mut stream = client(frame(0x88, b""), usize::MAX);
        assert!(matches!(stream.read(SHARE), Received::Closed));
        assert_eq!(stream.get_ref().heard, [0x88, 0]);
    }
}
