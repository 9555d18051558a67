//! Accepts HTTP connections and ends them: their number, their lifetime, the graceful stop. It must not know a route.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
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
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::doors::Doors;
use crate::peer::Peer;
use crate::recorder::Metrics;
use crate::router;
use crate::secure::SecureStream;

/// Bytes of a request's first line and header; more are answered 431.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Header lines of one request.
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
        header_timeout: config.header_timeout,
        credentials,
        stopping: watch::channel(false).0,
    };
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = connections.accept(&listener) => match accepted {
                Ok((stream, peer, place)) => {
                    let connection = connections.carry(stream, peer);
                    tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "HTTP: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
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

struct Connections {
    router: Router,
    places: Arc<Semaphore>,
    header_timeout: Duration,
    credentials: Option<Arc<Credentials>>,
    stopping: watch::Sender<bool>,
}

impl Connections {
    /// Takes a place first: beyond the limit connections wait in the system's queue.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer, place))
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
            header_timeout: self.header_timeout,
            stopping: self.stopping.subscribe(),
        };
        let credentials = self.credentials.clone();
        async move {
            let Some(credentials) = credentials else {
                return service.converse(stream).await;
            };
            // With the tables of a handshake it is large; most of its life it is not needed.
            let secured = Box::pin(secure(stream, &credentials, service.header_timeout));
            if let Some(stream) = secured.await {
                service.converse(stream).await;
            }
        }
    }
}

/// The TLS handshake, in the time that a request's header may take.
async fn secure(
    stream: TcpStream,
    credentials: &Arc<Credentials>,
    patience: Duration,
) -> Option<SecureStream> {
    let shaken = async {
        let mut stream = SecureStream::new(stream, credentials)?;
        stream.shake().await?;
        Ok::<_, io::Error>(stream)
    };
    match tokio::time::timeout(patience, shaken).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "HTTPS: no handshake");
            None
        }
        Err(_) => {
            tracing::debug!("HTTPS: the handshake takes too long");
            None
        }
    }
}

/// What one connection is served with.
struct Service {
    router: Router,
    peer: SocketAddr,
    header_timeout: Duration,
    stopping: watch::Receiver<bool>,
}

impl Service {
    async fn converse<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self {
            router,
            peer,
            header_timeout,
            mut stopping,
        } = self;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_headers(HEADER_LINES_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let lifetime = tokio::time::sleep(CONNECTION_LIFETIME_MAX);
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = lifetime => {}
        }
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(DRAIN_TIMEOUT, connection).await {
            Ok(ended) => log_end(ended),
            Err(_) => tracing::debug!("HTTP: connection cut off"),
        }
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // A stranger's broken request is not our trouble.
        tracing::debug!(%error, "HTTP: connection ended");
    }
}
