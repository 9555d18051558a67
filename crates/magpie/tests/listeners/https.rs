//! The HTTP server with a certificate: the web client over HTTPS, and its MQTT over secure WebSocket.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use harness::rustls::{ClientConfig, ClientConnection, StreamOwned};
use harness::{Authority, Server, Signal};

use crate::{Scene, dial, talk};

const HTTPS: &str = r#"
[mqtt]
allow_anonymous = true
[[mqtt.listener]]
address = "127.0.0.1:0"
[http]
certificate = "server.pem"
key = "server.key"
"#;

fn get(server: &Server, config: &Arc<ClientConfig>, path: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(server.http())?;
    stream.set_read_timeout(Some(harness::PATIENCE))?;
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_web_client_and_its_mqtt_are_encrypted() {
    let scene = Scene::new();
    let server = scene.start(HTTPS);
    let config = scene.authority.client_config(None);
    let page = get(&server, &config, "/").unwrap();
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("<html"),
        "{page}"
    );
    let metrics = get(&server, &config, "/metrics").unwrap();
    assert!(metrics.contains("magpie_build_info"), "{metrics}");

    let wss = dial(&server, "wss")
        .at(server.http())
        .tls(&config)
        .websocket("/mqtt", None);
    let mut wss = wss.connect().unwrap();
    talk(&mut wss, "wss");
    let origin = format!("https://{}", server.http());
    let foreign = dial(&server, "page").at(server.http()).tls(&config);
    let foreign = foreign
        .websocket("/mqtt", Some(&origin))
        .connect()
        .unwrap_err();
    assert!(foreign.to_string().contains("403"), "{foreign}");

    // A new certificate holds for new connections; the old one goes on.
    let authority = Authority::new();
    let mark = server.program().error_mark();
    authority.server().write(scene.folder.path(), "server");
    server.program().signal(Signal::HangUp);
    server
        .program()
        .error_line(mark, |line| line.contains("certificate read again"));
    get(&server, &authority.client_config(None), "/healthz").unwrap();
    assert!(get(&server, &config, "/healthz").is_err());
    talk(&mut wss, "wss");
    wss.disconnect();
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
}

#[test]
fn plain_http_is_no_https() {
    let scene = Scene::new();
    let server = scene.start(HTTPS);
    let mut stream = TcpStream::connect(server.http()).unwrap();
    stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // The alert, or only the end.
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    get(&server, &scene.authority.client_config(None), "/healthz").unwrap();
}

#[test]
fn a_handshake_that_does_not_come_ends_the_connection_and_is_counted() {
    let scene = Scene::new();
    let server = scene.start(&format!("{HTTPS}header_timeout_secs = 1\n"));
    let mut stream = TcpStream::connect(server.http()).unwrap();
    stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    let config = scene.authority.client_config(None);
    let metrics = get(&server, &config, "/metrics").unwrap();
    let counted = r#"magpie_http_header_timeouts_total{waited_for="handshake"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}
