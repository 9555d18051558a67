//! A WebSocket connection as a byte stream, against a real WebSocket client on a loopback socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use net::{MessageLimits, Received, Transport};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Bytes, Message};

/// No byte on loopback takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const LIMITS: MessageLimits = MessageLimits {
    unauthenticated_bytes_max: 70_000,
    bytes_max: 1024 * 1024,
};

/// A client and the server's end of its connection, the handshake done.
fn pair() -> (WebSocket<TcpStream>, Transport) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (server, _) = listener.accept().unwrap();
    let client = WebSocket::from_raw_socket(client, Role::Client, None);
    (
        client,
        Transport::websocket(server, Vec::new(), LIMITS).unwrap(),
    )
}

/// Reads until there is something: bytes, or `None` for the end.
fn read(transport: &mut Transport) -> Option<Vec<u8>> {
    let begin = Instant::now();
    loop {
        match transport.read(&mut []) {
            Received::Message(bytes) => return Some(bytes.to_vec()),
            Received::Closed => return None,
            // It goes on at once: its share was used up.
            Received::Buffered(0, _) => {}
            Received::Blocked => {
                assert!(begin.elapsed() < PATIENCE, "nothing came");
                std::thread::yield_now();
            }
            Received::Buffered(..) | Received::Stage(_) => {
                panic!("a WebSocket has buffers of its own")
            }
        }
    }
}

fn binary(bytes: &[u8]) -> Message {
    Message::Binary(Bytes::copy_from_slice(bytes))
}

// [3.1.1 MQTT-6.0.0-2] [5 MQTT-6.0.0-2]
#[test]
fn a_packet_may_lie_in_several_messages_and_several_in_one() {
    let (mut client, mut server) = pair();
    client.send(binary(&[1, 2])).unwrap();
    client
        .send(Message::Ping(Bytes::from_static(b"still there?")))
        .unwrap();
    client.send(binary(&[])).unwrap();
    client.send(binary(&[3])).unwrap();
    assert_eq!(read(&mut server), Some(vec![1, 2]));
    assert_eq!(read(&mut server), Some(vec![3]));
    let reply: Vec<u8> = (0..200_000u32).map(|number| number as u8).collect();
    let expected = reply.clone();
    let receiver = std::thread::spawn(move || {
        let mut received = Vec::new();
        let mut pongs = 0;
        while received.len() < expected.len() {
            match client.read().unwrap() {
                Message::Binary(bytes) => received.extend_from_slice(&bytes),
                Message::Pong(_) => pongs += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((received == expected, pongs), (true, 1));
    });
    let mut rest = &reply[..];
    let begin = Instant::now();
    while !receiver.is_finished() {
        // Empty writes as well: a part may be held back until the socket has room.
        match server.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "the client did not get everything"
        );
        std::thread::yield_now();
    }
    receiver.join().unwrap();
}

// [3.1.1 MQTT-6.0.0-1] [5 MQTT-6.0.0-1]
#[test]
fn a_text_message_closes_the_connection() {
    let (mut client, mut server) = pair();
    client.send(binary(&[1])).unwrap();
    client.send(Message::text("CONNECT")).unwrap();
    client.send(binary(&[2])).unwrap();
    assert_eq!(read(&mut server), Some(vec![1]));
    assert_eq!(read(&mut server), None);
}

#[test]
fn an_unauthenticated_client_may_send_less_at_once_than_an_authenticated_one() {
    for (trusted, bytes) in [(true, 1024 * 1024), (false, 70_000)] {
        let large = vec![7; bytes];
        let (mut client, mut server) = pair();
        if trusted {
            server.trust();
        }
        let sent = large.clone();
        let sender = std::thread::spawn(move || client.send(binary(&sent)).map(|()| client));
        assert_eq!(read(&mut server), Some(large));
        drop(sender.join().unwrap());
    }

    let (mut client, mut server) = pair();
    let sender = std::thread::spawn(move || {
        // The server may close before it has everything.
        drop(client.send(binary(&[7; 70_001])));
        client
    });
    assert_eq!(read(&mut server), None);
    drop(server);
    drop(sender.join().unwrap());
}

#[test]
fn what_came_behind_the_handshake_comes_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    // A masked binary frame of one byte: 9 under the mask 0.
    let leftover = vec![0x82, 0x81, 0, 0, 0, 0, 9];
    let mut server = Transport::websocket(server, leftover, LIMITS).unwrap();
    assert_eq!(read(&mut server), Some(vec![9]));
    drop(client);
    assert_eq!(read(&mut server), None);
}

/// What a client that has ended its side has left behind what was read.
#[test]
fn whoever_has_gone_without_another_word_holds_nothing_more() {
    type Leaves = fn(&mut WebSocket<TcpStream>);
    let nothing: Leaves = |_| {};
    let farewell: Leaves = |client| client.close(None).unwrap();
    let ping: Leaves = |client| client.send(Message::Ping(Bytes::new())).unwrap();
    let more: Leaves = |client| client.send(binary(b"PUBLISH")).unwrap();
    for (leaves, expected) in [
        (nothing, None),
        (farewell, None),
        (ping, None),
        (more, Some(b"PUBLISH".to_vec())),
    ] {
        let (mut client, mut server) = pair();
        client.send(binary(b"CONNECT")).unwrap();
        assert_eq!(read(&mut server), Some(b"CONNECT".to_vec()));
        leaves(&mut client);
        client.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..2 {
            assert_eq!(server.may_hold_more(), expected.is_some());
        }
        if let Some(expected) = expected {
            assert_eq!(server.held_bytes(), expected.len());
            assert_eq!(read(&mut server), Some(expected));
        }
        assert_eq!(read(&mut server), None);
    }
}

/// Also where it was read together with the message before.
#[test]
fn a_message_that_is_read_ahead_is_not_lost() {
    let (mut client, mut server) = pair();
    client.write(binary(b"CONNECT")).unwrap();
    client.write(binary(b"PUBLISH")).unwrap();
    client.flush().unwrap();
    client.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&mut server), Some(b"CONNECT".to_vec()));
    assert!(server.may_hold_more());
    assert_eq!(read(&mut server), Some(b"PUBLISH".to_vec()));
    assert!(!server.may_hold_more());
    assert_eq!(read(&mut server), None);
}
