//! Accepts HTTP connections and ends them: their lifetime, the graceful stop, and what becomes of those beyond a limit. It must
//! not know a route.

use std::collections::VecDeque;
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
use net::{Credentials, Hosts};
use server::admission::Descriptors;
use server::config::HttpConfig;
use server::handle::Handle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tower::ServiceExt as _;

use crate::admission::{Admission, Place};
use crate::counters::{Counters, Late};
use crate::forwarded::Proxies;
use crate::peer::Peer;
use crate::recorder::Metrics;
use crate::router;
use crate::secure::SecureStream;
use crate::state::{HttpState, MetricsReaders};
use crate::write_timeout::WriteTimeout;

/// Header lines of one request; more are answered 431 like one with too many bytes.
const HEADER_LINES_MAX: usize = 100;
/// The longest that one connection may live. Nothing here takes that long; a browser makes a new one.
const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(600);
/// How long requests under way are awaited when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait when the system has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections beyond a limit that are answered at once; of more, the oldest is cut off.
const SURPLUS_MAX: usize = 16;
/// How long such a one may take, from its first byte to its last.
const SURPLUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections at once of the address that is only for monitoring.
const METRICS_CONNECTIONS_MAX: usize = 64;
/// How often the metrics' histograms are folded together.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Serves HTTP, or HTTPS with `credentials`, on `listener` until `stop` is ready, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    handle: Handle,
    metrics: Metrics,
    config: HttpConfig,
    credentials: Option<Arc<Credentials>>,
    descriptors: Arc<Descriptors>,
    stop: impl Future<Output = ()>,
) {
    let readers = match config.metrics_address {
        Some(_) => MetricsReaders::Administrators,
        None => MetricsReaders::ThisMachine {
            token: config.metrics_token.clone(),
        },
    };
    let state = state(handle, metrics.clone(), &config, readers);
    let routers = (router::router(state.clone()), router::surplus(state));
    let connections = Connections::new(&config, routers, credentials, descriptors);
    tokio::select! {
        () = connections.accept(listener, stop) => {}
        () = fold(&metrics) => {}
    }
}

/// Serves what monitoring asks for, and nothing else, on the `listener` of `http.metrics_address`; otherwise like [`serve`].
pub async fn serve_metrics(
    listener: TcpListener,
    handle: Handle,
    metrics: Metrics,
    config: HttpConfig,
    descriptors: Arc<Descriptors>,
    stop: impl Future<Output = ()>,
) {
    let readers = match config.metrics_token.clone() {
        Some(token) => MetricsReaders::ThisMachine { token: Some(token) },
        None => MetricsReaders::Anybody,
    };
    let router = router::monitoring(state(handle, metrics, &config, readers));
    let config = HttpConfig {
        connections_max: METRICS_CONNECTIONS_MAX,
        connections_per_address_max: 0,
        ..config
    };
    // Beyond the limit the same is answered, once.
    let routers = (router.clone(), router);
    Connections::new(&config, routers, None, descriptors)
        .accept(listener, stop)
        .await;
}

fn state(
    handle: Handle,
    metrics: Metrics,
    config: &HttpConfig,
    readers: MetricsReaders,
) -> HttpState {
    HttpState {
        handle,
        metrics,
        metrics_readers: readers,
        hosts: Arc::new(Hosts::new(&config.hosts)),
        body_bytes_max: config.body_bytes_max,
    }
}

/// Folds the metrics' histograms together from time to time; never ends.
async fn fold(metrics: &Metrics) {
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        upkeep.tick().await;
        metrics.upkeep();
    }
}

struct Connections {
    router: Router,
    /// For connections beyond a limit: monitoring is answered, everybody else hears that the server is full.
    surplus_router: Router,
    admission: Arc<Admission>,
    proxies: Arc<Proxies>,
    /// Connections beyond a limit, the oldest first.
    surplus: VecDeque<AbortHandle>,
    header_bytes_max: usize,
    header_timeout: Duration,
    write_timeout: Duration,
    credentials: Option<Arc<Credentials>>,
    counters: Counters,
    stopping: watch::Sender<bool>,
}

impl Connections {
    /// `routers` are that of every connection, and that of those beyond a limit.
    fn new(
        config: &HttpConfig,
        (router, surplus_router): (Router, Router),
        credentials: Option<Arc<Credentials>>,
        descriptors: Arc<Descriptors>,
    ) -> Self {
        Self {
            router,
            surplus_router,
            admission: Admission::new(config, descriptors),
            proxies: Arc::new(Proxies::new(config.proxy_from.clone())),
            surplus: VecDeque::new(),
            header_bytes_max: config.header_bytes_max,
            header_timeout: config.header_timeout,
            write_timeout: config.write_timeout,
            credentials,
            counters: Counters::new(),
            stopping: watch::channel(false).0,
        }
    }

    /// Takes connections until `stop` is ready, then lets requests under way finish.
    async fn accept(mut self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.begin(&mut tasks, stream, address),
                    Err(error) => {
                        server::repeats::accept_failed(&error);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(listener);
        self.stopping.send_replace(true);
        let finished = tokio::time::timeout(DRAIN_TIMEOUT, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        if finished.is_err() {
            tracing::debug!(connections = tasks.len(), "HTTP: cut off while draining");
        }
    }

    fn begin(&mut self, tasks: &mut JoinSet<()>, stream: TcpStream, address: SocketAddr) {
        let peer = Peer::new(address);
        let counted = self.proxies.counted(address.ip());
        match self.admission.enter(counted) {
            Ok(place) => {
                let service = self.service(peer, self.router.clone(), Some(place.clone()));
                let credentials = self.credentials.clone();
                tasks.spawn(async move {
                    service.carry(stream, credentials).await;
                    place.leave();
                });
            }
            Err(full) => {
                self.counters.refused(full);
                let service = self.service(peer, self.surplus_router.clone(), None);
                let carried = service.carry(stream, self.credentials.clone());
                let task = tasks.spawn(async move {
                    let _ = tokio::time::timeout(SURPLUS_TIMEOUT, carried).await;
                });
                self.surplus.retain(|task| !task.is_finished());
                if self.surplus.len() >= SURPLUS_MAX
                    && let Some(oldest) = self.surplus.pop_front()
                {
                    oldest.abort();
                }
                self.surplus.push_back(task);
            }
        }
    }

    fn service(&self, peer: Peer, router: Router, place: Option<Arc<Place>>) -> Service {
        Service {
            router,
            peer,
            proxies: self.proxies.clone(),
            place,
            header_bytes_max: self.header_bytes_max,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
            counters: self.counters.clone(),
            stopping: self.stopping.subscribe(),
        }
    }
}

/// What one connection is served with.
struct Service {
    router: Router,
    peer: Peer,
    proxies: Arc<Proxies>,
    /// Nothing for one beyond a limit, which is answered once and ends.
    place: Option<Arc<Place>>,
    header_bytes_max: usize,
    header_timeout: Duration,
    write_timeout: Duration,
    counters: Counters,
    stopping: watch::Receiver<bool>,
}

impl Service {
    /// One connection, from its first byte to its end or its hand-over.
    async fn carry(self, stream: TcpStream, credentials: Option<Arc<Credentials>>) {
        if let Err(error) = stream.set_nodelay(true) {
            // It has ended already.
            tracing::debug!(%error, "HTTP: connection ended");
            return;
        }
        let Some(credentials) = credentials else {
            return self.converse(stream).await;
        };
        // With the tables of a handshake it is large; most of its life it is not needed.
        let secured = Box::pin(self.secure(stream, &credentials));
        if let Some(stream) = secured.await {
            self.converse(stream).await;
        }
    }

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
            proxies,
            place,
            header_bytes_max,
            header_timeout,
            write_timeout,
            counters,
            mut stopping,
        } = self;
        let keeps_alive = place.is_some();
        let requests = Arc::new(AtomicU64::new(0));
        let seen = requests.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            seen.fetch_add(1, Ordering::Relaxed);
            let peer = peer.of_request(request.headers(), &proxies);
            request.extensions_mut().insert(peer);
            if let Some(place) = &place {
                request.extensions_mut().insert(place.clone());
            }
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_headers(HEADER_LINES_MAX)
            .max_header_size(header_bytes_max)
            // This one bounds memory, but only to within one read.
            .max_buf_size(header_bytes_max)
            .keep_alive(keeps_alive)
            .serve_connection(
                TokioIo::new(WriteTimeout::new(stream, write_timeout)),
                service,
            )
            .with_upgrades();
        let over = |ended: hyper::Result<()>| {
            if let Err(error) = ended {
                counters.ended(&error, requests.load(Ordering::Relaxed));
                // A broken request is its client's trouble.
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
