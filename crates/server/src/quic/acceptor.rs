//! Who comes in by QUIC: handshakes are counted and bounded, places are given by the same admission as TCP's, and a
//! connection that has opened its stream goes to a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use net::{PipeEnd, Transport, pipe};
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::settings::Certificates;
use super::{Ending, HandshakeLimits, NO_PLACE, TOO_SLOW, stream};
use crate::admission::Admission;
use crate::listener::ServedListeners;
use crate::origin::{ListenerNumber, Origin};
use crate::post::{Post, ShardEvent};

/// Bytes a pipe holds each way, while its reader is busy.
const PIPE_BYTES: usize = 64 * 1024;

/// What the connections of all QUIC addresses share.
pub(crate) struct Destination {
    pub(crate) admission: Arc<Admission>,
    pub(crate) served: Arc<ServedListeners>,
    pub(crate) post: Post,
}

/// The way in at one address.
pub(super) struct Acceptor {
    destination: Arc<Destination>,
    certificates: Certificates,
    listener: ListenerNumber,
    handshakes: Arc<Semaphore>,
    limits: HandshakeLimits,
    next_shard: AtomicUsize,
    refused: metrics::Counter,
    retried: metrics::Counter,
    failed: metrics::Counter,
}

impl Acceptor {
    pub(super) fn new(
        destination: Arc<Destination>,
        certificates: Certificates,
        limits: HandshakeLimits,
        listener: ListenerNumber,
    ) -> Self {
        metrics::describe_counter!(
            "magpie_quic_handshakes_refused_total",
            "QUIC connections refused because too many handshakes were under way."
        );
        metrics::describe_counter!(
            "magpie_quic_handshakes_retried_total",
            "QUIC connections that had to prove their address first."
        );
        metrics::describe_counter!(
            "magpie_quic_handshakes_failed_total",
            "QUIC connections that ended before their stream was open."
        );
        Self {
            destination,
            certificates,
            listener,
            handshakes: Arc::new(Semaphore::new(limits.handshakes_max)),
            limits,
            next_shard: AtomicUsize::new(0),
            refused: metrics::counter!("magpie_quic_handshakes_refused_total"),
            retried: metrics::counter!("magpie_quic_handshakes_retried_total"),
            failed: metrics::counter!("magpie_quic_handshakes_failed_total"),
        }
    }

    /// Lets in whoever comes, until the endpoint closes.
    pub(super) async fn run(self, endpoint: Endpoint) {
        let acceptor = Arc::new(self);
        while let Some(incoming) = endpoint.accept().await {
            acceptor.receive(incoming);
        }
    }

    fn receive(self: &Arc<Self>, incoming: Incoming) {
        let Ok(place) = self.handshakes.clone().try_acquire_owned() else {
            self.refused.increment(1);
            incoming.refuse();
            return;
        };
        let under_way = self.limits.handshakes_max - self.handshakes.available_permits();
        if under_way > self.limits.unproven_max && incoming.may_retry() {
            self.retried.increment(1);
            // Fails only where it may not be retried.
            drop(incoming.retry());
            return;
        }
        tokio::spawn(self.clone().attend(incoming, place));
    }

    /// One connection, from its first packet to its last.
    async fn attend(self: Arc<Self>, incoming: Incoming, place: OwnedSemaphorePermit) {
        let began = Instant::now();
        let Some((connection, origin)) = self.shake_hands(incoming, place, began).await else {
            self.failed.increment(1);
            return;
        };
        let ending = match self.stream_of(&connection, began).await {
            None => {
                self.failed.increment(1);
                self.destination.admission.release(origin);
                TOO_SLOW
            }
            Some((send, recv)) => {
                let end = self.enter(&connection, origin, began);
                stream::carry(&connection, send, recv, end).await
            }
        };
        close(&connection, ending);
    }

    /// The handshake, and a place of the admission, to be released with the address. The `place` among the handshakes is
    /// given back however it ends.
    async fn shake_hands(
        &self,
        incoming: Incoming,
        place: OwnedSemaphorePermit,
        began: Instant,
    ) -> Option<(Connection, Origin)> {
        let connecting = incoming.accept_with(self.certificates.current()).ok()?;
        let connection = timeout_at(self.deadline(began), connecting)
            .await
            .ok()?
            .ok()?;
        drop(place);
        // Only here the peer has shown that the address is its own. If it moves later, the place stays where it was given.
        let origin = Origin {
            address: connection.remote_address().ip(),
            listener: self.listener,
            refused: None,
        };
        let listener = self.destination.served.get(self.listener);
        if self.destination.admission.admit_or_close(origin).is_none() {
            if let Some(listener) = listener {
                listener.count_refused();
            }
            close(&connection, NO_PLACE);
            return None;
        }
        if let Some(listener) = listener {
            listener.count_accepted();
        }
        Some((connection, origin))
    }

    /// The stream that MQTT is spoken on; `None` if there was none in time.
    async fn stream_of(
        &self,
        connection: &Connection,
        began: Instant,
    ) -> Option<(SendStream, RecvStream)> {
        timeout_at(self.deadline(began), connection.accept_bi())
            .await
            .ok()?
            .ok()
    }

    fn deadline(&self, began: Instant) -> tokio::time::Instant {
        (began + self.limits.patience).into()
    }

    /// Gives a shard its end of a new pipe, and the other one to the caller.
    fn enter(&self, connection: &Connection, origin: Origin, began: Instant) -> PipeEnd {
        let (near, far) = pipe(PIPE_BYTES);
        if let Some(certificate) = certificate(connection) {
            far.vouch(&certificate);
        }
        // It moves to its session's shard with its CONNECT; until then any will do.
        let shards = &self.destination.post.shards;
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % shards.len();
        shards[shard].send(ShardEvent::Connection {
            transport: Transport::Pipe(near),
            origin,
            began,
        });
        far
    }
}

/// The peer's own certificate, which the handshake has verified.
fn certificate(connection: &Connection) -> Option<CertificateDer<'static>> {
    let chain = connection.peer_identity()?;
    let chain = chain.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.into_iter().next()
}

fn close(connection: &Connection, ending: Ending) {
    connection.close(ending.code, ending.reason.as_bytes());
}
