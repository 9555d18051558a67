//! The server behind nginx, with the configuration of docs/listeners.md: the web client, REST and MQTT over WebSocket pass,
//! the metrics do not.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use harness::{HttpAnswer, Launch, PATIENCE, Program, http_get, own_address, repository};

/// The name by which the page's server is asked for.
const NAME: &str = "chat.example.org";

/// What the page says of nginx, in a block of this language.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(repository().join("docs/listeners.md")).unwrap();
    let (_, page) = page.split_once("### nginx in front of HTTP").unwrap();
    let block = page.split(&format!("```{language}\n")).nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// The block of the page that is a whole server, for the addresses and files of this test. Without TLS: what is between
/// the browser and nginx is nginx's.
fn configuration(proxy: SocketAddr, server: SocketAddr) -> String {
    let block = block("nginx");
    let kept = block
        .lines()
        .filter(|line| !line.trim().starts_with("ssl_"));
    let text: Vec<_> = kept.collect();
    text.join("\n")
        .replace("listen 443 ssl;", &format!("listen {proxy};"))
        .replace("127.0.0.1:8080", &server.to_string())
}

/// nginx in one process, which ends with the test.
fn start_nginx(folder: &Path, site: &str) -> Program {
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};"))
        .join(" ");
    let main = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
         events {{ }}\nhttp {{ access_log off; {paths}\n{site}\n}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), main).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
        .arg(folder);
    Program::start("nginx", &mut command)
}

/// The status of a WebSocket handshake at `/mqtt` of this host whose page comes from `origin`.
fn handshake(proxy: SocketAddr, host: &str, origin: &str) -> u16 {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let answer = std::str::from_utf8(&answer).unwrap();
    answer.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

fn answers(proxy: SocketAddr, path: &str) -> HttpAnswer {
    let began = Instant::now();
    loop {
        match http_get(proxy, path) {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn behind_nginx_everything_passes_but_the_metrics() {
    let test = "behind_nginx_everything_passes_but_the_metrics";
    if !Path::new("/usr/sbin/nginx").is_file() {
        return harness::skip(test, "there is no nginx", "apt-get install nginx-light");
    }
    let server = Launch::new().config(&block("toml")).start();
    let folder = tempfile::tempdir().unwrap();
    let proxy = own_address();
    let _nginx = start_nginx(folder.path(), &configuration(proxy, server.http()));
    assert_eq!(answers(proxy, "/").status, 200);
    assert!(
        answers(proxy, "/api/v1/server")
            .body
            .contains("setup_required")
    );
    for path in ["/metrics", "//metrics", "/%6detrics", "/metrics?x=1"] {
        assert_eq!(answers(proxy, path).status, 404, "{path}");
    }
    assert_eq!(http_get(server.http(), "/metrics").unwrap().status, 200);

    for host in [NAME, &proxy.to_string()] {
        assert_eq!(handshake(proxy, host, &format!("http://{host}")), 101);
        assert_eq!(handshake(proxy, host, "http://elsewhere.example"), 403);
    }
    // A page whose name has been made to lead here.
    let rebound = "elsewhere.example";
    assert_eq!(handshake(proxy, rebound, &format!("http://{rebound}")), 421);
}
