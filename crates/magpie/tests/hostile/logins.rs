//! Logins that are meant to harm: guesses that come all at once, a flood whose sockets are closed at once, and wrong passwords that
//! are to close an account to its owner.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{
    ClientError, Dial, HttpAnswer, Launch, Server, Version, connect_from, http_post, password,
    raise_descriptors,
};
use serde_json::{Value, json};

use crate::crowd::{answer, turn};
use crate::pair::Pair;

const WRONG: u8 = 0x86;
const THROTTLED: u8 = 0x9F;
/// How long a bystander's login may take.
const LOGIN_MAX: Duration = Duration::from_secs(5);

fn start(auth: &str) -> Server {
    raise_descriptors();
    let server = Launch::new().config(&format!("[auth]\n{auth}")).start();
    for name in ["alice", "bob", "carol", "dave"] {
        server.add_account(name);
    }
    server
}

/// CONNECT of version 5 with a clean start; all of it is shorter than 128 bytes.
fn connect(name: &str, password: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x05\xC2\x00\x3c\x00".to_vec();
    for text in ["x", name, password] {
        body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
    packet.append(&mut body);
    packet
}

/// What a login from the address with this number is answered with.
fn log_in_from(number: u8, server: &Server, name: &str, password: &str) -> u8 {
    let stream = connect_from(number, server.mqtt()).unwrap();
    let connack = answer(stream, &connect(name, password), 5);
    let [0x20, _, _, reason, ..] = connack[..] else {
        panic!("no CONNACK: {connack:02x?}");
    };
    reason
}

fn rest_login(server: &Server, name: &str) -> HttpAnswer {
    let body = json!({"name": name, "password": password(name)});
    http_post(server.http(), "/api/v1/login", &body).unwrap()
}

fn check_quick(what: &str, login: impl FnOnce()) {
    let begun = Instant::now();
    login();
    let took = begun.elapsed();
    println!("hostile  {what} took {:.0} ms", took.as_secs_f64() * 1e3);
    assert!(took < LOGIN_MAX, "{what} took {took:?}");
}

#[test]
fn of_900_guesses_at_once_60_are_checked() {
    let _turn = turn();
    let server = start("");
    let pair = Pair::start(&server);
    let before = server.metric("magpie_password_checks_total", "");
    let mut guesses: Vec<TcpStream> = (0..900)
        .map(|_| connect_from(7, server.mqtt()).unwrap())
        .collect();
    for (number, stream) in guesses.iter_mut().enumerate() {
        let guess = connect(&format!("name{number}"), "a wrong password");
        stream.write_all(&guess).unwrap();
    }
    let answers = guesses.into_iter().map(|stream| answer(stream, b"", 5)[3]);
    let answers: Vec<u8> = answers.collect();
    let of = |code: u8| answers.iter().filter(|known| **known == code).count();
    assert_eq!((of(WRONG), of(THROTTLED)), (60, 840));
    let checks = server.metric("magpie_password_checks_total", "");
    assert_eq!(checks - before, 60);
    pair.check("900 guesses at once");
}

/// A connection that will send one packet, directly on TCP.
fn over_tcp(server: &Server) -> TcpStream {
    connect_from(8, server.mqtt()).unwrap()
}

/// A connection that will send one packet, as the one message of a WebSocket; its mask is 0.
fn over_websocket(server: &Server) -> TcpStream {
    let mut stream = connect_from(8, server.http()).unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        server.http()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
    stream
}

/// One message under the mask 0; it is shorter than 126 bytes.
fn message(packet: &[u8]) -> Vec<u8> {
    [&[0x82, 0x80 | packet.len() as u8, 0, 0, 0, 0], packet].concat()
}

fn check_flood(what: &str, open: fn(&Server) -> TcpStream, framed: fn(&[u8]) -> Vec<u8>) {
    let _turn = turn();
    // Not even where its guesses are not counted.
    let server =
        start("failures_per_minute_per_address = 100000\nchecks_per_second_per_address = 0\n");
    let pair = Pair::start(&server);
    let mut staying = Vec::new();
    for number in 0..1800 {
        let mut stream = open(&server);
        let guess = connect(&format!("name{number}"), "a wrong password");
        stream.write_all(&framed(&guess)).unwrap();
        // Some wait, so that there is always something to check.
        if number % 6 == 0 {
            staying.push(stream);
        }
    }
    check_quick("a password login beside the flood", || {
        let dial = server.dial(Version::V5, "carol", "phone");
        dial.connect().unwrap().disconnect();
    });
    check_quick("a REST login beside the flood", || {
        let answer = rest_login(&server, "dave");
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
    assert!(server.metric("magpie_logins_abandoned_total", "") > 100);
    drop(staying);
    pair.check(what);
}

#[test]
fn a_flood_of_logins_whose_sockets_close_at_once_delays_nobody() {
    let what = "a flood of 1,800 logins whose sockets close at once";
    check_flood(what, over_tcp, <[u8]>::to_vec);
}

#[test]
fn nor_does_such_a_flood_over_websocket() {
    let what = "the same over WebSocket";
    check_flood(what, over_websocket, message);
}

#[test]
fn wrong_passwords_from_everywhere_do_not_close_an_account_to_its_devices() {
    let _turn = turn();
    // Every password is checked: what is remembered passes anyway.
    let server = start("cache_secs = 0\n");
    let pair = Pair::start(&server);
    let login = rest_login(&server, "carol");
    let token: Value = serde_json::from_str(&login.body).unwrap();
    let token = token["token"].as_str().unwrap();
    let mut answers = Vec::new();
    for number in 20..40 {
        for guess in 0..6 {
            answers.push(log_in_from(
                number,
                &server,
                "carol",
                &format!("guess {guess}"),
            ));
        }
    }
    let wrong = answers.iter().filter(|code| **code == WRONG).count();
    assert_eq!(wrong, 50, "{answers:02x?}");
    assert_eq!(answers[5], THROTTLED, "each address waits after five");

    let right = password("carol");
    assert_eq!(log_in_from(41, &server, "carol", &right), THROTTLED);
    assert_eq!(log_in_from(41, &server, "carol", token), 0);
    check_quick(
        "the owner's login beside those who would lock it out",
        || {
            let phone = server.dial(Version::V5, "carol", "phone").connect();
            phone.unwrap().disconnect();
        },
    );
    // Who has the owner's address and not the password does not learn that it is the owner's.
    let guess = Dial::new(server.mqtt(), Version::V5, "y").login("carol", "a guess");
    let refused = guess.connect().unwrap_err();
    assert!(
        matches!(refused, ClientError::Refused(THROTTLED)),
        "{refused}"
    );
    pair.check("a lockout from 20 addresses");
}
