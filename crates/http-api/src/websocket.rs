//! `/mqtt`: checks the WebSocket handshake, answers it, and hands the bare socket to the server's shards. It reads no frame.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use server::handle::{Handle, Subprotocol, UpgradedStream};
use server::repeats::Repeats;
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use crate::admission::Place;
use crate::answer::Refusal;
use crate::peer::Peer;
use crate::secure::SecureStream;
use crate::state::HttpState;
use crate::write_timeout::WriteTimeout;

/// Connections that the HTTP server does not give away.
static STUCK: Repeats = Repeats::new();

const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Answers 101 and passes the connection on, or says what is wrong with the request.
pub(crate) async fn hand_over(
    State(state): State<HttpState>,
    peer: Peer,
    Extension(place): Extension<Arc<Place>>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let agreed = check(request.method(), request.headers())?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(pass_on(
        upgrade,
        state.handle,
        peer,
        place,
        agreed.subprotocol,
    ));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, agreed.accept);
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(agreed.subprotocol.name()),
    );
    Ok(response.into_response())
}

/// Waits until the answer is written, takes the socket out of hyper and tokio, and gives it away.
async fn pass_on(
    upgrade: OnUpgrade,
    handle: Handle,
    peer: Peer,
    place: Arc<Place>,
    subprotocol: Subprotocol,
) {
    let upgraded: Upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            return tracing::debug!(%error, "WebSocket: the connection ended in its handshake");
        }
    };
    let (stream, leftover) = match take_out(upgraded) {
        Ok(taken) => taken,
        Err(error) => {
            if let Some(left_out) = STUCK.meet(&error.to_string(), Instant::now()) {
                tracing::warn!(%error, left_out, "WebSocket: cannot take the connection out of the HTTP server");
            }
            return;
        }
    };
    // From here on it is a connection of MQTT.
    place.leave();
    if let Err(error) = handle
        .adopt_websocket(stream, leftover, peer.address, subprotocol)
        .await
    {
        // The socket went with the request and is closed.
        tracing::debug!(%error, "WebSocket: connection not taken over");
    }
}

/// The bare connection, and what the client sent behind its request.
fn take_out(upgraded: Upgraded) -> io::Result<(UpgradedStream, Vec<u8>)> {
    let upgraded = match upgraded.downcast::<TokioIo<WriteTimeout<TcpStream>>>() {
        Ok(parts) => {
            let stream = UpgradedStream::Plain(parts.io.into_inner().into_inner().into_std()?);
            return Ok((stream, parts.read_buf.to_vec()));
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<WriteTimeout<SecureStream>>>() {
        Ok(parts) => {
            let stream =
                UpgradedStream::Secure(Box::new(parts.io.into_inner().into_inner().into_tls()));
            Ok((stream, parts.read_buf.to_vec()))
        }
        Err(_) => Err(io::Error::other("it is not the stream it began as")),
    }
}

/// What a right handshake agrees on.
#[derive(Debug)]
struct Agreed {
    accept: HeaderValue,
    subprotocol: Subprotocol,
}

/// The server's half of RFC 6455, section 4.2.1, and the subprotocol that MQTT asks for [MQTT-6.0.0-3].
fn check(method: &Method, headers: &HeaderMap) -> Result<Agreed, Refusal> {
    if !lists(headers, &header::UPGRADE, "websocket")
        || !lists(headers, &header::CONNECTION, "upgrade")
    {
        let detail =
            "this address speaks MQTT over WebSocket; connect with an MQTT client to ws://…/mqtt";
        return Err(
            Refusal::new(StatusCode::UPGRADE_REQUIRED, "websocket_only", detail)
                .with(header::UPGRADE, HeaderValue::from_static("websocket")),
        );
    }
    if *method != Method::GET {
        return Err(bad("a WebSocket handshake is a GET request"));
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(bad("the handshake needs Sec-WebSocket-Version: 13")
            .with(header::SEC_WEBSOCKET_VERSION, VERSION));
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    let nonce = base64::engine::general_purpose::STANDARD.decode(key);
    if !nonce.is_ok_and(|nonce| nonce.len() == 16) {
        return Err(bad(
            "the handshake needs a Sec-WebSocket-Key of 16 bytes in base64",
        ));
    }
    if !is_same_host(headers) {
        let detail = "a page of another site may not connect here";
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            detail,
        ));
    }
    let offered = |subprotocol: Subprotocol| {
        lists(headers, &header::SEC_WEBSOCKET_PROTOCOL, subprotocol.name())
    };
    let subprotocol = [Subprotocol::Mqtt, Subprotocol::MqttV31]
        .into_iter()
        .find(|known| offered(*known));
    let Some(subprotocol) = subprotocol else {
        return Err(bad("the handshake needs Sec-WebSocket-Protocol: mqtt"));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| Refusal::internal())?;
    Ok(Agreed {
        accept,
        subprotocol,
    })
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_handshake", detail)
}

/// Whether a header that is a list names `word`, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|member| member.trim().eq_ignore_ascii_case(word))
}

/// The value of a header that stands there exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?;
    if values.next().is_some() {
        None
    } else {
        value.to_str().ok()
    }
}

/// A browser says which page asks; it has to be one of ours. Other clients say nothing.
fn is_same_host(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let (Some(origin), Some(host)) = (only(headers, &header::ORIGIN), only(headers, &header::HOST))
    else {
        return false;
    };
    let (authority, port) = match origin.split_once("://") {
        Some((scheme, authority)) if scheme.eq_ignore_ascii_case("http") => (authority, ":80"),
        Some((scheme, authority)) if scheme.eq_ignore_ascii_case("https") => (authority, ":443"),
        Some(_) | None => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(authority) == bare(host)
}
