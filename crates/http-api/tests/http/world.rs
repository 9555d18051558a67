//! A server on a free port with a fake service behind it, and the barest of HTTP clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_api::Metrics;
use server::config::HttpConfig;
use server::handle::{
    AccountDirectory, AccountInfo, AccountPage, AccountQuery, AccountRole, AdoptedWebSocket,
    Handle, Health, Login, Request, RequestError, Requests, Secret,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

/// No answer in a test takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) adopted: mpsc::Receiver<AdoptedWebSocket>,
    /// From where logins came.
    pub(crate) logins: mpsc::Receiver<IpAddr>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: tokio::task::JoinHandle<()>,
    /// A test is one thread: what is counted on it is this world's.
    _counting: metrics::LocalRecorderGuard<'static>,
}

pub(crate) async fn world() -> World {
    world_with(HttpConfig {
        hosts: vec!["magpie.test".to_owned()],
        ..HttpConfig::default()
    })
    .await
}

pub(crate) async fn world_with(config: HttpConfig) -> World {
    start(config, Served::Everything).await
}

/// One with nothing but what `http.metrics_address` serves.
pub(crate) async fn monitoring_world_with(config: HttpConfig) -> World {
    start(config, Served::Monitoring).await
}

enum Served {
    Everything,
    Monitoring,
}

async fn start(config: HttpConfig, served: Served) -> World {
    let (handle, Requests { queue, health }) = Handle::new(|| {});
    health.send_replace(Health::Ready);
    handle.attach_directory(Arc::new(People));
    let (adopt, adopted) = mpsc::channel(16);
    let (log_in, logins) = mpsc::channel(64);
    tokio::spawn(service(queue, adopt, log_in));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let (metrics, recorder) = Metrics::beside().unwrap();
    let counting = metrics::set_default_local_recorder(Box::leak(Box::new(recorder)));
    let stopped = async move {
        // A test that forgets the sender lets the server go on.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let descriptors = server::admission::Descriptors::unbounded();
    let ended = match served {
        Served::Everything => tokio::spawn(http_api::serve(
            listener,
            handle,
            metrics,
            config,
            None,
            descriptors,
            stopped,
        )),
        Served::Monitoring => tokio::spawn(http_api::serve_metrics(
            listener,
            handle,
            metrics,
            config,
            descriptors,
            stopped,
        )),
    };
    World {
        address,
        adopted,
        logins,
        health,
        stop,
        ended,
        _counting: counting,
    }
}

pub(crate) fn account(name: &str, role: AccountRole) -> AccountInfo {
    AccountInfo {
        name: name.to_owned(),
        display: name.to_uppercase(),
        role,
        disabled: name == "carol",
    }
}

async fn service(
    mut queue: mpsc::Receiver<Request>,
    adopt: mpsc::Sender<AdoptedWebSocket>,
    log_in: mpsc::Sender<IpAddr>,
) {
    while let Some(request) = queue.recv().await {
        match request {
            Request::CreateFirstAccount {
                token,
                account: new,
                reply,
                ..
            } => drop(reply.send(match token.expose() {
                "once" if new.role == AccountRole::Admin => {
                    Ok(account(&new.name, AccountRole::Admin))
                }
                _ => Err(RequestError::BadSetupToken),
            })),
            Request::Login {
                name,
                password,
                peer,
                reply,
                ..
            } => {
                log_in.try_send(peer).unwrap();
                drop(reply.send(match password.expose() {
                    "right" => Ok(Login {
                        token: Secret::new("mpt_x"),
                        account: account(&name, AccountRole::Member),
                    }),
                    "again" => Err(RequestError::RateLimited {
                        retry_after: Duration::from_millis(2500),
                    }),
                    _ => Err(RequestError::BadCredentials),
                }));
            }
            Request::Logout { token, reply, .. } => drop(reply.send(known(&token).map(|_| ()))),
            Request::AddAccount {
                account: new,
                reply,
                ..
            } => drop(reply.send(match new.name.as_str() {
                "alice" => Err(RequestError::AccountExists { name: new.name }),
                name => Ok(account(name, new.role)),
            })),
            Request::RemoveAccount { name, reply, .. } => drop(reply.send(match name.as_str() {
                "bob" => Ok(()),
                _ => Err(RequestError::NoSuchAccount { name }),
            })),
            Request::DeleteGroup { slug, reply, .. } => drop(reply.send(match slug.as_str() {
                "eng" => Ok(()),
                _ => Err(RequestError::NoSuchGroup { address: slug }),
            })),
            Request::AdoptWebSocket { adopted, reply } => {
                drop(reply.send(Ok(())));
                adopt.send(adopted).await.unwrap();
            }
            Request::SetPassword { .. } | Request::SetDisabled { .. } | Request::Reload { .. } => {
                panic!("HTTP never asks for this")
            }
        }
    }
}

/// The accounts, which are not searched: what comes of parameters is shown in place of a name.
struct People;

impl AccountDirectory for People {
    fn is_empty(&self) -> bool {
        true
    }

    fn authenticate(&self, token: &Secret) -> Result<AccountInfo, RequestError> {
        known(token)
    }

    fn admit_list(&self, account: &str) -> Result<(), RequestError> {
        match account {
            "greedy" => Err(RequestError::TooOften {
                retry_after: Duration::from_secs(1),
            }),
            _ => Ok(()),
        }
    }

    fn account(&self, name: &str) -> Option<AccountInfo> {
        (name != "nobody").then(|| account(name, AccountRole::Member))
    }

    fn page(&self, query: &AccountQuery) -> AccountPage {
        AccountPage {
            accounts: vec![account(&format!("{query:?}"), AccountRole::Member)],
            next: Some("bob".to_owned()),
        }
    }
}

fn known(token: &Secret) -> Result<AccountInfo, RequestError> {
    match token.expose() {
        "mpt_admin" => Ok(account("alice", AccountRole::Admin)),
        "mpt_greedy" => Ok(account("greedy", AccountRole::Member)),
        "mpt_member" => Ok(account("bob", AccountRole::Member)),
        _ => Err(RequestError::BadToken),
    }
}

/// An answer, read by hand.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Asserts that it is a refusal in the one form, with this code and a sentence.
    pub(crate) fn check_refusal(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let told = self.json();
        assert_eq!(told["error"], code, "{self:?}");
        assert!(
            told["detail"]
                .as_str()
                .is_some_and(|detail| detail.len() > 10),
            "{self:?}"
        );
        assert_eq!(told.as_object().unwrap().len(), 2, "{self:?}");
    }
}

impl World {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own and reads one answer.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        answer(&mut stream).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.raw(format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.address
        ))
        .await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, json: &str) -> Answer {
        let (host, length) = (self.address, json.len());
        self.raw(format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{json}"
        ))
        .await
    }
}

/// The value of a series on `/metrics`, asked for on a connection that is kept; 0 while it is not there.
pub(crate) async fn metric(stream: &mut TcpStream, series: &str) -> u64 {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let told = answer(stream).await;
    let line = told
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

/// Reads one answer: its head, and as much body as it announces.
pub(crate) async fn answer(stream: &mut TcpStream) -> Answer {
    tokio::time::timeout(PATIENCE, read_answer(stream))
        .await
        .expect("an answer within the time of a test")
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => panic!(
                "no whole answer ({error}): {:?}",
                String::from_utf8_lossy(&head)
            ),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer {
        status,
        head,
        body: Vec::new(),
    };
    let length = answer
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    answer.body.resize(length, 0);
    stream.read_exact(&mut answer.body).await.unwrap();
    answer
}

/// Reads until the server closes.
pub(crate) async fn whole(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all))
        .await
        .expect("the connection ends")
        .unwrap();
    String::from_utf8_lossy(&all).into_owned()
}
