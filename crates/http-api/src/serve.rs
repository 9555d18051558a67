//! Accepts HTTP connections and ends them: their number, their lifetime, the graceful stop. It must not know a route.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use net::Credentials;
use server::config::HttpConfig;
use server::handle::Handle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::counters::{Counters, Late};
use crate::doors::Doors;
use crate::peer::Peer;
use crate::recorder::Metrics;
use crate::router;
use crate::secure::SecureStream;

/// Header lines of one request; more are answered 431 like one with too many bytes.
const HEADER_LINES_MAX: usize = 100;
/// The longest that one connection may live. Nothing here takes that long; a browser makes a new one.
const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(600);
/// How long requests under way are awaited when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait when the system has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the metrics' histograms are folded together.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Serves HTTP, or HTTPS with `credentials`, on `listener` until `stop` is ready, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    handle: Handle,
    metrics: Metrics,
    config: HttpConfig,
    credentials: Option<Arc<Credentials>>,
    stop: impl Future<Output = ()>,
) {
    let doors = Doors {
        handle,
        metrics: metrics.clone(),
        body_bytes_max: config.body_bytes_max,
    };
    let connections = Connections {
        router: router::router(doors),
        places: Arc::new(Semaphore::new(config.connections_max)),
        header_bytes_max: config.header_bytes_max,
        header_timeout: config.header_timeout,
        credentials,
        counters: Counters::new(),
        stopping: watch::channel(false).0,
    };
    let mut held: Option<Arrival> = None;
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept(), if held.is_none() => match accepted {
                Ok(arrival) => match connections.place() {
                    Some(place) => connections.begin(&mut tasks, arrival, place),
                    None => {
                        connections.counters.held.increment(1);
                        held = Some(arrival);
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "HTTP: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            place = connections.next_place(), if held.is_some() => {
                if let (Some(arrival), Some(place)) = (held.take(), place) {
                    connections.begin(&mut tasks, arrival, place);
                }
            }
            Some(_) = tasks.join_next() => {}
            _ = upkeep.tick() => metrics.upkeep(),
        }
    }
    drop(listener);
    connections.stopping.send_replace(true);
    let finished = tokio::time::timeout(DRAIN_TIMEOUT, async {
        while tasks.join_next().await.is_some() {}
    })
    .await;
    if finished.is_err() {
        tracing::debug!(connections = tasks.len(), "HTTP: cut off while draining");
    }
}

/// A connection that has been accepted, and from where it comes.
type Arrival = (TcpStream, SocketAddr);

struct Connections {
    router: Router,
    /// One for each connection that may be served. When there is none, one more connection is accepted, so that it can be
    /// counted, and held until there is; the others wait in the system's queue.
    places: Arc<Semaphore>,
    header_bytes_max: usize,
    header_timeout: Duration,
    credentials: Option<Arc<Credentials>>,
    counters: Counters,
    stopping: watch::Sender<bool>,
}

impl Connections {
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits for a place; `None` never comes, because the semaphore is never closed.
    async fn next_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn begin(&self, tasks: &mut JoinSet<()>, (stream, peer): Arrival, place: OwnedSemaphorePermit) {
        let connection = self.carry(stream, peer);
        tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }

    /// One connection, from its first byte to its end or its hand-over.
    fn carry(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + 'static {
        let service = Service {
            router: self.router.clone(),
            peer,
            header_bytes_max: self.header_bytes_max,
            header_timeout: self.header_timeout,
            counters: self.counters.clone(),
            stopping: self.stopping.subscribe(),
        };
        let credentials = self.credentials.clone();
        async move {
            if let Err(error) = stream.set_nodelay(true) {
                // It has ended already.
                tracing::debug!(%error, "HTTP: connection ended");
                return;
            }
            let Some(credentials) = credentials else {
                return service.converse(stream).await;
            };
            // With the tables of a handshake it is large; most of its life it is not needed.
            let secured = Box::pin(service.secure(stream, &credentials));
            if let Some(stream) = secured.await {
                service.converse(stream).await;
            }
        }
    }
}

/// What one connection is served with.
struct Service {
    router: Router,
    peer: SocketAddr,
    header_bytes_max: usize,
    header_timeout: Duration,
    counters: Counters,
    stopping: watch::Receiver<bool>,
}

impl Service {
    /// The TLS handshake, in the time that a request's header may take.
    async fn secure(
        &self,
        stream: TcpStream,
        credentials: &Arc<Credentials>,
    ) -> Option<SecureStream> {
        let shaken = async {
            let mut stream = SecureStream::new(stream, credentials)?;
            stream.shake().await?;
            Ok::<_, io::Error>(stream)
        };
        match tokio::time::timeout(self.header_timeout, shaken).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "HTTPS: no handshake");
                None
            }
            Err(_) => {
                self.counters.late(Late::Handshake);
                tracing::debug!("HTTPS: the handshake takes too long");
                None
            }
        }
    }

    async fn converse<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self {
            router,
            peer,
            header_bytes_max,
            header_timeout,
            counters,
            mut stopping,
        } = self;
        let requests = Arc::new(AtomicU64::new(0));
        let seen = requests.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            seen.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_headers(HEADER_LINES_MAX)
            .max_buf_size(header_bytes_max)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let over = |ended: hyper::Result<()>| {
            if let Err(error) = ended {
                counters.ended(&error, requests.load(Ordering::Relaxed));
                // A stranger's broken request is not our trouble.
                tracing::debug!(%error, "HTTP: connection ended");
            }
        };
        let mut connection = pin!(connection);
        let lifetime = tokio::time::sleep(CONNECTION_LIFETIME_MAX);
        tokio::select! {
            ended = connection.as_mut() => return over(ended),
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = lifetime => {}
        }
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(DRAIN_TIMEOUT, connection).await {
            Ok(ended) => over(ended),
            Err(_) => tracing::debug!("HTTP: connection cut off"),
        }
    }
}
