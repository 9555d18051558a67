//! A connection whose bytes an input says: what the server reads of it and answers, through `net`'s own transports and a pair
//! of sockets. It knows no protocol.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use net::{Layers, Received, Stage, Transport, Wire};

/// As much as a shard with many connections gives to one.
const SCRATCH_BYTES: usize = 4096;
/// Reads after which a connection that has said so little does not come to rest any more.
const READS_MAX: usize = 20_000;

/// What came of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Steps before MQTT.
    pub(crate) stages: Vec<Stage>,
    /// The stream of MQTT.
    pub(crate) bytes: Vec<u8>,
    /// The server reads no further.
    pub(crate) is_closed: bool,
    /// What the server has said.
    pub(crate) answers: Vec<u8>,
}

/// Says `hello` at once and then `bytes` in pieces of `piece` bytes to a listener of these layers; in between the peer
/// proves who it is if it is `known`.
pub(crate) fn say(layers: &Layers, hello: &[u8], bytes: &[u8], piece: usize, known: bool) -> Heard {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    client.set_nonblocking(true).expect("a socket of ours");
    server.set_nonblocking(true).expect("a socket of ours");
    let server = mio::net::UnixStream::from_std(server);
    let mut transport = Transport::accepted(Wire::Unix(server), layers);
    let mut heard = Heard::default();
    let pieces = bytes.chunks(piece.max(1));
    for piece in std::iter::once(hello).chain(pieces) {
        client.write_all(piece).expect("a socket takes so little");
        listen(&mut transport, &mut heard);
        if known {
            transport.trust();
        }
        answers(&mut client, &mut heard);
        if heard.is_closed {
            break;
        }
    }
    heard
}

fn listen(transport: &mut Transport, heard: &mut Heard) {
    let mut scratch = [0; SCRATCH_BYTES];
    for _ in 0..READS_MAX {
        match transport.read(&mut scratch) {
            Received::Buffered(count, _) => heard.bytes.extend_from_slice(&scratch[..count]),
            Received::Message(bytes) => heard.bytes.extend_from_slice(&bytes),
            Received::Stage(stage) => {
                heard.is_closed |= matches!(stage, Stage::Failed(_));
                heard.stages.push(stage);
            }
            Received::Blocked => return,
            Received::Closed => heard.is_closed = true,
        }
        if heard.is_closed {
            return;
        }
    }
    panic!("it does not come to rest");
}

fn answers(client: &mut UnixStream, heard: &mut Heard) {
    let mut buffer = [0; SCRATCH_BYTES];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => heard.answers.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}
