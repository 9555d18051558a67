//! The WebSocket handshake on a listener of its own: reads the request, checks path, origin and subprotocol, answers. The
//! form of requests is tungstenite's to judge; which ones are let in is the gate's.

use std::io::{self, Read, Write};
use std::sync::Arc;

use tungstenite::handshake::machine::TryParse as _;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::uri::Authority;
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::failure::Failure;
use crate::hosts::Hosts;
use crate::websocket::{MessageBounds, MessageLimits};

/// The longest request: what browsers send with cookies fits.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
const READ_BYTES: usize = 1024;
/// The one version of WebSocket, that of RFC 6455.
const VERSION: &str = "13";
/// Names of MQTT among subprotocols: the standard's, and MQTT 3.1's. [5 MQTT-6.0.0-3]
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// What a handshake has to ask for.
#[derive(Debug)]
pub struct Gate {
    /// The path.
    pub path: String,
    /// Origins whose pages may connect, `*` for all of them; without any, those of the same host.
    pub origins: Vec<String>,
    /// Names of this server: without any origins, a browser has to ask for one of them.
    pub hosts: Arc<Hosts>,
    /// How long messages may be.
    pub bounds: MessageBounds,
}

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Upgrade {
    gate: Option<Arc<Gate>>,
    request: Vec<u8>,
    answer: Vec<u8>,
    answered: usize,
    verdict: Option<Result<usize, Failure>>,
}

/// A handshake that is answered.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// What came behind the request.
    pub(crate) leftover: Vec<u8>,
    pub(crate) limits: MessageLimits,
}

impl Upgrade {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self {
            gate: Some(gate),
            ..Self::none()
        }
    }

    /// No handshake at all: MQTT comes at once.
    pub(crate) fn none() -> Self {
        Self {
            gate: None,
            request: Vec::new(),
            answer: Vec::new(),
            answered: 0,
            verdict: None,
        }
    }

    /// Bytes of the peer that are kept until more have come.
    pub(crate) fn held_bytes(&self) -> usize {
        self.request.len()
    }

    /// Goes on as far as the stream lets it: `None` is not yet, `Some(None)` that there is nothing to be agreed on.
    pub(crate) fn advance(
        &mut self,
        stream: &mut (impl Read + Write),
    ) -> Result<Option<Option<Agreed>>, Failure> {
        let Some(gate) = self.gate.clone() else {
            return Ok(Some(None));
        };
        if self.verdict.is_none() && !self.read(stream, &gate)? {
            return Ok(None);
        }
        if !self.write(stream)? {
            return Ok(None);
        }
        match self.verdict {
            Some(Ok(length)) => Ok(Some(Some(Agreed {
                leftover: self.request.split_off(length),
                limits: gate.bounds.limits(),
            }))),
            Some(Err(failure)) => Err(failure),
            None => Ok(None),
        }
    }

    /// Whether the request is complete, and then judged.
    fn read(&mut self, stream: &mut impl Read, gate: &Gate) -> Result<bool, Failure> {
        loop {
            let held = self.request.len();
            self.request.resize(held + READ_BYTES, 0);
            let outcome = stream.read(&mut self.request[held..]);
            self.request
                .truncate(held + outcome.as_ref().copied().unwrap_or(0));
            match outcome {
                Ok(0) => return Err(Failure::Ended),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(Failure::Ended),
            }
            // Parsed once only, however slowly it comes.
            let from = held.saturating_sub(3);
            let complete = self.request[from..]
                .windows(4)
                .any(|end| end == b"\r\n\r\n");
            if complete {
                self.judge(gate);
                return Ok(true);
            }
            if self.request.len() > REQUEST_BYTES_MAX {
                self.refuse("431 Request Header Fields Too Large", Failure::BadRequest);
                return Ok(true);
            }
        }
    }

    fn judge(&mut self, gate: &Gate) {
        const BAD: &str = "400 Bad Request";
        let Ok(Some((length, request))) = Request::try_parse(&self.request) else {
            return self.refuse(BAD, Failure::BadRequest);
        };
        if length > REQUEST_BYTES_MAX {
            return self.refuse("431 Request Header Fields Too Large", Failure::BadRequest);
        }
        if !only(request.headers(), &header::HOST).is_some_and(is_host) {
            return self.refuse(BAD, Failure::BadRequest);
        }
        if request.uri().path() != gate.path {
            return self.refuse("404 Not Found", Failure::Path);
        }
        match gate.check_page(request.headers()) {
            Ok(()) => {}
            Err(failure @ Failure::Host) => {
                return self.refuse("421 Misdirected Request", failure);
            }
            Err(failure) => return self.refuse("403 Forbidden", failure),
        }
        // Somebody of before or after RFC 6455 is told which version is spoken here. (RFC 6455, 4.4)
        if request
            .headers()
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_some_and(|version| version != VERSION)
        {
            let status = format!("426 Upgrade Required\r\nSec-WebSocket-Version: {VERSION}");
            return self.refuse(&status, Failure::BadRequest);
        }
        let offered = |name: &&str| lists(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL, name);
        let subprotocol = SUBPROTOCOLS.iter().copied().find(|name| offered(name));
        let (Some(subprotocol), Ok(mut response)) = (subprotocol, create_response(&request)) else {
            return self.refuse(BAD, Failure::BadRequest);
        };
        response.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
        );
        if write_response(&mut self.answer, &response).is_err() {
            return self.refuse(BAD, Failure::BadRequest);
        }
        self.verdict = Some(Ok(length));
    }

    /// `status` may have header lines behind it.
    fn refuse(&mut self, status: &str, failure: Failure) {
        let body = format!("{failure}\n");
        let length = body.len();
        self.answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .into_bytes();
        self.verdict = Some(Err(failure));
    }

    /// Whether the answer is written.
    fn write(&mut self, stream: &mut impl Write) -> Result<bool, Failure> {
        while self.answered < self.answer.len() {
            match stream.write(&self.answer[self.answered..]) {
                Ok(count) => self.answered += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(Failure::Ended),
            }
        }
        match stream.flush() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(Failure::Ended),
        }
    }
}

impl Gate {
    /// A browser says which page asks; other clients say nothing and are let in.
    fn check_page(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if !headers.contains_key(header::ORIGIN) || self.origins.iter().any(|known| known == "*") {
            return Ok(());
        }
        let host = only(headers, &header::HOST).unwrap_or_default();
        if self.origins.is_empty() {
            // A name of its own that has been made to lead here (DNS rebinding) is its own origin as well.
            let authority = host.parse::<Authority>();
            if !authority.is_ok_and(|authority| self.hosts.contains(&authority)) {
                return Err(Failure::Host);
            }
        }
        let origin = only(headers, &header::ORIGIN).ok_or(Failure::Origin)?;
        if self.admits(origin, host) {
            Ok(())
        } else {
            Err(Failure::Origin)
        }
    }

    fn admits(&self, origin: &str, host: &str) -> bool {
        if !self.origins.is_empty() {
            let known = |known: &String| known.eq_ignore_ascii_case(origin);
            return self.origins.iter().any(known);
        }
        let (authority, port) = match origin.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (rest, ":80"),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (rest, ":443"),
            Some(_) | None => return false,
        };
        let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
        bare(authority) == bare(host)
    }
}

/// Whether a header that is a list names `word`, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|member| member.trim().eq_ignore_ascii_case(word))
}

/// Whether a Host header is a name and perhaps a port; empty where the address that is asked for has no name. (RFC 9112, 3.2)
fn is_host(host: &str) -> bool {
    host.is_empty() || (host.parse::<Authority>().is_ok() && !host.contains('@'))
}

/// The value of a header that stands there exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}
